// SPDX-License-Identifier: Apache-2.0
// request path

import Common
package import NIOCore

/// Passes over the empty lines before a request, of which a client may have sent some that it should not have.
///
/// Pure. Counts from one call to the next, so that lines in many small pieces are as many.
///
/// - Source: RFC 9112 §2.2: at least one is to be ignored.
package struct EmptyLines {
    /// What there is behind them.
    package enum Next: Equatable {
        /// The first byte of a request.
        case request
        /// Nothing yet, or half a line.
        case incomplete
        /// More of them than anybody means: the connection is to be refused (``HeadViolation/emptyLines``).
        case tooMany
    }

    /// How many there may be before a request.
    package static var limit: Int { 16 }

    private var count = 0

    /// None yet.
    package init() {}

    /// Takes the empty lines at the front of `input` out of it.
    ///
    /// - Returns: What follows; with `.request` the count begins anew.
    package mutating func skip(_ input: inout ByteBuffer) -> Next {
        while let first = input.getInteger(at: input.readerIndex, as: UInt8.self), first == .carriageReturn {
            guard let second = input.getInteger(at: input.readerIndex + 1, as: UInt8.self) else { return .incomplete }
            // A CR that ends nothing is for the scanner to refuse.
            guard second == .lineFeed else { break }
            input.moveReaderIndex(forwardBy: 2)
            self.count += 1
            guard self.count <= Self.limit else { return .tooMany }
        }
        guard input.readableBytes > 0 else { return .incomplete }
        self.count = 0
        return .request
    }
}
