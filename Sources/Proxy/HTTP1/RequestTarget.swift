// SPDX-License-Identifier: Apache-2.0
// request path

import Common

/// Reads the target of a request line in its four forms.
///
/// Pure.
///
/// The path is checked, not changed: what policy sees is what the service gets, byte by byte. Whatever two readers could
/// resolve differently is refused: dot segments, written plainly or as `%2e`, also beside a slash that is written `%2f`;
/// backslashes, also as `%5c`; fragments, user information, bytes beyond ASCII. A `%2f` elsewhere passes, since paths have names
/// with slashes in them. So do the few ASCII characters that a URL must encode and that nobody reads differently, such as `|` and
/// `{`: browsers send them.
///
/// - Source: RFC 9112 §3.2.
enum RequestTarget {
    /// Reads the target in `range` of `input` into `head`, whose method is known already.
    ///
    /// - Returns: What is wrong with it; `nil` when it is in order.
    @inline(__always)
    static func read(_ input: RawSpan, _ range: Range<Int>, into head: inout RequestHead) -> HeadViolation? {
        if head.method == .connect { return Self.readAuthorityForm(input, range, &head) ? nil : .target }
        switch input.byte(at: range.lowerBound) {
        case .slash:
            head.form = .origin
            head.path = ByteRange(range.lowerBound, range.upperBound)
            return Self.isAcceptable(input, range) ? nil : .target
        case .asterisk:
            head.form = .asterisk
            head.path = ByteRange(range.lowerBound, range.upperBound)
            return range.count == 1 && head.method == .options ? nil : .target
        default: return Self.readAbsoluteForm(input, range, &head)
        }
    }

    /// Whether `:path` of an HTTP/2 request, which is not empty, is one that may be served.
    ///
    /// - Source: RFC 9113 §8.3.1.
    static func isPath(_ path: RawSpan, method: HTTPMethod) -> Bool {
        switch path.byte(at: 0) {
        case .slash: Self.isAcceptable(path, 0..<path.byteCount)
        case .asterisk: path.byteCount == 1 && method == .options
        default: false
        }
    }

    private static func readAuthorityForm(_ input: RawSpan, _ range: Range<Int>, _ head: inout RequestHead) -> Bool {
        guard let authority = Authority(input, range), authority.port > 0 else { return false }
        head.form = .authority
        head.authority = authority
        return true
    }

    /// A WebSocket through a proxy is named by `ws` in some clients, which stands for what `http` does.
    ///
    /// - Source: RFC 6455 §3.
    private static func readAbsoluteForm(
        _ input: RawSpan, _ range: Range<Int>, _ head: inout RequestHead
    ) -> HeadViolation? {
        let target = input.extracting(range)
        let hostStart: Int
        // Nearly all, without looking for the end of the scheme.
        let isHTTP = target.byteCount > 7 && target.matches("http", at: 0) && target.isSchemeEnd(at: 4)
        switch isHTTP ? 4 : target.schemeLength {
        case 4 where isHTTP: hostStart = range.lowerBound + 7
        case 4 where target.matches("http", at: 0): return .target
        case 2 where target.matches("ws", at: 0):
            hostStart = range.lowerBound + 5
            head.flags.insert(.websocketTarget)
        case nil: return .target
        default: return .scheme
        }
        var hostEnd = hostStart
        while hostEnd < range.upperBound {
            let byte = input.byte(at: hostEnd)
            if byte == .slash || byte == .question { break }
            hostEnd &+= 1
        }
        guard let authority = Authority(input, hostStart..<hostEnd) else { return .target }
        head.authority = authority
        head.flags.insert(.absoluteTarget)
        if hostEnd == range.upperBound, head.method == .options {
            head.form = .asterisk  // what a proxy makes of it: RFC 9112 §3.2.4
            return nil
        }
        head.form = .absolute
        head.path = ByteRange(hostEnd, range.upperBound)
        return Self.isAcceptable(input, hostEnd..<range.upperBound) ? nil : .target
    }

    /// Whether path and query hold nothing that another reader could take for a different path.
    @inline(__always)
    private static func isAcceptable(_ input: RawSpan, _ range: Range<Int>) -> Bool {
        var index = range.lowerBound
        var segment = DotSegment()
        while index < range.upperBound {
            let byte = input.byte(at: index)
            switch byte {
            case .slash:
                if segment.isDots { return false }
                segment = DotSegment()
            case .dot: segment.dots &+= 1
            case .percent:
                switch Self.escape(input, index, range) {
                case UInt8.dot:
                    segment.dots &+= 1
                    index &+= 2
                case UInt8.slash:
                    // To who decodes first, a segment ends here.
                    if segment.isDots { return false }
                    segment = DotSegment()
                    index &+= 2
                case UInt8.semicolon:
                    if segment.isDots { return false }
                    segment.hasOther = true
                    index &+= 2
                case UInt8.backslash: return false
                default: segment.hasOther = true
                }
            case .semicolon:
                // `/..;x/` is a dot segment to servers that strip path parameters first.
                if segment.isDots { return false }
                segment.hasOther = true
            case .question:
                return !segment.isDots && Self.isAcceptableQuery(input, index..<range.upperBound)
            case .backslash, .hash, .space, .tab: return false
            // What is no ASCII stands there raw: RFC 3986 §2 has it percent-encoded.
            case 0x80...0xff: return false
            default: segment.hasOther = true
            }
            index &+= 1
        }
        return !segment.isDots
    }

    /// The byte that `%` and two digits stand for at `index`; `nil` when they are not two digits.
    @inline(__always)
    private static func escape(_ input: RawSpan, _ index: Int, _ range: Range<Int>) -> UInt8? {
        guard index &+ 2 < range.upperBound else { return nil }
        let (high, low) = (input.byte(at: index &+ 1).hexValue, input.byte(at: index &+ 2).hexValue)
        return high < 16 && low < 16 ? high << 4 | low : nil
    }

    /// Whether it holds only what is visible in ASCII, and no fragment.
    private static func isAcceptableQuery(_ input: RawSpan, _ range: Range<Int>) -> Bool {
        var index = range.lowerBound
        while index < range.upperBound {
            let byte = input.byte(at: index)
            if byte &- 0x21 >= 0x5e || byte == .hash { return false }
            index &+= 1
        }
        return true
    }

    private struct DotSegment {
        var dots = 0
        var hasOther = false

        @inline(__always)
        var isDots: Bool { !self.hasOther && (self.dots == 1 || self.dots == 2) }
    }
}

extension RawSpan {
    /// How long the scheme is that it begins with, before `://`; `nil` when it does not begin with one.
    fileprivate var schemeLength: Int? {
        var index = 0
        while index < self.byteCount, self.byte(at: index).isToken { index &+= 1 }
        return index > 0 && index &+ 2 < self.byteCount && self.isSchemeEnd(at: index) ? index : nil
    }

    /// Whether `://` stands there.
    @inline(__always)
    fileprivate func isSchemeEnd(at index: Int) -> Bool {
        self.byte(at: index) == .colon && self.byte(at: index &+ 1) == .slash && self.byte(at: index &+ 2) == .slash
    }
}

extension Authority {
    /// Reads `host[:port]` from `range` of `input`; `nil` when it is malformed, empty, or has user information.
    ///
    /// - Source: RFC 3986 §3.2.2 and §3.2.3.
    @inline(__always)
    init?(_ input: RawSpan, _ range: Range<Int>) {
        guard !range.isEmpty else { return nil }
        var index = range.lowerBound
        let hostRange: ByteRange
        if input.byte(at: index) == .leftBracket {
            index &+= 1
            while index < range.upperBound, Self.isIPv6(input.byte(at: index)) { index &+= 1 }
            guard index < range.upperBound, input.byte(at: index) == .rightBracket,
                index > range.lowerBound + 2
            else { return nil }
            hostRange = ByteRange(range.lowerBound + 1, index)
            index &+= 1
        } else {
            while index < range.upperBound, input.byte(at: index) != .colon {
                let byte = input.byte(at: index)
                if byte == .percent {
                    guard index + 2 < range.upperBound, input.byte(at: index + 1).hexValue < 16,
                        input.byte(at: index + 2).hexValue < 16
                    else { return nil }
                    index &+= 3
                } else {
                    guard Self.isRegisteredName(byte) else { return nil }
                    index &+= 1
                }
            }
            hostRange = ByteRange(range.lowerBound, index)
        }
        guard !hostRange.isEmpty else { return nil }
        self.init()
        self.whole = ByteRange(range.lowerBound, range.upperBound)
        self.host = hostRange
        // The dot of a complete name, which means the same with and without.
        if input.byte(at: index &- 1) == .dot, hostRange.count > 1 {
            self.host = ByteRange(range.lowerBound, index &- 1)
        }
        guard index < range.upperBound else { return }
        guard input.byte(at: index) == .colon, range.upperBound - index <= 6 else { return nil }
        var port = 0
        for offset in index + 1..<range.upperBound {
            let digit = input.byte(at: offset) &- 0x30
            guard digit < 10 else { return nil }
            port = port &* 10 &+ Int(digit)
        }
        guard let exact = UInt16(exactly: port) else { return nil }
        self.port = exact
        self.portDigits = ByteRange(index + 1, range.upperBound)
    }

    @inline(__always)
    private static func isIPv6(_ byte: UInt8) -> Bool {
        byte.hexValue < 16 || byte == .colon || byte == .dot
    }

    /// unreserved and sub-delims: letters, digits, `- . _ ~ ! $ & ' ( ) * + , ; =`.
    @inline(__always)
    private static func isRegisteredName(_ byte: UInt8) -> Bool {
        let bits: UInt64 = byte & 0x40 == 0 ? 0x2bff_7fd2_0000_0000 : 0x47ff_fffe_87ff_fffe
        return byte < 0x80 && bits &>> UInt64(byte & 0x3f) & 1 != 0
    }
}
