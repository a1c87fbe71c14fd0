// SPDX-License-Identifier: Apache-2.0

package import Common
package import NIOCore
package import Proxy

/// Looks at what the request path knows of services: circuits, ejections, connections, rules.
///
/// From any thread; no event loop is asked, and nothing is made that was not there.
package enum TrafficInspector {
    /// All services of the mesh.
    ///
    /// - Parameter governance: What governs calls.
    package static func services(
        _ mesh: Mesh, _ governance: Governance, now: NIODeadline
    ) -> [ServiceInspection] {
        let policies = governance.services
        return mesh.services.all.map { service in
            let policy = policies[service.name]
            let circuits = policy.map { $0.scope.isPerInstance ? $0.circuits.all : [:] } ?? [:]
            return ServiceInspection(
                name: service.name, breaker: policy.map { Self.breaker($0.circuit, now) },
                instances: service.instances.flatMap { Self.instances($0, circuits, now) },
                routes: policy?.host.map(Self.routes) ?? [])
        }
    }

    /// A circuit.
    package static func breaker(_ circuit: Circuit, _ now: NIODeadline) -> TrafficDocument.Breaker {
        let report = circuit.report(at: now)
        return TrafficDocument.Breaker(
            enabled: circuit.settings.isEnabled, state: report.state.text, errorPercentage: report.errorPercentage,
            retryAfter: report.untilTrial.map { $0 / .seconds(1) }, inFlight: circuit.inFlight, limit: circuit.limit)
    }

    private static func instances(
        _ instance: Instance, _ circuits: [String: Circuit], _ now: NIODeadline
    ) -> [TrafficDocument.Instance] {
        instance.endpoints.filter { ["rest", "grpc"].contains($0.protocolName) }.map { endpoint in
            let left = endpoint.health.ejectionLeft(at: now)
            var shown = TrafficDocument.Instance(
                id: instance.id, endpoint: endpoint.description, version: instance.version,
                status: instance.status.rawValue, eligible: instance.status.isEligible, ejected: left != nil,
                ejectedFor: left.map { $0 / .seconds(1) },
                breaker: circuits[endpoint.description].map { Self.breaker($0, now) }, connections: 0, idle: 0,
                attempts: 0, failures: 0)
            shown.operator = endpoint.health.order
            for shard in endpoint.traffic.all {
                shown.connections += shard.connections.current
                shown.idle += shard.idle.current
                shown.attempts += shard.attempts.current
                shown.failures += shard.failures.current
            }
            return shown
        }
    }

    private static func routes(_ routes: VirtualHost) -> [ServiceInspection.Route] {
        let shards = routes.hits.all
        return routes.routes.enumerated().map { index, rule in
            ServiceInspection.Route(
                precedence: rule.precedence, match: rule.match.words(reference: rule.reference),
                targets: rule.targets.enumerated().map { place, target in
                    (
                        tags: routes.cluster(of: target)?.tags.all ?? [:], weight: target.weight,
                        hits: shards.reduce(0) { $0 + $1[index][place].current }
                    )
                })
        }
    }
}

extension InstanceTags {
    /// All of them by name, the version and the application too.
    fileprivate var all: [String: String] {
        var tags = self.properties
        tags["version"] = self.version
        if let app = self.app { tags["app"] = app }
        return tags
    }
}

extension Route.Match {
    /// Which requests a rule is for, as a person would say it.
    package func words(reference: String?) -> String {
        switch self {
        case .always: return "every request"
        case .never: return "no request: nothing is called \(reference ?? "")"
        case .marked(let policy): return "marked \(policy.name)"
        case .request(let match):
            var parts: [String] = []
            if let source = match.source { parts.append("caller is \(source)") }
            parts += match.sourceTags.sorted { $0.key < $1.key }.map { "caller's \($0.key) is \($0.value)" }
            parts += match.headers.map { header in
                "\(header.name) \(header.operators.map(\.description).joined(separator: " and "))"
            }
            return parts.isEmpty ? reference.map { "as \($0)" } ?? "every request" : parts.joined(separator: ", ")
        }
    }
}
