// SPDX-License-Identifier: Apache-2.0

import FoundationEssentials
import Glibc

/// Standard output and standard error, for what commands say to people.
package enum Console {
    /// Writes all of the text; blocks until it is taken, and gives up without a word when nobody takes it.
    ///
    /// - Returns: Whether somebody has taken it.
    @discardableResult
    package static func write(_ text: String, to descriptor: Int32 = STDOUT_FILENO) -> Bool {
        unsafe text.utf8Span.span.bytes.withUnsafeBytes { bytes in
            unsafe LogStream.writeAll(bytes, to: descriptor).code == 0
        }
    }

    /// Writes a document, for people to read; its members are in the order of their names.
    package static func print(json document: some Encodable) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        self.write(String(decoding: try encoder.encode(document), as: UTF8.self) + "\n")
    }

    /// Writes all of the text to standard error, in the same way.
    package static func complain(_ text: String) { self.write(text, to: STDERR_FILENO) }
}
