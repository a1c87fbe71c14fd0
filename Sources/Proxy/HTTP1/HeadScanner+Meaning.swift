// SPDX-License-Identifier: Apache-2.0
// request path

import Common

/// What start lines and fields mean for the message's boundary and for the connection.
extension HeadScanner {
    // MARK: Start lines

    /// Reads `method SP target SP HTTP/1.x`, without the CRLF.
    ///
    /// - Source: RFC 9112 §3; 1.2 to 1.9 are served as 1.1 (RFC 9110 §6.2).
    @inline(__always)
    static func readRequestLine(_ input: RawSpan, end: Int, _ head: inout RequestHead) -> HeadViolation? {
        var index = 0
        while index < end, input.byte(at: index).isToken { index &+= 1 }
        guard index > 0, index < end, input.byte(at: index) == .space else { return .startLine }
        head.methodName = ByteRange(0, index)
        head.method = HTTPMethod(input, count: index)

        let targetStart = index &+ 1
        let targetEnd = end &- 9
        guard targetEnd > targetStart, input.byte(at: targetEnd) == .space,
            let version = Self.version(input, at: targetEnd &+ 1)
        else {
            return Self.endsInAnotherVersion(input, end: end) ? .version : .startLine
        }
        guard version.major == 1 else { return .version }
        head.minorVersion = min(version.minor, 1)
        return RequestTarget.read(input, targetStart..<targetEnd, into: &head)
    }

    /// Reads `HTTP/1.x SP status [SP reason]`, without the CRLF.
    ///
    /// The blank before an empty reason is missing in many servers' answers; nothing is ambiguous about that.
    ///
    /// - Source: RFC 9112 §4.
    @inline(__always)
    static func readStatusLine(_ input: RawSpan, end: Int, _ head: inout ResponseHead) -> HeadViolation? {
        guard end >= 12, let version = Self.version(input, at: 0), input.byte(at: 8) == .space else {
            return .startLine
        }
        guard version.major == 1 else { return .version }
        head.minorVersion = min(version.minor, 1)
        var status = 0
        for index in 9..<12 {
            let digit = input.byte(at: index) &- 0x30
            guard digit < 10 else { return .status }
            status = status &* 10 &+ Int(digit)
        }
        guard status >= 100 else { return .status }
        guard end == 12 || input.byte(at: 12) == .space else { return .status }
        head.status = status
        head.reason = ByteRange(min(13, end), end)
        return nil
    }

    /// The digits of `HTTP/d.d` at `offset`, where eight bytes must be; `nil` when it is something else.
    @inline(__always)
    private static func version(_ input: RawSpan, at offset: Int) -> (major: UInt8, minor: UInt8)? {
        let word = input.word(at: offset)
        guard word & 0x00ff_00ff_ffff_ffff == 0x002e_002f_5054_5448 else { return nil }  // "HTTP/" and the dot
        let major = UInt8(truncatingIfNeeded: word &>> 40) &- 0x30
        let minor = UInt8(truncatingIfNeeded: word &>> 56) &- 0x30
        return major < 10 && minor < 10 ? (major, minor) : nil
    }

    /// Whether a line that is not understood says `HTTP/…` at its end, as `HTTP/11` or `HTTP/2` would.
    private static func endsInAnotherVersion(_ input: RawSpan, end: Int) -> Bool {
        var start = end
        while start > 0, input.byte(at: start &- 1) != .space { start &-= 1 }
        return start > 0 && end - start >= 5 && input.extracting(start..<end).matches("http/", at: 0)
    }

    // MARK: Fields

    /// Takes note of a request field that frames the message or steers the connection.
    @inline(__always)
    static func note(_ field: HeaderField, _ input: RawSpan, _ head: inout RequestHead) -> HeadViolation? {
        switch field.name {
        case .host:
            guard !head.flags.contains(.host), let authority = Authority(input, field.value.range) else {
                return .host
            }
            head.flags.insert(.host)
            if head.form != .authority, !head.flags.contains(.absoluteTarget) { head.authority = authority }
        case .contentLength:
            guard !head.flags.contains(.contentLength), let length = Self.contentLength(input, field.value.range)
            else { return .contentLength }
            head.flags.insert(.contentLength)
            head.contentLength = length
        case .transferEncoding:
            guard !head.flags.contains(.chunked), Self.isChunked(input, field.value.range) else {
                return .transferEncoding
            }
            head.flags.insert(.chunked)
        case .connection:
            let options = Self.connectionOptions(input, field.value.range)
            if options.close { head.flags.insert(.close) }
            if options.keepAlive { head.flags.insert(.keepAlive) }
            if options.upgrade { head.flags.insert(.connectionUpgrade) }
        case .upgrade:
            if Self.equals(input, field.value.range, "websocket") { head.flags.insert(.websocket) }
        case .expect:
            head.flags.insert(
                Self.equals(input, field.value.range, "100-continue") ? .expectContinue : .unknownExpectation)
        default: break
        }
        return nil
    }

    /// Takes note of a response field that frames the message or steers the connection.
    @inline(__always)
    static func note(_ field: HeaderField, _ input: RawSpan, _ head: inout ResponseHead) -> HeadViolation? {
        switch field.name {
        case .contentLength:
            guard !head.flags.contains(.contentLength), let length = Self.contentLength(input, field.value.range)
            else { return .contentLength }
            head.flags.insert(.contentLength)
            head.contentLength = length
        case .transferEncoding:
            guard !head.flags.contains(.chunked), Self.isChunked(input, field.value.range) else {
                return .transferEncoding
            }
            head.flags.insert(.chunked)
        case .connection:
            let options = Self.connectionOptions(input, field.value.range)
            if options.close { head.flags.insert(.close) }
            if options.keepAlive { head.flags.insert(.keepAlive) }
        case .upgrade:
            if Self.equals(input, field.value.range, "websocket") { head.flags.insert(.websocket) }
        default: break
        }
        return nil
    }

    /// What only the whole head tells.
    @inline(__always)
    static func finish(_ head: inout RequestHead) -> HeadViolation? {
        if head.flags.contains(.chunked), head.flags.contains(.contentLength) || head.minorVersion == 0 {
            return .transferEncoding
        }
        if head.flags.contains(.websocketTarget), !head.isWebSocketUpgrade { return .scheme }
        if head.minorVersion >= 1 {
            guard head.flags.contains(.host) else { return .host }
        } else {
            // HTTP/1.0 knows no interim answers (RFC 9110 §10.1.1).
            head.flags.subtract([.expectContinue, .unknownExpectation])
        }
        return nil
    }

    /// One decimal number and nothing else: no sign, no blank, no list; at most 18 digits, which fit in an `Int`.
    static func contentLength(_ input: RawSpan, _ range: Range<Int>) -> Int? {
        guard !range.isEmpty, range.count <= 18 else { return nil }
        var length = 0
        for index in range {
            let digit = input.byte(at: index) &- 0x30
            guard digit < 10 else { return nil }
            length = length &* 10 &+ Int(digit)
        }
        return length
    }

    private static func isChunked(_ input: RawSpan, _ range: Range<Int>) -> Bool {
        Self.equals(input, range, "chunked")
    }

    private static func equals(_ input: RawSpan, _ range: Range<Int>, _ text: StaticString) -> Bool {
        range.count == text.utf8CodeUnitCount && input.extracting(range).matches(text, at: 0)
    }

    private struct ConnectionOptions {
        var close = false
        var keepAlive = false
        var upgrade = false
    }

    private static func connectionOptions(_ input: RawSpan, _ range: Range<Int>) -> ConnectionOptions {
        var options = ConnectionOptions()
        var tokens = ListTokens(range)
        while let token = tokens.next(input) {
            switch token.count {
            case 5: if Self.equals(input, token, "close") { options.close = true }
            case 7: if Self.equals(input, token, "upgrade") { options.upgrade = true }
            case 10: if Self.equals(input, token, "keep-alive") { options.keepAlive = true }
            default: break
            }
        }
        return options
    }
}

extension HTTPMethod {
    /// The method whose name is the first `count` bytes; names are case-sensitive.
    @inline(__always)
    init(_ input: RawSpan, count: Int) {
        self = .other
        switch count {
        case 3:
            if Self.equals(input, "GET") { self = .get } else if Self.equals(input, "PUT") { self = .put }
        case 4:
            if Self.equals(input, "POST") { self = .post } else if Self.equals(input, "HEAD") { self = .head }
        case 5:
            if Self.equals(input, "PATCH") { self = .patch } else if Self.equals(input, "TRACE") { self = .trace }
        case 6: if Self.equals(input, "DELETE") { self = .delete }
        case 7:
            if Self.equals(input, "OPTIONS") {
                self = .options
            } else if Self.equals(input, "CONNECT") {
                self = .connect
            }
        default: break
        }
    }

    @inline(__always)
    private static func equals(_ input: RawSpan, _ text: StaticString) -> Bool {
        let expected = unsafe RawSpan(_unsafeStart: text.utf8Start, byteCount: text.utf8CodeUnitCount)
        for index in 0..<expected.byteCount where input.byte(at: index) != expected.byte(at: index) { return false }
        return true
    }
}
