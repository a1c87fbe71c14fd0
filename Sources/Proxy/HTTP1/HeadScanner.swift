// SPDX-License-Identifier: Apache-2.0
// request path

import Common

/// Scans the head of an HTTP/1.1 message in place: bytes in, a ``HeaderBlock`` and a head out.
///
/// Pure.
///
/// Strict where a message boundary or a meaning would be ambiguous: every line ends in CRLF, names are tokens, nothing
/// is folded, no control characters. When the head is not complete yet, the scanner remembers the line it is in and goes
/// on there, so that a head that comes byte by byte costs its length and not the square of it.
///
/// - Source: RFC 9112 §2–§6.
package struct HeadScanner {
    /// How a scan ended.
    package enum Result: Equatable {
        /// The head is the first `length` bytes of the input.
        case complete(length: Int)
        /// Call again with the same bytes and more behind them.
        case incomplete
        /// The peer must be told and the connection closed: where the message ends is unknown.
        case invalid(HeadViolation)
    }

    /// Where the first line that is not understood yet begins.
    private var position = 0
    private var isPastStartLine = false

    /// Where the field line begins that was not understood; `nil` when it is the start line.
    var lineStart: Int? { self.isPastStartLine ? self.position : nil }

    /// A scanner at the beginning of a head.
    package init() {}

    /// Scans a request head from the start of `input`.
    ///
    /// - Parameter head: Receives what the head says; complete only with `.complete`.
    /// - Parameter block: Receives the fields. Must be cleared before the first call for a head.
    package mutating func scanRequest(
        _ input: RawSpan, limits: HeadLimits, into head: inout RequestHead, _ block: inout HeaderBlock
    ) -> Result {
        let result = self.readRequest(input, limits, &head, &block)
        if case .invalid = result { block.clear() }  // its fields would refer to bytes that it does not have
        return result
    }

    @inline(__always)
    private mutating func readRequest(
        _ input: RawSpan, _ limits: HeadLimits, _ head: inout RequestHead, _ block: inout HeaderBlock
    ) -> Result {
        if !self.isPastStartLine {
            head = RequestHead()
            switch self.startLineEnd(input, limits) {
            case .complete(let end):
                if let violation = Self.readRequestLine(input, end: end, &head) { return .invalid(violation) }
                self.position = end &+ 2
                self.isPastStartLine = true
            case .incomplete: return .incomplete
            case .invalid(let violation): return .invalid(violation)
            }
        }
        while true {
            switch self.nextField(input, limits, count: block.count) {
            case .end:
                let length = self.position
                block.setBytes(input.extracting(0..<length))
                self = HeadScanner()
                if let violation = Self.finish(&head) { return .invalid(violation) }
                return .complete(length: length)
            case .incomplete: return .incomplete
            case .invalid(let violation): return .invalid(violation)
            case .field(let field):
                if let violation = Self.note(field, input, &head) { return .invalid(violation) }
                block.add(field)
            }
        }
    }

    /// Scans a response head from the start of `input`; the parameters are those of `scanRequest`.
    package mutating func scanResponse(
        _ input: RawSpan, limits: HeadLimits, into head: inout ResponseHead, _ block: inout HeaderBlock
    ) -> Result {
        let result = self.readResponse(input, limits, &head, &block)
        if case .invalid = result { block.clear() }
        return result
    }

    @inline(__always)
    private mutating func readResponse(
        _ input: RawSpan, _ limits: HeadLimits, _ head: inout ResponseHead, _ block: inout HeaderBlock
    ) -> Result {
        if !self.isPastStartLine {
            head = ResponseHead()
            switch self.startLineEnd(input, limits) {
            case .complete(let end):
                if let violation = Self.readStatusLine(input, end: end, &head) { return .invalid(violation) }
                self.position = end &+ 2
                self.isPastStartLine = true
            case .incomplete: return .incomplete
            case .invalid(let violation): return .invalid(violation)
            }
        }
        while true {
            switch self.nextField(input, limits, count: block.count) {
            case .end:
                let length = self.position
                block.setBytes(input.extracting(0..<length))
                self = HeadScanner()
                if head.flags.contains(.chunked), head.flags.contains(.contentLength) || head.minorVersion == 0 {
                    return .invalid(.transferEncoding)
                }
                return .complete(length: length)
            case .incomplete: return .incomplete
            case .invalid(let violation): return .invalid(violation)
            case .field(let field):
                if let violation = Self.note(field, input, &head) { return .invalid(violation) }
                block.add(field)
            }
        }
    }

    /// Scans a trailer section from the start of `input`, the blank line included.
    ///
    /// Fields that would change the framing, the routing or the meaning of the message are left out of `block`.
    ///
    /// - Source: RFC 9110 §6.5.1.
    package mutating func scanTrailers(_ input: RawSpan, limits: HeadLimits, into block: inout HeaderBlock) -> Result {
        while true {
            switch self.nextField(input, limits, count: block.count) {
            case .end:
                let length = self.position
                block.setBytes(input.extracting(0..<length))
                self = HeadScanner()
                return .complete(length: length)
            case .incomplete: return .incomplete
            case .invalid(let violation):
                block.clear()
                return .invalid(violation)
            case .field(var field):
                // Kept in the table, so that the limit on the number of fields holds for them too.
                field.isRemoved = field.name.isForbiddenInTrailers
                block.add(field)
            }
        }
    }

    // MARK: Lines

    private enum Line {
        /// Where its CR is.
        case complete(Int)
        case incomplete
        case invalid(HeadViolation)
    }

    private func startLineEnd(_ input: RawSpan, _ limits: HeadLimits) -> Line {
        let end = Self.textEnd(input, from: 0)
        if end > limits.startLine { return .invalid(.startLineTooLong) }
        if end == input.byteCount { return .incomplete }
        guard input.byte(at: end) == .carriageReturn else {
            return .invalid(input.byte(at: end) == .lineFeed ? .lineEnd : .startLine)
        }
        if end &+ 1 == input.byteCount { return .incomplete }
        return input.byte(at: end &+ 1) == .lineFeed ? .complete(end) : .invalid(.lineEnd)
    }

    private enum NextField {
        case field(HeaderField)
        /// The blank line was read; `position` is behind it.
        case end
        case incomplete
        case invalid(HeadViolation)
    }

    @inline(__always)
    private mutating func nextField(_ input: RawSpan, _ limits: HeadLimits, count: Int) -> NextField {
        let start = self.position
        let available = input.byteCount
        if start >= available { return start > limits.section ? .invalid(.tooLarge) : .incomplete }

        var index = Self.nameEnd(input, from: start)
        if index == available { return Self.incomplete(from: start, available, limits) }

        let stop = input.byte(at: index)
        if stop == .carriageReturn, index == start {
            if start &+ 1 == available { return .incomplete }
            guard input.byte(at: start &+ 1) == .lineFeed else { return .invalid(.lineEnd) }
            self.position = start &+ 2
            return self.position > limits.section ? .invalid(.tooLarge) : .end
        }
        guard stop == .colon, index > start else {
            return .invalid(stop == .lineFeed ? .lineEnd : .fieldName)
        }
        let nameLength = index &- start

        index &+= 1
        while index < available, Self.isBlank(input.byte(at: index)) { index &+= 1 }
        let valueStart = index
        let end = Self.textEnd(input, from: index)
        if end &+ 1 >= available {
            if end < available, input.byte(at: end) != .carriageReturn { return Self.badEnd(input, end) }
            return Self.incomplete(from: start, available, limits)
        }
        guard input.byte(at: end) == .carriageReturn else { return Self.badEnd(input, end) }
        guard input.byte(at: end &+ 1) == .lineFeed else { return .invalid(.lineEnd) }
        if end &- start > limits.field || end > limits.section || count >= limits.fields {
            if end &- start > limits.field, Self.endsFirst(start, limits) { return .invalid(.fieldTooLong) }
            return .invalid(end > limits.section ? .tooLarge : .tooManyFields)
        }

        var valueEnd = end
        while valueEnd > valueStart, Self.isBlank(input.byte(at: valueEnd &- 1)) { valueEnd &-= 1 }
        self.position = end &+ 2
        return .field(
            HeaderField(
                start: UInt32(truncatingIfNeeded: start), value: ByteRange(valueStart, valueEnd),
                end: UInt32(truncatingIfNeeded: self.position), nameLength: UInt16(truncatingIfNeeded: nameLength),
                name: HeaderName(input, at: start, count: nameLength)))
    }

    private static func incomplete(from start: Int, _ available: Int, _ limits: HeadLimits) -> NextField {
        // Not before it is certain: the bytes at hand may end in the CR of a line that is just short enough.
        if available &- start > limits.field &+ 1, Self.endsFirst(start, limits) { return .invalid(.fieldTooLong) }
        return available > limits.section &+ 1 ? .invalid(.tooLarge) : .incomplete
    }

    /// Whether a field line that begins at `start` meets its own limit before that of the section, so that a head gets the
    /// same name for what is wrong with it in whatever pieces it comes.
    private static func endsFirst(_ start: Int, _ limits: HeadLimits) -> Bool {
        start &+ limits.field <= limits.section
    }

    private static func badEnd(_ input: RawSpan, _ end: Int) -> NextField {
        .invalid(input.byte(at: end) == .lineFeed ? .lineEnd : .fieldValue)
    }

    @inline(__always)
    private static func isBlank(_ byte: UInt8) -> Bool { byte == .space || byte == .tab }

    /// The offset of the first byte from `start` on that is no token character; the byte count when there is none.
    ///
    /// Eight bytes at a time as long as all are letters, digits or `-`, as in most names; one by one otherwise. Adding
    /// to the low seven bits of a byte sets its top bit when the byte is at or above a bound.
    @inline(__always)
    private static func nameEnd(_ input: RawSpan, from start: Int) -> Int {
        let count = input.byteCount
        var index = start
        while index &+ 8 <= count {
            let word = input.word(at: index)
            let low = word & 0x7f7f_7f7f_7f7f_7f7f
            let lowered = low | 0x2020_2020_2020_2020
            let letters = (lowered &+ 0x1f1f_1f1f_1f1f_1f1f) & ~(lowered &+ 0x0505_0505_0505_0505)
            let digits = (low &+ 0x5050_5050_5050_5050) & ~(low &+ 0x4646_4646_4646_4646)
            let dashes = (low &+ 0x5353_5353_5353_5353) & ~(low &+ 0x5252_5252_5252_5252)
            let others = ~(letters | digits | dashes) & 0x8080_8080_8080_8080 | word & 0x8080_8080_8080_8080
            if others == 0 {
                index &+= 8
                continue
            }
            index &+= others.trailingZeroBitCount &>> 3
            // Most often the colon. A rarer token character is passed over, and the search goes on behind it.
            if !input.byte(at: index).isToken { return index }
            index &+= 1
        }
        while index < count, input.byte(at: index).isToken { index &+= 1 }
        return index
    }

    /// The offset of the first control character other than a tab, from `start` on; the byte count when there is none.
    ///
    /// Eight bytes at a time, then one by one.
    @inline(__always)
    static func textEnd(_ input: RawSpan, from start: Int) -> Int {
        let count = input.byteCount
        var index = start
        while index &+ 8 <= count {
            let suspects = Self.suspects(input.word(at: index))
            if suspects == 0 {
                index &+= 8
                continue
            }
            index &+= suspects.trailingZeroBitCount &>> 3
            if Self.isControl(input.byte(at: index)) { return index }
            index &+= 1
        }
        while index < count {
            if Self.isControl(input.byte(at: index)) { return index }
            index &+= 1
        }
        return count
    }

    /// The top bits of bytes below 0x20 and of 0x7f.
    ///
    /// A borrow or a carry may mark the byte above another one as well, never one below a true hit.
    @inline(__always)
    private static func suspects(_ word: UInt64) -> UInt64 {
        ((word &- 0x2020_2020_2020_2020) | (word &+ 0x0101_0101_0101_0101)) & ~word & 0x8080_8080_8080_8080
    }

    @inline(__always)
    private static func isControl(_ byte: UInt8) -> Bool { byte < 0x20 && byte != .tab || byte == 0x7f }
}

extension HeaderName {
    /// Whether a trailer of this name is dropped: framing, routing, and what only a head may say.
    var isForbiddenInTrailers: Bool {
        switch self {
        case .contentLength, .host, .expect, .maxForwards, .cookie, .setCookie, .contentType, .xCseContext,
            .xCseSourceService, .xForwardedFor, .xForwardedHost, .xForwardedPort, .xForwardedProto, .xRealIP,
            .aliasOfClaim, .forwarded, .meshHop:
            true
        default: self.isHopByHop
        }
    }
}
