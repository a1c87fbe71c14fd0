// SPDX-License-Identifier: Apache-2.0

/// What Istio's first API calls the endpoints of a service: `world.default.svc.cluster.local|http|version=v1`.
///
/// - Source: Istio's `ServiceKey`.
struct ServiceKey: Sendable, Hashable {
    let host: String
    /// The name of the port.
    let port: String
    /// `version=v1`, several with commas, in the order of their names; empty for all endpoints.
    let labels: String

    /// - Returns: `nil` for a text that is none.
    init?(_ text: String) {
        let parts = text.split(separator: "|", omittingEmptySubsequences: false)
        guard (2...3).contains(parts.count), !parts[0].isEmpty, !parts[1].isEmpty else { return nil }
        self.host = String(parts[0])
        self.port = String(parts[1])
        self.labels = parts.count == 3 ? String(parts[2]) : ""
    }

    /// The key of all endpoints.
    var service: String { "\(self.host)|\(self.port)" }

    /// What the subset is called: the version, or else all labels.
    var subset: String {
        let isVersion = self.labels.hasPrefix("version=") && !self.labels.contains { $0 == "," || $0 == ";" }
        return isVersion ? String(self.labels.dropFirst("version=".count)) : self.labels
    }
}
