// SPDX-License-Identifier: Apache-2.0

/// What Istio's first API calls the endpoints of a service: `world.default.svc.cluster.local|http|version=v1`, of a subset
/// also `outbound|http|v1|world.default.svc.cluster.local`.
///
/// - Source: Istio's `ServiceKey`.
struct ServiceKey: Sendable, Hashable {
    let host: String
    /// The name of the port.
    let port: String
    /// `version=v1`, several with commas, in the order of their names; empty for all endpoints.
    let labels: String
    /// What the subset is called: the version, or else all labels.
    let subset: String

    /// - Returns: `nil` for a text that is none.
    init?(_ text: String) {
        let parts = text.split(separator: "|", omittingEmptySubsequences: false)
        if parts.count == 4, parts[0] == "outbound", !parts[1].isEmpty, !parts[3].isEmpty {
            self.host = String(parts[3])
            self.port = String(parts[1])
            self.labels = ""
            self.subset = String(parts[2])
            return
        }
        guard (2...3).contains(parts.count), !parts[0].isEmpty, !parts[1].isEmpty else { return nil }
        self.host = String(parts[0])
        self.port = String(parts[1])
        let labels = parts.count == 3 ? String(parts[2]) : ""
        self.labels = labels
        let isVersion = labels.hasPrefix("version=") && !labels.contains { $0 == "," || $0 == ";" }
        self.subset = isVersion ? String(labels.dropFirst("version=".count)) : labels
    }

    /// The labels that stand in the name of a subset which has no other one.
    ///
    /// - Returns: `nil` for a name, and where one of several sets of labels is enough.
    static func labels(named subset: String) -> [String: String]? {
        guard subset.contains("="), !subset.contains(";") else { return nil }
        return subset.split(separator: ",").reduce(into: [:]) { labels, label in
            guard let equals = label.firstIndex(of: "=") else { return }
            labels[String(label[..<equals])] = String(label[equals...].dropFirst())
        }
    }

    /// The key of all endpoints.
    var service: String { "\(self.host)|\(self.port)" }
}
