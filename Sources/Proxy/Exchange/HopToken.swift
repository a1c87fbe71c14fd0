// SPDX-License-Identifier: Apache-2.0
// request path

import Common

/// What an outgoing listener leaves in a request, to know it again when it comes back: one value of `x-mesher-hop`.
///
/// Chosen at random when the process starts and kept as long as it lives. Every sidecar that a request leaves appends its
/// own; the incoming side removes them all, since behind the application a new request begins.
package struct HopToken: Sendable {
    /// More outgoing listeners than this have not been passed on purpose.
    package static let most = 16

    /// What a header says about the way that a request has come.
    package enum Finding: Equatable {
        /// Not through here, or there is no such header.
        case clear
        /// Through here, or through too many.
        case loop
    }

    /// The value.
    package let text: String
    /// The header line.
    package let line: HeaderLine
    private let bytes: [UInt8]

    /// A token of its own kind: 64 random bits.
    package init() {
        let digits = String(UInt64.random(in: 0 ... .max), radix: 16)
        self.text = String(repeating: "0", count: 16 - digits.count) + digits
        self.line = HeaderLine("x-mesher-hop", self.text)
        self.bytes = Array(self.text.utf8)
    }

    /// Whether a request with these headers has been here before.
    ///
    /// Cost: one bit when the header is absent.
    package func look(in headers: borrowing HeaderBlock) -> Finding {
        guard headers.contains(.meshHop) else { return .clear }
        var count = 0
        var isOwn = false
        headers.forEachElement(of: .meshHop) { token in
            count += 1
            isOwn = token.isEqual(to: self.bytes)
            return !isOwn && count <= Self.most
        }
        return isOwn || count > Self.most ? .loop : .clear
    }
}
