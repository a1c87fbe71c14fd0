// SPDX-License-Identifier: Apache-2.0
// request path

/// A range of bytes inside a ``HeaderBlock``, half the size of `Range<Int>`.
package struct ByteRange: Sendable, Equatable {
    /// Offset of the first byte.
    package var lower: UInt32
    /// Offset after the last byte.
    package var upper: UInt32

    /// The empty range at the start.
    package init() {
        self.lower = 0
        self.upper = 0
    }

    /// The offsets must fit in 32 bits, which the head limits see to.
    @inline(__always)
    package init(_ lower: Int, _ upper: Int) {
        self.lower = UInt32(truncatingIfNeeded: lower)
        self.upper = UInt32(truncatingIfNeeded: upper)
    }

    /// Whether there is no byte in it.
    @inline(__always)
    package var isEmpty: Bool { self.lower >= self.upper }

    /// How many bytes.
    @inline(__always)
    package var count: Int { self.isEmpty ? 0 : Int(self.upper &- self.lower) }

    /// The same as a standard range.
    @inline(__always)
    package var range: Range<Int> { self.isEmpty ? 0..<0 : Int(self.lower)..<Int(self.upper) }
}
