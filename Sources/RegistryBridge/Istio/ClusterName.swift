// SPDX-License-Identifier: Apache-2.0

/// The name that Istio gives a cluster of outgoing calls: `outbound|8080|v1|cart.shop.svc.cluster.local`.
///
/// - Source: Istio's `BuildSubsetKey`.
struct ClusterName: Sendable, Hashable {
    /// The port of the service.
    let port: UInt16
    /// Empty for all of its endpoints.
    let subset: String
    /// The host of the service.
    let host: String

    /// The name as Istio writes it.
    var text: String { "outbound|\(self.port)|\(self.subset)|\(self.host)" }

    init(port: UInt16, subset: String, host: String) {
        self.port = port
        self.subset = subset
        self.host = host
    }

    /// Reads a name; `nil` for clusters of another kind, such as `PassthroughCluster`.
    init?(_ name: String) {
        let parts = name.split(separator: "|", omittingEmptySubsequences: false)
        guard parts.count == 4, parts[0] == "outbound", let port = UInt16(parts[1]), port > 0, !parts[3].isEmpty else {
            return nil
        }
        self.port = port
        self.subset = String(parts[2])
        self.host = String(parts[3])
    }
}

/// Where the sidecar runs, as far as names depend on it.
struct MeshPlace: Sendable, Hashable {
    /// The Kubernetes namespace.
    let namespace: String
    /// The domain of the cluster.
    let domain: String

    /// What limits, circuits and metrics know a host as: the name of its service, with the namespace where that is
    /// another one; hosts that are no services of Kubernetes keep theirs.
    func label(of host: String) -> String {
        let suffix = ".svc.\(self.domain)"
        guard host.hasSuffix(suffix) else { return host }
        let parts = host.dropLast(suffix.count).split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 2 else { return host }
        return parts[1] == self.namespace ? String(parts[0]) : "\(parts[0]).\(parts[1])"
    }

    /// The namespace of a service of Kubernetes; `nil` for other hosts.
    func namespace(of host: String) -> String? {
        let suffix = ".svc.\(self.domain)"
        guard host.hasSuffix(suffix) else { return nil }
        let parts = host.dropLast(suffix.count).split(separator: ".", omittingEmptySubsequences: false)
        return parts.count == 2 ? String(parts[1]) : nil
    }

    /// The names under which requests may know a host, longest first.
    func names(of host: String) -> [String] {
        let suffix = ".svc.\(self.domain)"
        guard host.hasSuffix(suffix) else { return [host] }
        let short = String(host.dropLast(suffix.count))
        let parts = short.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 2 else { return [host] }
        let own = parts[1] == self.namespace ? [String(parts[0])] : []
        return [host, "\(short).svc", short] + own
    }

    /// The hosts that a request may mean by a name, the likeliest first.
    func hosts(of name: String) -> [String] {
        let name = name.lowercased()
        let suffix = ".svc.\(self.domain)"
        switch name.split(separator: ".", omittingEmptySubsequences: false).count {
        case 1: return ["\(name).\(self.namespace)\(suffix)", name]
        case 2: return [name, "\(name)\(suffix)"]
        case 3 where name.hasSuffix(".svc"): return ["\(name).\(self.domain)", name]
        default: return [name]
        }
    }
}
