// SPDX-License-Identifier: Apache-2.0
// request path

import Common

/// What is done to a request whatever its direction, before the first stage sees it.
extension Exchange {
    /// Makes the request one that may be forwarded: no field that concerns the client's connection only, none that
    /// only a trusted peer may set, and the `Host` of the target.
    ///
    /// - Source: RFC 9110 §7.6.1, RFC 9112 §3.2.2; promises S4, S5 and T7.
    mutating func prepareForForwarding() {
        self.requestHeaders.removeHopByHop()
        if !self.isPeerTrusted { self.requestHeaders.removeForwarding() }
        // HTTP/1.0 knows no interim answers.
        if self.request.minorVersion == 0 { self.requestHeaders.remove(.expect) }
        guard self.request.flags.contains(.absoluteTarget) else { return }
        let authority = self.request.authority.whole
        if let index = self.requestHeaders.firstIndex(of: .host),
            self.requestHeaders.value(at: index, equals: authority)
        {
            return
        }
        self.requestHeaders.remove(.host)
        self.requestHeaders.append(.host, "Host", valueFrom: authority)
    }

    /// The answer to a request that goes no further, whatever the listener: `nil` for all others.
    ///
    /// TRACE would show a client what others have added to its request. CONNECT opens tunnels, which are off. An OPTIONS
    /// request that may not be forwarded any more is for us.
    ///
    /// - Source: RFC 9110 §7.6.2, §9.3.6, §9.3.8 and §10.1.1.
    mutating func takeFirstReply() -> LocalReply? {
        switch self.request.method {
        case .trace, .connect: return LocalReply(ProxyError(.methodRefused))
        case .options where self.requestHeaders.contains(.maxForwards):
            guard let hops = self.requestHeaders.string(of: .maxForwards).flatMap({ UInt32($0) }) else {
                return LocalReply(ProxyError(.badRequest, "malformed Max-Forwards"))
            }
            if hops == 0 { return LocalReply(status: 200) }
            self.requestHeaders.remove(.maxForwards)
            self.requestHeaders.append(.maxForwards, "Max-Forwards", "\(hops - 1)")
        default: break
        }
        if self.request.flags.contains(.unknownExpectation) {
            return LocalReply(ProxyError(.badRequest, "expectation not supported", status: 417))
        }
        return nil
    }
}

extension LocalReply {
    /// The answer while the process is short of memory.
    static var overloaded: LocalReply {
        var reply = LocalReply(ProxyError(.overloaded))
        reply.headers = [Header("Retry-After", "1")]
        return reply
    }

    /// The answer to a head that cannot be understood.
    init(_ violation: HeadViolation) {
        switch violation {
        case .startLineTooLong: self.init(ProxyError(.headerTooLarge, violation.text, status: 414))
        case .tooLarge: self.init(ProxyError(.headerTooLarge, violation.text))
        case .version: self.init(ProxyError(.badRequest, violation.text, status: 505))
        case .lineEnd, .startLine, .target, .fieldName, .fieldValue, .host, .contentLength, .transferEncoding, .status:
            self.init(ProxyError(.badRequest, violation.text))
        }
    }
}
