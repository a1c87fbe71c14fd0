// SPDX-License-Identifier: Apache-2.0

/// Appends the fields of a message; what has the default value is left out.
///
/// - Source: Protocol Buffers, "Encoding": wire types 0 (varint) and 2 (length-delimited).
struct ProtobufWriter {
    /// What has been written.
    private(set) var bytes: [UInt8] = []

    /// A number, 64 bits unsigned.
    mutating func number(_ field: Int, _ value: UInt64) {
        guard value != 0 else { return }
        self.varint(UInt64(field) << 3)
        self.varint(value)
    }

    /// A number, 64 bits signed; of negative ones the two's complement.
    mutating func number(_ field: Int, _ value: Int64) { self.number(field, UInt64(bitPattern: value)) }

    /// A truth value.
    mutating func flag(_ field: Int, _ value: Bool) { self.number(field, value ? UInt64(1) : 0) }

    /// Several numbers in one field, packed.
    mutating func numbers(_ field: Int, _ values: some Sequence<UInt64>) {
        var packed = ProtobufWriter()
        for value in values { packed.varint(value) }
        guard !packed.bytes.isEmpty else { return }
        self.delimited(field, packed.bytes)
    }

    /// One text of a repeated field, so that an empty one is written too.
    mutating func text(_ field: Int, _ value: String) { self.delimited(field, Array(value.utf8)) }

    /// One message of a repeated field, or the message of a single one.
    mutating func message(_ field: Int, _ content: (inout ProtobufWriter) -> Void) {
        var inner = ProtobufWriter()
        content(&inner)
        self.delimited(field, inner.bytes)
    }

    private mutating func delimited(_ field: Int, _ content: [UInt8]) {
        self.varint(UInt64(field) << 3 | 2)
        self.varint(UInt64(content.count))
        self.bytes.append(contentsOf: content)
    }

    private mutating func varint(_ value: UInt64) {
        var rest = value
        while rest >= 0x80 {
            self.bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        self.bytes.append(UInt8(rest))
    }
}
