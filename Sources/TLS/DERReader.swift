// SPDX-License-Identifier: Apache-2.0

/// Reads one element of DER after the other.
///
/// Pure. Lengths take three octets at most, which is 16 MiB.
struct DERReader {
    private var rest: ArraySlice<UInt8>

    init(_ bytes: ArraySlice<UInt8>) { self.rest = bytes }

    var isAtEnd: Bool { self.rest.isEmpty }

    /// The next element; `nil` at the end, and for one that is not whole.
    mutating func next() -> (tag: UInt8, value: ArraySlice<UInt8>)? {
        var rest = self.rest
        guard let tag = rest.popFirst(), let first = rest.popFirst() else { return nil }
        var length = Int(first)
        if first >= 0x80 {
            let count = Int(first & 0x7f)
            guard (1...3).contains(count), rest.count >= count else { return nil }
            length = rest.prefix(count).reduce(0) { $0 << 8 | Int($1) }
            rest.removeFirst(count)
        }
        guard rest.count >= length else { return nil }
        self.rest = rest.dropFirst(length)
        return (tag, rest.prefix(length))
    }

    /// The value of the next element, if it has this tag; else it stays the next one.
    mutating func next(_ tag: UInt8) -> ArraySlice<UInt8>? {
        let before = self.rest
        if let element = self.next(), element.tag == tag { return element.value }
        self.rest = before
        return nil
    }

    /// The next element with its tag and its length; `nil` as for ``next()``.
    mutating func nextElement() -> ArraySlice<UInt8>? {
        let before = self.rest
        return self.next().map { before[before.startIndex..<$0.value.endIndex] }
    }
}
