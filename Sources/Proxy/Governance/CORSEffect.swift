// SPDX-License-Identifier: Apache-2.0
// request path

import BasicContainers
import Common

/// The policy of a route for pages of other origins, ready to be asked.
package final class CORSEffect: Sendable {
    /// As it was configured.
    let policy: CORSPolicy
    private let allowsAll: Bool
    /// What answers to a page say besides its origin.
    fileprivate let edits: [RouteEffect.FieldEdit]
    /// The same as texts, for answers of mesher's own.
    private let fields: [LocalReply.Header]
    /// What a preflight is answered besides these.
    private let terms: [LocalReply.Header]

    fileprivate static let origin = Array("origin".utf8)
    fileprivate static let requestMethod = Array("access-control-request-method".utf8)
    fileprivate static let requestPrivateNetwork = Array("access-control-request-private-network".utf8)
    fileprivate static let allowOrigin = "access-control-allow-origin"
    fileprivate static let allowOriginName = Array("access-control-allow-origin".utf8)

    /// A policy.
    init(_ policy: CORSPolicy) {
        self.policy = policy
        self.allowsAll = policy.allowsAll
        let credentials = LocalReply.Header(
            "access-control-allow-credentials", policy.allowsCredentials ? "true" : "")
        let exposed = LocalReply.Header("access-control-expose-headers", policy.exposed)
        let fields = [credentials, exposed].filter { !$0.value.isEmpty }
        self.fields = fields
        self.edits = fields.map { RouteEffect.FieldEdit(.set($0.name, $0.value)) }
        let terms = [
            credentials, LocalReply.Header("access-control-allow-methods", policy.methods),
            LocalReply.Header("access-control-allow-headers", policy.headers),
            LocalReply.Header("access-control-max-age", policy.maxAge),
        ]
        self.terms = terms.filter { !$0.value.isEmpty }
    }

    /// Whether a page of this origin may read the answer.
    fileprivate func allows(_ origin: RawSpan) -> Bool {
        self.allowsAll || self.policy.origins.contains { $0.matches(origin) }
    }

    /// The answer to a browser that asks what a page may.
    ///
    /// - Parameter origin: That of the page; `nil` for one that may nothing.
    /// - Parameter isPrivate: Whether the page asks a network that is more private than its own.
    fileprivate func preflight(_ origin: String?, isPrivate: Bool) -> LocalReply {
        var reply = LocalReply(status: 200)
        reply.headers = self.terms
        if let origin { self.edit(&reply, for: origin) }
        if isPrivate, self.policy.allowsPrivateNetwork {
            reply.headers.append(.init("access-control-allow-private-network", "true"))
        }
        return reply
    }

    /// Has an answer of mesher's own say what a page of this origin may.
    fileprivate func edit(_ reply: inout LocalReply, for origin: String) {
        for field in [LocalReply.Header(Self.allowOrigin, origin)] + self.fields {
            reply.headers.removeAll { $0.name.lowercased() == field.name }
            reply.headers.append(field)
        }
    }
}

extension Exchange {
    /// Asks the policy about the request of a page, and remembers its origin where it may read the answer.
    ///
    /// - Returns: The answer to a preflight that goes no further; `nil` for everything else.
    package mutating func admitOrigin(_ cors: CORSEffect) -> LocalReply? {
        guard let index = self.requestHeaders.firstIndex(ofLowercased: CORSEffect.origin),
            !self.requestHeaders.fields[index].value.isEmpty
        else { return nil }
        let share = cors.policy.share
        if share < RequestMatch.all, Int.random(in: 0..<RequestMatch.all, using: &self.worker.random) >= share {
            return nil
        }
        // Nobody can say which of two origins it is.
        let isOne = self.requestHeaders.nextIndex(after: index, ofLowercased: CORSEffect.origin) == nil
        let isAllowed = isOne && self.requestHeaders.withValue(at: index) { cors.allows($0) }
        let origin = self.requestHeaders.fields[index].value
        guard self.isPreflight else {
            if isAllowed { self.makeVisit().origin = origin }
            return nil
        }
        if !isAllowed, cors.policy.passesOnOthers { return nil }
        return cors.preflight(
            isAllowed ? self.requestHeaders.string(in: origin) : nil, isPrivate: self.asksPrivateNetwork)
    }

    /// Whether the request asks what another one may.
    private var isPreflight: Bool {
        guard self.request.method == .options,
            let index = self.requestHeaders.firstIndex(ofLowercased: CORSEffect.requestMethod)
        else { return false }
        return !self.requestHeaders.fields[index].value.isEmpty
    }

    private var asksPrivateNetwork: Bool {
        guard let index = self.requestHeaders.firstIndex(ofLowercased: CORSEffect.requestPrivateNetwork) else {
            return false
        }
        let yes = Array("true".utf8)
        return self.requestHeaders.withValue(at: index) { $0.isEqual(to: yes) }
    }

    /// Has the answer say what the page may that has asked, if it may.
    mutating func showOrigin(_ cors: CORSEffect) {
        guard let origin = self.visit?.origin else { return }
        self.responseHeaders.remove(CORSEffect.allowOriginName, .other)
        let worker = self.worker
        worker.withScratch { value in
            self.requestHeaders.withBytes(in: origin) { $0.append(0..<$0.byteCount, to: &value) }
            self.responseHeaders.append(CORSEffect.allowOriginName, .other, value: value)
        }
        self.responseHeaders.apply(cors.edits)
    }

    /// The same of an answer of mesher's own.
    func showOrigin(in reply: inout LocalReply) {
        guard let origin = self.visit?.origin, let cors = self.effect?.cors else { return }
        cors.edit(&reply, for: self.requestHeaders.string(in: origin))
    }
}
