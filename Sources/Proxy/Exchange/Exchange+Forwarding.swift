// SPDX-License-Identifier: Apache-2.0
// request path

import Common

/// What is done to a request whatever its direction, before the first stage sees it.
extension Exchange {
    /// Makes the request one that may be forwarded: no field that concerns the client's connection only, and the `Host`
    /// of the target.
    ///
    /// - Parameter byHost: Whether `Host` names the target where the request was sent as to a server.
    /// - Source: RFC 9110 §7.6.1, RFC 9112 §3.2.2; promises S4 and S5.
    mutating func prepareForForwarding(byHost: Bool) {
        self.requestHeaders.removeHopByHop()
        self.removeUntrustedClaims()
        // HTTP/1.0 knows no interim answers.
        if self.request.minorVersion == 0 { self.requestHeaders.remove(.expect) }
        if !self.request.flags.contains(.absoluteTarget) {
            guard byHost, self.request.form == .origin, self.request.flags.contains(.host) else { return }
            self.request.flags.formUnion([.absoluteTarget, .hostTarget])
        }
        let authority = self.request.authority.whole
        if let index = self.requestHeaders.firstIndex(of: .host),
            self.requestHeaders.value(at: index, equals: authority)
        {
            return
        }
        self.requestHeaders.remove(.host)
        self.requestHeaders.append(.host, "Host", valueFrom: authority)
    }

    /// Takes the port out of the target, and of `Host`.
    package mutating func dropPort() {
        let old = self.request.authority
        guard !old.portDigits.isEmpty else { return }
        self.request.authority = Authority()
        self.request.authority.whole = ByteRange(Int(old.whole.lower), Int(old.portDigits.lower) - 1)
        self.request.authority.host = old.host
        self.requestHeaders.remove(.host)
        self.requestHeaders.append(.host, "Host", valueFrom: self.request.authority.whole)
    }

    /// Says in a response of HTTP/2 that has ended with its head what HTTP/1.1 must be told: that there is no body.
    mutating func stateEmptyBody(_ length: Int?) {
        let status = self.response.status
        guard length == 0, self.request.method != .head, status >= 200, status != 204, status != 304,
            !self.responseHeaders.contains(.contentLength)
        else { return }
        self.responseHeaders.append(.contentLength, "Content-Length", "0")
    }

    /// Removes what a peer that is not trusted says about its own client: `X-Forwarded-For`, `-Host` and `-Proto`,
    /// `Forwarded`, `X-Real-IP`, and the same with underscores, which many applications cannot tell apart; also `X-Mark`, by
    /// which a client would choose its own limit.
    ///
    /// A scheme that was sent is replaced by the true one. Nothing is added in place of the others, since nothing is when
    /// they are absent; only the incoming side says the host, as it does for every request. `X-Forwarded-Port` is not a
    /// claim but part of the destination, and stays.
    mutating func removeUntrustedClaims() {
        guard !self.isPeerTrusted, !self.requestHeaders.hasNone(of: HeaderName.claims) else { return }
        let hasScheme = self.requestHeaders.contains(.xForwardedProto)
        for name in [
            HeaderName.forwarded, .xForwardedFor, .xForwardedHost, .xForwardedProto, .xRealIP, .xMark, .aliasOfClaim,
        ] {
            self.requestHeaders.remove(name)
        }
        guard hasScheme else { return }
        self.requestHeaders.append(.xForwardedProto, "X-Forwarded-Proto", self.isSecure ? "https" : "http")
    }

    /// The answer to a request that goes no further, whatever the listener: `nil` for all others.
    ///
    /// TRACE would show a client what others have added to its request. CONNECT is for the outgoing side, where a stage
    /// says where it leads. An OPTIONS request that may not be forwarded any more is for us.
    ///
    /// - Source: RFC 9110 §7.6.2, §9.3.6, §9.3.8 and §10.1.1.
    mutating func takeFirstReply(direction: Direction) -> LocalReply? {
        switch self.request.method {
        case .trace: return LocalReply(ProxyError(.methodRefused))
        case .connect where direction == .incoming: return LocalReply(ProxyError(.methodRefused))
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
