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
    func find(_ exchange: inout Exchange, _ rules: MeshRules, _ own: OwnListeners) -> Finding? {
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
        let host = Self.host(exchange, rule)
        let port = isTunnel ? authority.port : rule.httpPort(requested: asked)
        let finding = self.look(&exchange, host, port, requested, rules, own)
        if case .found = finding {
            exchange.chain = .external
            exchange.target = target
            exchange.counters = target.counters
            exchange.timeout = target.timeout
        }
        return finding
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
        exchange.worker.addresses.failed(endpoint, of: Self.host(exchange, rule))
    }

    private static func host(_ exchange: borrowing Exchange, _ rule: ExternalHosts.Rule) -> String {
        rule.isWildcard
            ? exchange.requestHeaders.string(in: exchange.request.authority.host).lowercased() : rule.pattern
    }
}
