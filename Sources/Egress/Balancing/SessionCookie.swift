// SPDX-License-Identifier: Apache-2.0
// request path

import Common
import Proxy

/// The cookie by which requests of one client's session meet the same instance: `go-chassisLB`.
///
/// - Source: `SessionStickiness` of go-chassis, whose sessions were those of the whole process by mistake.
enum SessionCookie {
    private static let name = Array("go-chassisLB".utf8)
    private static let prefix = Array("go-chassisLB=".utf8)

    /// The instance that the request's session sticks to.
    ///
    /// - Returns: `nil` when the request has no session, or its instance is no longer there, or disabled.
    static func instance(_ exchange: inout Exchange, _ sessions: SessionTable, _ balancer: ClusterBalancer) -> Int? {
        let now = exchange.worker.now
        let id = exchange.requestHeaders.withCookie(Self.name) { value in
            // The original wrote its name into the value as well.
            let hasPrefix =
                value.byteCount > Self.prefix.count
                && value.extracting(0..<Self.prefix.count).isEqual(to: Self.prefix)
            return value.string(in: (hasPrefix ? Self.prefix.count : 0)..<value.byteCount)
        }
        guard let id, let address = sessions.endpoint(of: Array(id.utf8).rawSpan, at: now) else { return nil }
        exchange.balancing.session = id
        guard let index = balancer.index(of: address) else { return nil }
        let endpoint = balancer.set.endpoints[index]
        if endpoint.health.order == .disabled { return nil }
        guard !exchange.balancing.failed.contains(where: { $0 === endpoint }) else { return nil }
        return index
    }

    /// Remembers which instance has answered, and tells a client that has no session the name of its own.
    static func answer(_ exchange: inout Exchange) {
        guard let sessions = exchange.target?.policy.sessions, let balancer = exchange.balancing.balancer else {
            return
        }
        let now = exchange.worker.now
        // The instance's own, wherever a stage behind the choice has sent the request.
        let address = balancer.set.endpoints[exchange.balancing.index].description
        // A failure is counted where failures are.
        if exchange.attempt.isFailure || exchange.attempt.isUnseen { return }
        let id = Self.idOfResponse(exchange) ?? exchange.balancing.session
        let known = id ?? SessionTable.newID()
        sessions.remember(Array(known.utf8).rawSpan, endpoint: address, at: now)
        if id == nil { exchange.responseHeaders.append(.setCookie, "Set-Cookie", "go-chassisLB=\(known)") }
    }

    /// The session that the upstream has begun itself.
    private static func idOfResponse(_ exchange: borrowing Exchange) -> String? {
        guard let value = exchange.responseHeaders.string(of: .setCookie), value.hasPrefix("go-chassisLB=") else {
            return nil
        }
        return String(value.dropFirst(Self.prefix.count).prefix { $0 != ";" })
    }
}
