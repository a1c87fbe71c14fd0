// SPDX-License-Identifier: Apache-2.0
// request path

package import Common
import NIOCore

/// What a route does to its requests, with everything made that can be made before there is one.
///
/// A class, so that taking it along with a request is one reference, and none for routes that do nothing.
package final class RouteEffect: Sendable {
    /// As it was configured.
    package let action: RouteAction
    /// Changes of the request's fields, in their order.
    let requestEdits: [FieldEdit]
    /// Changes of the answer's fields, in their order.
    let responseEdits: [FieldEdit]
    /// Whether values of these are made for each message.
    let fillsRequest, fillsResponse: Bool
    /// See ``RouteAction/host``.
    let host: HeaderLine?
    /// See ``RouteLimits``.
    let headLimit: TimeAmount?
    let callLimit: TimeAmount?
    let idleLimit: TimeAmount?
    /// See ``RouteLimits/grpcCall``.
    let grpcCallLimit: TimeAmount?
    /// See ``RouteLimits/stream``.
    let stream: StreamEffect?
    /// See ``RouteExtras/cors``.
    package let cors: CORSEffect?

    /// Of those targets that do something else, in their order; empty where none does.
    private let targets: [RouteEffect?]
    /// Keeps ``RouteAction/limit``.
    package let limiter: RateLimiter?
    /// Whether requests may be refused or delayed.
    package let hinders: Bool

    /// What `action` comes to.
    init(_ action: RouteAction, targets: [RouteEffect?] = [], limiter: RateLimiter? = nil) {
        self.action = action
        self.targets = targets
        self.limiter = limiter
        self.hinders = limiter != nil || action.fault != nil
        let requestEdits = action.requestEdits.map { FieldEdit($0) }
        let responseEdits = action.responseEdits.map { FieldEdit($0) }
        self.requestEdits = requestEdits
        self.responseEdits = responseEdits
        self.fillsRequest = requestEdits.contains { $0.formatted != nil }
        self.fillsResponse = responseEdits.contains { $0.formatted != nil }
        self.host = action.host.map { HeaderLine("Host", $0) }
        self.headLimit = Self.amount(action.limits.head)
        self.callLimit = Self.amount(action.limits.call)
        self.idleLimit = Self.amount(action.limits.idle)
        self.grpcCallLimit = Self.amount(action.limits.grpcCall) ?? self.callLimit
        self.stream = action.limits.stream.map { StreamEffect($0) }
        self.cors = action.extras.cors.map { CORSEffect($0) }
    }

    /// Those of the routes of a host, in their order.
    ///
    /// - Parameter old: What held until now: a limit that has not changed goes on.
    static func all(of host: VirtualHost?, upon old: [RouteEffect?]) -> [RouteEffect?] {
        var limiters: [RouteLimit: RateLimiter] = [:]
        for effect in old { if let limit = effect?.action.limit { limiters[limit] = effect?.limiter } }
        return (host?.routes ?? []).map { route in
            let own = route.targets.map { $0.action.map { RouteEffect($0) } }
            let isOwn = own.contains { $0 != nil }
            guard route.action != nil || isOwn else { return nil }
            let action = route.action ?? RouteAction()
            var limiter: RateLimiter?
            if let limit = action.limit {
                limiter = limiters[limit] ?? RateLimiter(rate: limit.rate)
                limiters[limit] = limiter
            }
            return RouteEffect(action, targets: isOwn ? own : [], limiter: limiter)
        }
    }

    /// What becomes of the requests of a target.
    @inline(__always)
    package func effect(of target: Int) -> RouteEffect {
        if self.targets.isEmpty { return self }
        return self.targets[target] ?? self
    }

    /// Whether anything of a request is changed.
    fileprivate var changesRequest: Bool {
        self.action.rewrite != nil || self.host != nil || !self.requestEdits.isEmpty
    }

    /// Does to an answer of mesher's own what is done to all.
    ///
    /// - Parameter exchange: What the answer belongs to.
    func edit(_ reply: inout LocalReply, of exchange: borrowing Exchange) {
        let edits = self.action.responseEdits
        for edit in self.fillsResponse ? exchange.filled(edits) : edits {
            let name = edit.name.lowercased()
            let isThere = name == "content-type" || reply.headers.contains { $0.name.lowercased() == name }
            switch edit {
            case .addIfAbsent where isThere: continue
            case .setIfPresent where !isThere: continue
            default: break
            }
            reply.headers.removeAll { edit.removes && $0.name.lowercased() == name }
            switch edit {
            // It stands there already, and once.
            case .set(_, let value) where name == "content-type",
                .setIfPresent(_, let value) where name == "content-type":
                reply.contentType = value
            case .add where name == "content-type": break
            case .remove, .filled: break
            case .set(let name, let value), .add(let name, let value), .addIfAbsent(let name, let value),
                .setIfPresent(let name, let value):
                reply.headers.append(.init(name, value))
            }
        }
    }

    /// No limit is what is longer than anybody waits.
    private static func amount(_ duration: Duration?) -> TimeAmount? {
        duration.map { $0 == .zero ? .hours(24 * 365) : TimeAmount($0) }
    }

    /// One change, its line made.
    struct FieldEdit: Sendable {
        /// In lower case.
        let name: [UInt8]
        let known: HeaderName
        /// Whether fields of the name that are there go.
        let removes: Bool
        /// What it takes for the change: that there is a field of the name, or that there is none; `nil` for nothing.
        let needsField: Bool?
        let line: HeaderLine?
        /// What comes in place of the line; `nil` for most.
        let formatted: FormattedField?

        init(_ edit: HeaderEdit) {
            if case .filled(let plain, let format, let keepsEmpty) = edit {
                self.init(plain, FormattedField(Array(plain.name.utf8), format, keepsEmpty: keepsEmpty))
            } else {
                self.init(edit, nil)
            }
        }

        private init(_ edit: HeaderEdit, _ formatted: FormattedField?) {
            self.formatted = formatted
            let name = Array(edit.name.lowercased().utf8)
            self.name = name
            self.known = HeaderName(name.rawSpan, at: 0, count: name.count)
            self.removes = edit.removes
            switch edit {
            case .remove, .filled: (self.needsField, self.line) = (nil, nil)
            case .set(let name, let value), .add(let name, let value):
                (self.needsField, self.line) = (nil, HeaderLine(name, value))
            case .addIfAbsent(let name, let value):
                (self.needsField, self.line) = (false, HeaderLine(name, value))
            case .setIfPresent(let name, let value):
                (self.needsField, self.line) = (true, HeaderLine(name, value))
            }
        }
    }
}

extension HeaderBlock {
    /// Makes changes that were configured.
    mutating func apply(_ edits: [RouteEffect.FieldEdit]) {
        for edit in edits { self.apply(edit) }
    }

    @inline(__always)
    mutating func apply(_ edit: RouteEffect.FieldEdit) {
        guard self.takes(edit) else { return }
        if edit.removes { self.remove(edit.name, edit.known) }
        if let line = edit.line { self.append(line) }
    }

    /// The same with a value that was made for this message.
    mutating func apply(_ edit: RouteEffect.FieldEdit, _ field: FormattedField, _ value: [UInt8]) {
        guard self.takes(edit) else { return }
        if edit.removes { self.remove(edit.name, edit.known) }
        self.append(field.name, edit.known, value: value)
    }

    @inline(__always)
    private func takes(_ edit: RouteEffect.FieldEdit) -> Bool {
        guard let needed = edit.needsField else { return true }
        return (self.firstIndex(ofLowercased: edit.name) != nil) == needed
    }
}

extension Exchange {
    /// Does to the request what its route says, once for all its tries; where a chain comes here again, anew.
    package mutating func apply(_ effect: RouteEffect) {
        self.effect = effect
        if let mark = self.routeMark {
            self.goBack(to: mark)
        } else if effect.changesRequest {
            self.routeMark = self.requestHeaders.mark()
        }
        if let limit = effect.headLimit { self.timeout = limit }
        if let rewrite = effect.action.rewrite { self.rewritePath(rewrite) }
        if let host = effect.host {
            self.requestHeaders.remove(.host)
            self.requestHeaders.append(host)
        }
        if effect.fillsRequest {
            self.apply(filling: effect.requestEdits, toResponse: false)
        } else {
            self.requestHeaders.apply(effect.requestEdits)
        }
    }

    /// Makes the request what it was at a mark.
    private mutating func goBack(to mark: HeaderBlock.Mark) {
        self.requestHeaders.goBack(to: mark)
        guard let path = self.clientPath, mark.isBefore(self.request.path) else { return }
        self.request.path = path
        self.clientPath = nil
    }

    /// Has `Host` say what the chosen endpoint wants it to, from what it has said before the first choice.
    ///
    /// - Parameter host: `nil` for an endpoint that wants nothing.
    package mutating func setHost(of host: HeaderLine?) {
        if let mark = self.balancing.mark {
            self.goBack(to: mark)
        } else {
            self.balancing.mark = self.requestHeaders.mark()
        }
        guard let host else { return }
        self.requestHeaders.remove(.host)
        self.requestHeaders.append(host)
    }

    /// What a route answers in place of an instance.
    ///
    /// Allocates: it is the end of the request.
    package func reply(_ answer: RouteAction.Answer, _ effect: RouteEffect) -> LocalReply {
        var reply: LocalReply
        switch answer {
        case .reply(let fixed):
            reply = LocalReply(status: fixed.status, body: fixed.body)
            reply.contentType = fixed.contentType
        case .redirect(let redirect):
            reply = LocalReply(status: redirect.status)
            reply.headers = [.init("Location", self.location(redirect))]
        }
        if self.target?.policy.host?.profile == .envoy { reply.grpcStatus = GRPCStatus.envoyCode(ofHTTP: reply.status) }
        effect.edit(&reply, of: self)
        return reply
    }

    /// A hash of the first of the route's keys that the request has; `nil` when it has none.
    package func hash(_ effect: RouteEffect) -> UInt64? {
        for key in effect.action.hashKeys {
            switch key {
            case .header(let name):
                guard let index = self.requestHeaders.firstIndex(ofLowercased: name) else { continue }
                return self.requestHeaders.withValue(at: index) { HashRing.hash($0) }
            case .cookie(let name):
                if let hash = self.requestHeaders.withCookie(name, { HashRing.hash($0) }) { return hash }
            case .query(let name):
                let hash: UInt64? = self.requestHeaders.withBytes(in: self.askedPath) { target in
                    let query = target.extracting(min(target.pathEnd + 1, target.byteCount)..<target.byteCount)
                    return query.parameter(name).map { HashRing.hash(query.extracting($0)) }
                }
                if let hash { return hash }
            case .source:
                if let peer = self.peer.flatMap({ IPAddress($0) }) {
                    return FastRandom.mix(peer.high ^ FastRandom.mix(peer.low))
                }
            }
        }
        return nil
    }

    /// Does to the answer what the route says.
    package mutating func applyToResponse(_ effect: RouteEffect) {
        if effect.fillsResponse {
            self.apply(filling: effect.responseEdits, toResponse: true)
        } else {
            self.responseHeaders.apply(effect.responseEdits)
        }
        if let cors = effect.cors { self.showOrigin(cors) }
    }

    /// Puts another path in place of the one that the client has asked for, which is kept for whoever tells of the
    /// request.
    private mutating func rewritePath(_ rewrite: PathRewrite) {
        let old = self.request.path
        let (front, kept) = self.requestHeaders.withBytes(in: old) { rewrite.parts(of: $0) }
        self.request.path = self.requestHeaders.append(
            front, then: kept.lowerBound + Int(old.lower)..<kept.upperBound + Int(old.lower))
        self.clientPath = old
    }

    /// The path that the client has asked for.
    package var askedPath: ByteRange { self.clientPath ?? self.request.path }

    /// Where a redirect leads.
    ///
    /// Allocates: an answer with it is the end of the request.
    package func location(_ redirect: Redirect) -> String {
        let authority = self.request.authority
        let scheme = redirect.scheme ?? (self.isSecure ? "https" : "http")
        let host = redirect.host ?? self.requestHeaders.string(in: authority.host)
        let usual: UInt16 = scheme == "https" ? 443 : 80
        if redirect.keepsPort { return self.exactLocation(redirect, scheme) }
        let port = redirect.port ?? (redirect.scheme != nil || authority.portDigits.isEmpty ? usual : authority.port)
        var path = self.requestHeaders.string(in: self.request.path)
        if let rewrite = redirect.rewrite {
            let (front, kept) = self.requestHeaders.withBytes(in: self.request.path) { rewrite.parts(of: $0) }
            path = String(decoding: front + Array(path.utf8)[kept], as: UTF8.self)
        }
        let slash = path.hasPrefix("/") ? "" : "/"
        // A client of HTTP/1.0 that names no host goes on where it is: RFC 9110 §10.2.2.
        if host.isEmpty { return "\(slash)\(path)" }
        let isV6 = redirect.host == nil && host.contains(":")
        let name = isV6 ? "[\(host)]" : host
        return "\(scheme)://\(name)\(port == usual ? "" : ":\(port)")\(slash)\(path)"
    }
}

extension Exchange {
    /// The same with the port as Envoy has it.
    ///
    /// - Source: Envoy's `RouteEntryImplBase::newUri`.
    private func exactLocation(_ redirect: Redirect, _ scheme: String) -> String {
        let authority = self.request.authority
        var host = redirect.host ?? self.requestHeaders.string(in: authority.whole)
        if redirect.host == nil, authority.port != 0 {
            // The usual port of the old scheme means nothing in the new one.
            let old = self.isSecure ? "https" : "http"
            let isUsual = authority.port == (self.isSecure ? 443 : 80)
            if redirect.port != nil || scheme != old && isUsual {
                host.removeLast(authority.portDigits.count + 1)
            }
        }
        if let port = redirect.port { host += ":\(port)" }
        var path = self.requestHeaders.string(in: self.request.path)
        if let rewrite = redirect.rewrite {
            let (front, kept) = self.requestHeaders.withBytes(in: self.request.path) { rewrite.parts(of: $0) }
            path = String(decoding: front + Array(path.utf8)[kept], as: UTF8.self)
        }
        if let target = redirect.target {
            let query = path.firstIndex(of: "?").map { path[$0...] } ?? ""
            path = target.contains("?") ? target : target + query
        }
        if redirect.stripsQuery, redirect.target?.contains("?") != true {
            path = String(path.prefix { $0 != "?" })
        }
        return "\(scheme)://\(host)\(path.isEmpty ? "/" : path)"
    }
}

extension PathRewrite {
    /// What a target begins with, and which part of the old one follows: with one slash where the two meet.
    func parts(of target: RawSpan) -> (front: [UInt8], kept: Range<Int>) {
        switch self {
        case .whole(let path): return (path, target.pathEnd..<target.byteCount)
        case .pattern(let pattern):
            let root = RequestMatch.root
            var path = pattern.rewrite(
                target.pathEnd > 0 ? target.extracting(0..<target.pathEnd) : root.rawSpan)
            if path.first != UInt8(ascii: "/") { path.insert(UInt8(ascii: "/"), at: 0) }
            return (path, target.pathEnd..<target.byteCount)
        case .bytes(let length, let replacement):
            // A target without a path asks for the root.
            return (replacement, (target.pathEnd > 0 ? min(length, target.byteCount) : 0)..<target.byteCount)
        case .prefix(let length, let replacement):
            // A target without a path asks for the root.
            let hasPath = target.pathEnd > 0
            let start = hasPath ? min(length, target.byteCount) : 0
            let goesOn = hasPath ? start < target.byteCount && target.byte(at: start) == UInt8(ascii: "/") : length == 0
            if goesOn {
                let joint: [UInt8] = hasPath || replacement.last == UInt8(ascii: "/") ? [] : [UInt8(ascii: "/")]
                let isDouble = hasPath && replacement.last == UInt8(ascii: "/")
                return (replacement + joint, (isDouble ? start + 1 : start)..<target.byteCount)
            }
            return (replacement.isEmpty ? [UInt8(ascii: "/")] : replacement, start..<target.byteCount)
        }
    }
}
