// SPDX-License-Identifier: Apache-2.0
// request path

import BasicContainers
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
    /// Whether its targets differ in that, so that a request has its target before.
    package let choosesFirst: Bool
    /// Counts the requests that something is done to, where their number is limited.
    package let activeFaults: ActiveFaults?
    /// See ``RouteExtras/hostField``.
    let hostField: [UInt8]?
    /// The copies of requests that other clusters get.
    let mirrors: [MirrorEffect]

    /// What `action` comes to.
    init(
        _ action: RouteAction, targets: [RouteEffect?] = [], limiter: RateLimiter? = nil,
        activeFaults: ActiveFaults? = nil, mirrors: [MirrorEffect] = []
    ) {
        self.mirrors = mirrors
        self.action = action
        self.targets = targets
        self.limiter = limiter
        let choosesFirst = targets.contains { target in
            target.map { $0.action.fault != action.fault || $0.action.extras.hasOwnCORS } ?? false
        }
        self.choosesFirst = choosesFirst
        self.hinders = limiter != nil || action.fault != nil || action.extras.refusesUpgrades || choosesFirst
        self.activeFaults = activeFaults
        self.hostField = action.extras.hostField.map { Array($0.utf8) }
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
        let faults = old.lazy.compactMap { $0?.activeFaults }.first ?? ActiveFaults()
        return (host?.routes ?? []).map { route in
            let mirrors = route.mirrors.map { MirrorEffect($0, limit: route.action?.limits.call) }
            let own = route.targets.map { target in
                target.action.map {
                    RouteEffect($0, activeFaults: $0.fault?.most == nil ? nil : faults, mirrors: mirrors)
                }
            }
            let isOwn = own.contains { $0 != nil }
            guard route.action != nil || isOwn || !mirrors.isEmpty else { return nil }
            let action = route.action ?? RouteAction()
            var limiter: RateLimiter?
            if let limit = action.limit {
                limiter = limiters[limit] ?? RateLimiter(rate: limit.rate)
                limiters[limit] = limiter
            }
            return RouteEffect(
                action, targets: isOwn ? own : [], limiter: limiter,
                activeFaults: action.fault?.most == nil ? nil : faults, mirrors: mirrors)
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
        self.action.rewrite != nil || self.host != nil || !self.requestEdits.isEmpty || self.hostField != nil
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
            if effect.action.extras.keepsHost { self.keepHost() }
            self.requestHeaders.remove(.host)
            self.requestHeaders.append(host)
        }
        if effect.fillsRequest {
            self.apply(filling: effect.requestEdits, toResponse: false)
        } else {
            self.requestHeaders.apply(effect.requestEdits)
        }
        if let name = effect.hostField { self.setHost(fromField: name, keepsHost: effect.action.extras.keepsHost) }
    }

    /// Has `Host` say what another field says, where there is one that says something.
    private mutating func setHost(fromField name: [UInt8], keepsHost: Bool) {
        guard let index = self.requestHeaders.firstIndex(ofLowercased: name),
            !self.requestHeaders.fields[index].value.isEmpty
        else { return }
        if keepsHost { self.keepHost() }
        let worker = self.worker
        worker.withScratch { value in
            self.requestHeaders.withValue(at: index) { $0.append(0..<$0.byteCount, to: &value) }
            self.requestHeaders.remove(.host)
            self.requestHeaders.append(Self.hostName, .host, value: value)
        }
    }

    private static let hostName = Array("Host".utf8)
    private static let forwardedHostName = Array("X-Forwarded-Host".utf8)

    /// Adds what `Host` says to what `X-Forwarded-Host` does, unless it is the last there.
    private mutating func keepHost() {
        guard let host = self.requestHeaders.firstIndex(of: .host) else { return }
        let known = self.requestHeaders.firstIndex(of: .xForwardedHost)
        let worker = self.worker
        worker.withScratch { value in
            if let known {
                self.requestHeaders.withValue(at: known) { $0.append(0..<$0.byteCount, to: &value) }
                var last = value.count
                while last > 0, value[last - 1] != .comma { last -= 1 }
                while last < value.count, value[last] == .space { last += 1 }
                let isThere = self.requestHeaders.withValue(at: host) { $0.isEqual(to: Array(value[last...])) }
                if isThere { return }
                if !value.isEmpty { value.append(.comma) }
            }
            self.requestHeaders.withValue(at: host) { $0.append(0..<$0.byteCount, to: &value) }
            self.requestHeaders.remove(.xForwardedHost)
            self.requestHeaders.append(Self.forwardedHostName, .xForwardedHost, value: value)
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
        if self.effect?.action.extras.keepsHost == true { self.keepHost() }
        self.requestHeaders.remove(.host)
        self.requestHeaders.append(host)
    }

    /// What a route answers in place of an instance.
    ///
    /// Allocates: it is the end of the request.
    package func reply(_ answer: RouteAction.Answer, _ effect: RouteEffect) -> LocalReply {
        var reply: LocalReply
        let isEnvoys = self.target?.policy.host?.profile == .envoy
        switch answer {
        case .reply(let fixed):
            reply = LocalReply(status: fixed.status, body: fixed.body)
            reply.octets = fixed.octets
            reply.contentType = fixed.contentType
            // As Envoy has it: what is there, or elsewhere, has an address.
            if isEnvoys, fixed.status == 201 || 300...399 ~= fixed.status {
                reply.headers = [.init("Location", self.location(Redirect(status: fixed.status, keepsPort: true)))]
            }
        case .redirect(let redirect):
            reply = LocalReply(status: redirect.status)
            reply.headers = [.init("Location", self.location(redirect))]
        }
        if isEnvoys { reply.grpcStatus = GRPCStatus.envoyCode(ofHTTP: reply.status) }
        effect.edit(&reply, of: self)
        return reply
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
