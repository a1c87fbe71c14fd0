// SPDX-License-Identifier: Apache-2.0

/// What the subsets of services select by, which clusters do not say: they have the names of subsets only.
struct SubsetTable: Sendable, Equatable {
    /// Labels by subset, by host.
    private var labels: [String: [String: [String: String]]] = [:]

    /// Nothing is known.
    init() {}

    /// Adds the rules of a namespace; of two subsets of one name the first one counts.
    mutating func add(_ rules: DestinationRules, namespace: String, domain: String) {
        let place = MeshPlace(namespace: namespace, domain: domain)
        for rule in rules.inOrder {
            // A short name means a service of the rule's namespace.
            for host in rule.spec?.host.map({ place.hosts(of: $0) }) ?? [] {
                for subset in rule.spec?.subsets ?? [] where self.labels[host]?[subset.name] == nil {
                    self.labels[host, default: [:]][subset.name] = subset.labels ?? [:]
                }
            }
        }
    }

    /// The labels of a cluster's subset; `nil` where nobody says them, or there are none.
    subscript(key: ClusterName) -> [String: String]? {
        let known = self.labels[key.host.lowercased()]?[key.subset] ?? ServiceKey.labels(named: key.subset)
        return known?.isEmpty == false ? known : nil
    }
}
