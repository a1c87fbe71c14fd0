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

    private let hosts: ExternalHosts
    private let services: [String: Service]

    init(_ hosts: ExternalHosts) {
        self.hosts = hosts
        self.services = Dictionary(
            hosts.rules.map { ($0.pattern, Service(name: $0.pattern, instances: [], ownApp: "")) },
            uniquingKeysWith: { first, _ in first })
    }

    /// The external host that a request names; `nil` when it names none that is listed.
    ///
    /// - Parameter own: The sidecar's listeners, which no name may lead to.
    func find(_ exchange: inout Exchange, _ governance: Governance, _ own: OwnListeners) -> Finding? {
        let isTunnel = exchange.request.method == .connect
        guard !self.hosts.isEmpty, isTunnel || exchange.request.flags.contains(.absoluteTarget) else { return nil }
        let authority = exchange.request.authority
        let rule = exchange.requestHeaders.withBytes(in: authority.host) { self.hosts.match(host: $0) }
        guard let rule, let service = self.services[rule.pattern] else {
            return nil
        }
        let asked = authority.portDigits.isEmpty ? nil : authority.port
        if isTunnel, !rule.allows(port: authority.port) {
            return .refused(ProxyError(.destinationRefused, "destination refused: the port is not listed"))
        }
        let host = rule.isWildcard ? exchange.requestHeaders.string(in: authority.host).lowercased() : rule.pattern
        let port = isTunnel ? authority.port : rule.httpPort(requested: asked)
        switch exchange.worker.addresses.look(host, port: port, at: exchange.worker.now) {
        case .pending(let future): return .wait(future)
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
            let target = exchange.worker.state(ofHost: service, governance)
            exchange.isExternal = true
            exchange.target = target
            exchange.counters = target.counters
            exchange.timeout = target.timeout
            exchange.endpoint = endpoint
            return .found
        }
    }
}
