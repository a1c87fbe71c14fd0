// SPDX-License-Identifier: Apache-2.0
// request path

import Common

/// A header line made once, when configuration is read or a snapshot is published, and appended to many messages.
package struct HeaderLine: Sendable {
    let bytes: [UInt8]
    let nameLength: Int
    let name: HeaderName

    /// `name: value` with its CRLF; bytes of the value that no field may carry are replaced by blanks.
    package init(_ name: String, _ value: String) {
        let value = value.utf8.map { $0 < 0x20 || $0 == 0x7f ? UInt8.space : $0 }
        let bytes = Array(name.utf8) + [.colon, .space] + value + [.carriageReturn, .lineFeed]
        self.bytes = bytes
        self.nameLength = name.utf8.count
        self.name = HeaderName(bytes.rawSpan, at: 0, count: name.utf8.count)
    }

    /// A line of a known name, whose value a field may carry as it is.
    init(name: StaticString, value: [UInt8], known: HeaderName) {
        let count = name.utf8CodeUnitCount
        var bytes: [UInt8] = []
        bytes.reserveCapacity(count + value.count + 4)
        unsafe RawSpan(_unsafeStart: name.utf8Start, byteCount: count).append(0..<count, to: &bytes)
        bytes.append(.colon)
        bytes.append(.space)
        bytes.append(contentsOf: value)
        bytes.append(.carriageReturn)
        bytes.append(.lineFeed)
        self.bytes = bytes
        self.nameLength = count
        self.name = known
    }
}
