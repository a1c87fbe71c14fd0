// SPDX-License-Identifier: Apache-2.0
// request path

import Common

/// Walks the elements of a comma-separated list such as the value of `Connection`.
///
/// - Source: RFC 9110 §5.6.1; empty elements are passed over.
struct ListTokens {
    private var position: Int
    private let end: Int

    init(_ value: Range<Int>) {
        self.position = value.lowerBound
        self.end = value.upperBound
    }

    /// The next element without the blanks around it; `nil` at the end.
    mutating func next(_ span: RawSpan) -> Range<Int>? {
        while self.position < self.end {
            let byte = span.byte(at: self.position)
            guard byte == .comma || byte == .space || byte == .tab else { break }
            self.position &+= 1
        }
        guard self.position < self.end else { return nil }
        let start = self.position
        while self.position < self.end, span.byte(at: self.position) != .comma { self.position &+= 1 }
        var last = self.position
        while last > start {
            let byte = span.byte(at: last &- 1)
            guard byte == .space || byte == .tab else { break }
            last &-= 1
        }
        return start..<last
    }
}
