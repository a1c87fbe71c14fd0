// SPDX-License-Identifier: Apache-2.0

import Common
import Proxy

extension Explainer.Walk {
    /// What the clusters of a route say beyond where they are, a line for each thing.
    static func clusters(of rule: Route?, _ policy: ServicePolicy) -> [String] {
        var lines: [String] = []
        for target in rule?.targets ?? [] {
            guard let cluster = policy.host?.clusters[target.cluster], let settings = cluster.settings else { continue }
            let name = cluster.name ?? ""
            if let tickets = policy.tickets[target.cluster] {
                let counts = Self.counts(settings, tickets)
                lines.append("cluster \(name) has \(counts.joined(separator: ", "))")
            }
            let server = settings.serverName.map { ", to \($0)" } ?? ""
            switch settings.tls {
            case nil: break
            case .off: lines.append("cluster \(name) is spoken to in plain text")
            case .on: lines.append("cluster \(name) is spoken to by TLS\(server)")
            case .tag(let tag): lines.append("cluster \(name) is spoken to by TLS as ssl.\(tag) says\(server)")
            }
        }
        return lines
    }

    /// What is under way of what is limited.
    private static func counts(_ settings: ClusterSettings, _ tickets: ClusterTickets) -> [String] {
        let all: [(Int?, Int, String)] = [
            (settings.maxRequests, tickets.requestCount, "requests"),
            (settings.maxRetries, tickets.retryCount, "retries"),
            (settings.maxConnections, tickets.places.count, "connections"),
            (settings.maxPending, tickets.pendingCount, "requests that wait for one"),
        ]
        return all.compactMap { limit, count, what in limit.map { "\(count) of \($0) \(what)" } }
    }
}
