// SPDX-License-Identifier: Apache-2.0
// request path

import Common
import NIOCore
import Proxy

/// Finds the external hosts that egress rules allow, before any registry is asked.
///
/// The rules are the only way out of the mesh, and the only places that CONNECT may open a tunnel to.
///
/// - Source: egress rules of the original; promise T4.
struct ExternalDestinations: Sendable {
    /// What became of a request.
    enum Finding {
        /// The exchange has the endpoint.
        case found
        /// The name is being looked up; ask again.
        case wait(EventLoopFuture<Void>)
        case refused(ProxyError)
    }

    /// Whether none are listed.
    var isEmpty: Bool { self.hosts.isEmpty }

    /// A rule, and what belongs to it.
    private struct Rule: Sendable {
        let rule: ExternalHosts.Rule
        let service: Service
        let asker: NameResolver.Asker
    }

    /// How many names of a rule are looked up at a time.
    private static let threads = 2

    private let hosts: ExternalHosts
    private let limit: TimeAmount
    /// As ``ExternalHosts/rules`` has them.
    private let rules: [Rule]

    /// The hosts that are listed.
    ///
    /// - Parameter limit: How long a request waits for DNS: as long as for a connection.
    init(_ hosts: ExternalHosts, limit: TimeAmount) {
        self.hosts = hosts
        self.limit = limit
        self.rules = hosts.rules.map { rule in
            Rule(
                rule: rule, service: Service(name: rule.pattern, instances: [], ownApp: ""),
                asker: NameResolver.Asker("external \(rule.pattern)", threads: Self.threads))
        }
    }

    /// The external host that a request names; `nil` when it names none that is listed.
    ///
    /// - Parameter own: The sidecar's listeners, which no name may lead to.
    func find(_ exchange: inout Exchange, _ governance: Governance, _ own: OwnListeners) -> Finding? {
        let isTunnel = exchange.request.method == .connect
        guard !self.hosts.isEmpty, isTunnel || exchange.request.flags.contains(.absoluteTarget) else { return nil }
        let authority = exchange.request.authority
        guard let place = exchange.requestHeaders.withBytes(in: authority.host, { self.hosts.place(of: $0) }) else {
            return nil
        }
        let known = self.rules[place]
        let rule = known.rule
        let asked = authority.portDigits.isEmpty ? nil : authority.port
        if isTunnel, !rule.allows(port: authority.port) {
            return .refused(ProxyError(.destinationRefused, "destination refused: the port is not listed"))
        }
        let host = Self.host(exchange, rule)
        let port = isTunnel ? authority.port : rule.httpPort(requested: asked)
        switch exchange.worker.addresses.look(
            host, port: port, for: known.asker, within: self.limit, at: exchange.worker.now)
        {
        case .pending(let future):
            exchange.awaitsUntil = exchange.worker.now + self.limit
            return .wait(future)
        case .unknown: return .refused(ProxyError(.noEndpoint, "the address of [\(host)] is not known"))
        case .endpoint(let endpoint):
            // Only now: a name may lead anywhere.
            guard self.hosts.allowsLoopback || !endpoint.ip.isInternal else {
                return .refused(
                    ProxyError(.destinationRefused, "destination refused: [\(host)] has an internal address"))
            }
            guard !own.contains(endpoint) else {
                return .refused(ProxyError(.destinationRefused, "destination refused: the sidecar itself"))
            }
            let target = exchange.worker.state(ofHost: known.service, governance)
            exchange.isExternal = true
            exchange.target = target
            exchange.counters = target.counters
            exchange.timeout = target.timeout
            exchange.endpoint = endpoint
            return .found
        }
    }

    /// A request could not be sent to the host that was found for it.
    func connectFailed(_ exchange: borrowing Exchange) {
        let authority = exchange.request.authority
        let rule = exchange.requestHeaders.withBytes(in: authority.host) { self.hosts.match(host: $0) }
        guard let rule, let endpoint = exchange.endpoint else { return }
        exchange.worker.addresses.failed(endpoint, of: Self.host(exchange, rule))
    }

    private static func host(_ exchange: borrowing Exchange, _ rule: ExternalHosts.Rule) -> String {
        rule.isWildcard
            ? exchange.requestHeaders.string(in: exchange.request.authority.host).lowercased() : rule.pattern
    }
}
