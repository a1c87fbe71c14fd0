// SPDX-License-Identifier: Apache-2.0
// request path

/// One header field: where its line, its name and its value are in the bytes of the block.
struct HeaderField {
    /// Where the line begins, which is where the name begins.
    var start: UInt32
    /// The value, without the blanks around it.
    var value: ByteRange
    /// After the line's CRLF.
    var end: UInt32
    var nameLength: UInt16
    var name: HeaderName
    /// The level of the block at which it was removed; 0 for one that is there.
    var removal: UInt8 = 0
    /// Whether the name is known to have no upper-case letter.
    var isLowercase = false
    /// Whether its sender forbids everybody to keep it in a table of HTTP/2.
    var isNeverIndexed = false

    /// Left out when the block is written.
    @inline(__always)
    var isRemoved: Bool {
        get { self.removal != 0 }
        set { self.removal = newValue ? 1 : 0 }
    }

    @inline(__always)
    var nameRange: Range<Int> { Int(self.start)..<Int(self.start) + Int(self.nameLength) }
}
