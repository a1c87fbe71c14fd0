// SPDX-License-Identifier: Apache-2.0

import Common

/// The route rules that hold, as the original's admin API knows them: by service, whoever has said them.
///
/// Of what a control plane says that are the routes that choose among versions: to several clusters, or to one of a subset. A
/// higher precedence is tried first, as in rules of files.
struct ClassicRules {
    private let own: [String: VirtualHost]
    private let told: [String: VirtualHost]

    init(_ routes: RouteTable, _ controlPlane: ControlPlaneRoutes?) {
        let services = controlPlane?.services ?? [:]
        self.own = routes.all.filter { name, host in host.service == nil && services[name] !== host }
        // Of a service at several ports the routes of the lowest are shown.
        let hosts = routes.hosts.filter { $0.value.service != nil }.sorted {
            (Self.port(of: $0.key), $0.key) < (Self.port(of: $1.key), $1.key)
        }
        self.told = hosts.reduce(into: services) { told, host in
            guard let service = host.value.service, told[service] == nil else { return }
            told[service] = host.value
        }
    }

    private static func port(of name: String) -> Int {
        name.split(separator: ":").last.flatMap { Int($0) } ?? .max
    }

    /// All of them, by name.
    var body: OrderedJSON {
        let all = self.told.compactMapValues { Self.rules($0) }.merging(
            self.own.mapValues { OrderedJSON.routeRules($0) }
        ) { $1 }
        return .object(all.sorted { $0.key < $1.key }.map { ($0.key, $0.value) })
    }

    /// Those of one service; `nil` where there are none.
    subscript(service: String) -> OrderedJSON? {
        if let own = self.own[service] { return OrderedJSON.routeRules(own) }
        return self.told[service].flatMap { Self.rules($0) }
    }

    private static func rules(_ host: VirtualHost) -> OrderedJSON? {
        let rules = host.routes.enumerated().filter { _, route in
            let clusters = route.targets.compactMap { host.cluster(of: $0) }
            guard clusters.count == route.targets.count, let first = clusters.first else { return false }
            return clusters.count > 1 || !first.tags.version.isEmpty || !first.tags.properties.isEmpty
        }
        guard !rules.isEmpty else { return nil }
        return .array(
            rules.map { index, route in
                OrderedJSON.routeRule(route, of: host, precedence: host.routes.count - index)
            })
    }
}
