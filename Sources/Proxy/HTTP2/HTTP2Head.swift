// SPDX-License-Identifier: Apache-2.0
// request path

import Common

/// What the header block of an HTTP/2 message says, as heads of HTTP/1.1 say it.
///
/// Pure.
///
/// - Source: RFC 9113 §8.1 to §8.3.
package enum HTTP2Head {
    /// What is wrong with a message.
    package enum Violation: Equatable {
        /// The message is malformed: its stream is reset.
        case malformed
        /// It is well-formed, but not to be served: it is answered.
        case refused(HeadViolation)
    }

    /// Reads the head of a request.
    ///
    /// - Parameter endStream: Nothing follows the head.
    /// - Returns: `nil` when it is in order.
    package static func read(
        _ pseudo: PseudoFields, _ block: inout HeaderBlock, endStream: Bool, into head: inout RequestHead
    ) -> Violation? {
        head = RequestHead()
        head.flags.insert(.http2)
        guard pseudo.has(.method), !pseudo.has(.status), !pseudo.method.isEmpty else { return .malformed }
        guard block.withBytes(in: pseudo.method, { Self.isToken($0) }) else { return .malformed }
        head.methodName = pseudo.method
        head.method = block.withBytes(in: pseudo.method) { HTTPMethod($0, count: $0.byteCount) }
        if head.method == .connect {
            guard !pseudo.has(.scheme), !pseudo.has(.path), pseudo.has(.authority) else { return .malformed }
        } else {
            guard pseudo.has(.scheme), !pseudo.scheme.isEmpty, pseudo.has(.path), !pseudo.path.isEmpty else {
                return .malformed
            }
        }
        if block.hasAny(of: HeaderName.forbiddenInHTTP2) { return .malformed }
        if let violation = Self.readTE(&block, &head) { return violation }
        if let violation = Self.readAuthority(pseudo, &block, &head) { return violation }
        if head.method == .connect {
            head.form = .authority
            if head.authority.port == 0 { return .refused(.target) }
        } else {
            let isAcceptable = block.withBytes(in: pseudo.path) { RequestTarget.isPath($0, method: head.method) }
            guard isAcceptable else { return .refused(.target) }
            head.form = block.withBytes(in: pseudo.path) { $0.byte(at: 0) } == .asterisk ? .asterisk : .origin
            head.path = pseudo.path
        }
        guard let length = Self.contentLength(block) else { return .malformed }
        if let length {
            head.contentLength = length
            head.flags.insert(.contentLength)
            if endStream, length > 0 { return .malformed }
        } else if !endStream {
            head.flags.insert(.chunked)
        } else if head.method.expectsBody {
            // HTTP/1.1 has to be told that there is none: RFC 9110 §8.6.
            block.append(.contentLength, "content-length", "0")
        }
        if let index = block.firstIndex(of: .expect) {
            let isContinue = block.withValue(at: index) { $0.byteCount == 12 && $0.matches("100-continue", at: 0) }
            head.flags.insert(isContinue ? .expectContinue : .unknownExpectation)
        }
        if let index = block.firstIndex(of: .contentType), block.withValue(at: index, { $0.isGRPC }) {
            head.flags.insert(.grpc)
        }
        block.joinCookies()
        return nil
    }

    /// Reads the head of a response.
    ///
    /// - Returns: `false` when it is malformed.
    static func read(_ pseudo: PseudoFields, _ block: borrowing HeaderBlock, into head: inout ResponseHead) -> Bool {
        head = ResponseHead()
        guard pseudo.has(.status), pseudo.status.count == 3, !pseudo.has(.method), !pseudo.has(.path),
            !pseudo.has(.scheme), !pseudo.has(.authority),
            let status = block.withBytes(in: pseudo.status, { UInt16(decimal: $0) }), status >= 100
        else { return false }
        head.status = Int(status)
        head.flags.insert(.http2)
        guard !block.hasAny(of: HeaderName.forbiddenInHTTP2), let length = Self.contentLength(block) else {
            return false
        }
        if let length {
            head.contentLength = length
            head.flags.insert(.contentLength)
        }
        // Switching protocols is a thing of HTTP/1.1.
        return status != 101
    }

    /// The one thing that TE may say is that trailers are welcome; it is said anew to the upstream.
    private static func readTE(_ block: inout HeaderBlock, _ head: inout RequestHead) -> Violation? {
        guard let index = block.firstIndex(of: .te) else { return nil }
        guard block.withValue(at: index, { $0.byteCount == 8 && $0.matches("trailers", at: 0) }) else {
            return .malformed
        }
        guard block.isOnly(index, of: .te) else { return .malformed }
        head.flags.insert(.acceptsTrailers)
        return nil
    }

    /// `:authority` came first and stands in the block as Host; a second Host must say the same.
    private static func readAuthority(
        _ pseudo: PseudoFields, _ block: inout HeaderBlock, _ head: inout RequestHead
    ) -> Violation? {
        guard let index = block.firstIndex(of: .host) else { return .refused(.host) }
        var authority: Authority?
        if pseudo.has(.authority) {
            guard block.removeOthers(of: .host, than: index, unlessEqual: pseudo.authority) else { return .malformed }
            authority = block.authority(in: pseudo.authority)
            head.flags.insert(.absoluteTarget)
        } else {
            guard block.isOnly(index, of: .host) else { return .refused(.host) }
            authority = block.authority(in: block.valueRange(at: index))
            head.flags.insert(.absoluteTarget)
        }
        guard let authority else { return .refused(.host) }
        head.flags.insert(.host)
        head.authority = authority
        return nil
    }

    /// The length of the body; `.some(nil)` when nothing is said, `nil` when it is malformed or repeated.
    private static func contentLength(_ block: borrowing HeaderBlock) -> Int?? {
        guard let index = block.firstIndex(of: .contentLength) else { return .some(nil) }
        guard block.isOnly(index, of: .contentLength) else { return nil }
        guard let length = block.withValue(at: index, { HeadScanner.contentLength($0, 0..<$0.byteCount) }) else {
            return nil
        }
        return .some(length)
    }

    private static func isToken(_ bytes: RawSpan) -> Bool {
        for index in 0..<bytes.byteCount where !bytes.byte(at: index).isToken { return false }
        return true
    }
}

extension RawSpan {
    /// Whether a `Content-Type` is that of gRPC: `application/grpc`, alone or with a suffix.
    ///
    /// - Source: the gRPC protocol over HTTP/2; gRPC-Web is something else.
    @inline(__always)
    var isGRPC: Bool {
        guard self.byteCount >= 16, self.matches("application", at: 0), self.byte(at: 11) == .slash,
            self.matches("grpc", at: 12)
        else { return false }
        return self.byteCount == 16 || self.byte(at: 16) == UInt8(ascii: "+") || self.byte(at: 16) == .semicolon
    }
}
