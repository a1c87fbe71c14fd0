// SPDX-License-Identifier: Apache-2.0
// request path

import Common
import NIOCore
import Proxy

/// Finds the external hosts that egress rules allow, before any registry is asked.
///
/// The rules are the only way out of the mesh, and the only places that CONNECT may open a tunnel to. They are virtual hosts
/// whose only route leads to the host that the request itself names, so it is resolved here, before the rest of their chain.
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

    /// How long a request waits for DNS: as long as for a connection.
    let limit: TimeAmount

    /// The external host that a request names; `nil` when it names none that is listed.
    ///
    /// - Parameter own: The sidecar's listeners, which no name may lead to.
    /// - Parameter virtualHost: The virtual host that has the name; `nil` for none.
    func find(
        _ exchange: inout Exchange, _ rules: MeshRules, _ own: OwnListeners, beside virtualHost: Service?
    ) -> Finding? {
        let isTunnel = exchange.request.method == .connect
        guard !rules.externalHosts.isEmpty, isTunnel || exchange.request.flags.contains(.absoluteTarget) else {
            return nil
        }
        let authority = exchange.request.authority
        guard
            let listed = exchange.requestHeaders.withBytes(
                in: authority.host, { rules.externalHosts.find($0, port: authority.port) })
        else { return nil }
        let target = exchange.worker.state(of: listed, under: rules)
        guard let requested = target.policy.requested else { return nil }
        let rule = requested.rule
        let asked = authority.portDigits.isEmpty ? nil : authority.port
        if isTunnel, !rule.allows(port: authority.port) {
            return .refused(ProxyError(.destinationRefused, "destination refused: the port is not listed"))
        }
        let port = isTunnel ? authority.port : rule.httpPort(requested: asked)
        let listedPort = rule.port(port)
        // What has routes is called by them, also inside of CONNECT; whether it has some is found out first.
        if let name = listedPort?.virtualHost, virtualHost?.name == name || Self.isAwaited(port, exchange, rules) {
            return nil
        }
        let finding: Finding
        if let listedPort, let places = listedPort.places {
            guard let place = Self.choose(places, listedPort.weight, &exchange) else {
                return .refused(ProxyError(.noEndpoint, "lb: No available instance, key: \(rule.pattern)()"))
            }
            finding = self.look(&exchange, place.host, place.port, requested, rules, own)
        } else {
            finding = self.look(&exchange, Self.host(exchange, rule), port, requested, rules, own)
        }
        if case .found = finding {
            exchange.chain = .external
            exchange.target = target
            exchange.counters = target.counters
            exchange.timeout = target.timeout
        }
        return finding
    }

    /// Whether a control plane is still to be asked for the routes of a port.
    private static func isAwaited(_ port: UInt16, _ exchange: borrowing Exchange, _ rules: MeshRules) -> Bool {
        guard let demand = rules.demand(forPort: port) else { return false }
        return exchange.worker.directory.absence(of: demand, at: exchange.worker.now) == nil
    }

    /// One of the places by chance, as their weights have it: the same again while its name is being looked up.
    private static func choose(
        _ places: [ExternalHosts.Place], _ sum: Int, _ exchange: inout Exchange
    ) -> ExternalHosts.Place? {
        if exchange.awaitsUntil != nil, exchange.balancing.index < places.count {
            return places[exchange.balancing.index]
        }
        guard sum > 0 else { return nil }
        var left = Int.random(in: 0..<sum, using: &exchange.worker.random)
        for (index, place) in places.enumerated() {
            left -= place.weight
            if left < 0 {
                exchange.balancing.index = index
                return place
            }
        }
        return nil
    }

    /// The endpoint of a host and port that a request may go to.
    func look(
        _ exchange: inout Exchange, _ host: String, _ port: UInt16, _ requested: RequestedHosts, _ rules: MeshRules,
        _ own: OwnListeners
    ) -> Finding {
        switch exchange.worker.addresses.look(
            host, port: port, for: requested.asker, within: self.limit, at: exchange.worker.now)
        {
        case .pending(let future):
            exchange.awaitsUntil = exchange.worker.now + self.limit
            return .wait(future)
        case .unknown: return .refused(ProxyError(.noEndpoint, "the address of [\(host)] is not known"))
        case .endpoint(let endpoint):
            // Only now: a name may lead anywhere.
            guard rules.allowsLoopback || !endpoint.ip.isInternal else {
                return .refused(
                    ProxyError(.destinationRefused, "destination refused: [\(host)] has an internal address"))
            }
            guard !own.contains(endpoint) else {
                return .refused(ProxyError(.destinationRefused, "destination refused: the sidecar itself"))
            }
            exchange.endpoint = endpoint
            return .found
        }
    }

    /// A request could not be sent to the host that was found for it.
    func connectFailed(_ exchange: borrowing Exchange) {
        guard let rule = exchange.target?.policy.requested?.rule, let endpoint = exchange.endpoint else { return }
        let places = rule.ports.lazy.compactMap(\.places).joined()
        for place in places where Int(place.port) == endpoint.port {
            exchange.worker.addresses.failed(endpoint, of: place.host)
        }
        exchange.worker.addresses.failed(endpoint, of: Self.host(exchange, rule))
    }

    private static func host(_ exchange: borrowing Exchange, _ rule: ExternalHosts.Rule) -> String {
        rule.isWildcard
            ? exchange.requestHeaders.string(in: exchange.request.authority.host).lowercased() : rule.pattern
    }
}
