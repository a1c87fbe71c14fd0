// SPDX-License-Identifier: Apache-2.0

import Common
import Proxy

extension Explainer.Walk {
    /// What the clusters of a route say beyond where they are, a line for each thing.
    ///
    /// - Parameter own: Where this process is.
    static func clusters(of rule: Route?, _ policy: ServicePolicy, near own: RegionConfig) -> [String] {
        var lines: [String] = []
        for target in rule?.targets ?? [] {
            guard let index = target.cluster, let cluster = policy.host?.clusters[index] else { continue }
            let name = cluster.name ?? ""
            if let own = target.action {
                for edit in own.requestEdits.dropFirst(rule?.action?.requestEdits.count ?? 0) {
                    lines.append("\(edit) in requests to \(name)")
                }
                for edit in own.responseEdits.dropFirst(rule?.action?.responseEdits.count ?? 0) {
                    lines.append("\(edit) in answers of \(name)")
                }
                if own.extras.hasOwnCORS {
                    let pages = own.extras.cors.map { $0.allowsAll ? "pages of all origins" : Self.pages($0) }
                    lines.append("\(pages ?? "no pages of other origins") may read answers of \(name)")
                }
            }
            if case .fixed(let entries) = cluster.members {
                for entry in entries {
                    if let host = entry.host { lines.append("Host becomes \(host) at \(entry.endpoint)") }
                }
            }
            lines += Self.localities(of: cluster, near: own)
            guard let settings = cluster.settings else { continue }
            if let tickets = policy.tickets[index] {
                let counts = Self.counts(settings, tickets)
                lines.append("cluster \(name) has \(counts.joined(separator: ", "))")
            }
            let server = settings.serverName.map { ", to \($0)" } ?? ""
            switch settings.tls {
            case nil: break
            case .off: lines.append("cluster \(name) is spoken to in plain text")
            case .on: lines.append("cluster \(name) is spoken to by TLS\(server)")
            case .tag(let tag): lines.append("cluster \(name) is spoken to by TLS as ssl.\(tag) says\(server)")
            case .mesh(let tls): lines.append("cluster \(name) is spoken to by \(Self.words(tls))")
            }
        }
        return lines
    }

    private static func pages(_ policy: CORSPolicy) -> String {
        "pages whose origin \(policy.origins.map { "\($0)" }.joined(separator: ", or "))"
    }

    private static func words(_ tls: MeshTLS) -> String {
        let client =
            switch tls.credentials {
            case .identity: "mutual TLS with the identity of this workload"
            case .files("", _, _): "TLS"
            case .files(let certificate, _, _): "mutual TLS with \(certificate)"
            }
        let server = tls.serverName.isEmpty ? "" : ", to \(tls.serverName)"
        return client + server
            + (tls.names.isEmpty ? "" : ", which has to prove \(tls.names.joined(separator: " or "))")
    }

    /// Who gets copies, a line for each.
    static func mirrors(of rule: Route, _ host: VirtualHost) -> [String] {
        rule.mirrors.map { mirror in
            "\(Self.percent(mirror.share)) copied to \(host.clusters[mirror.cluster].name ?? "")"
        }
    }

    /// Which of its endpoints come first, or what each place takes.
    private static func localities(of cluster: Cluster, near own: RegionConfig) -> [String] {
        guard case .fixed(let entries) = cluster.members else { return [] }
        let name = cluster.name ?? ""
        let weights = cluster.settings?.localityWeights ?? []
        let total = max(1, weights.reduce(0) { $0 + $1.weight })
        if !weights.isEmpty {
            let parts = weights.map { "\($0.weight * 100 / total) % to \($0.locality)" }
            return ["cluster \(name) sends \(parts.joined(separator: ", "))"]
        }
        let places = ["in the own zone", "in other parts of it", "in the own region", "elsewhere"]
        let distances = entries.map { $0.locality?.distance(from: own) ?? 3 }
        guard Set(distances).count > 1 else { return [] }
        let parts = places.indices.compactMap { distance -> String? in
            let count = distances.count { $0 == distance }
            return count == 0 ? nil : "\(count) \(places[distance])"
        }
        return ["cluster \(name) prefers near endpoints: \(parts.joined(separator: ", "))"]
    }

    /// What a target does that answers.
    static func words(_ target: RouteTarget) -> String {
        guard case .reply(let fixed)? = target.action?.answer else { return "nowhere" }
        return "an answer with \(fixed.status)"
    }

    /// What is under way of what is limited.
    private static func counts(_ settings: ClusterSettings, _ tickets: ClusterTickets) -> [String] {
        let all: [(Int?, Int, String)] = [
            (settings.maxRequests, tickets.requestCount, "requests"),
            (settings.mostRetries(of: tickets.requestCount), tickets.retryCount, "retries"),
            (settings.maxConnections, tickets.places.count, "connections"),
            (settings.maxPending, tickets.pendingCount, "requests that wait for one"),
        ]
        return all.compactMap { limit, count, what in limit.map { "\(count) of \($0) \(what)" } }
    }

    /// Whose endpoints are missing, where there are none: a service, or a cluster whose addresses are written down.
    static func owner(of cluster: Cluster, _ service: Service) -> String {
        switch cluster.members {
        case .own: service.name
        case .service(let other, _): other
        case .fixed, .requested: cluster.name ?? ""
        }
    }
}
