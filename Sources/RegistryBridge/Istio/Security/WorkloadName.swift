// SPDX-License-Identifier: Apache-2.0

/// What a workload is called in a mesh: `spiffe://<trust domain>/ns/<namespace>/sa/<service account>`.
///
/// - Source: the SPIFFE ID standard §2, and Istio's form of the path.
package struct WorkloadName: Sendable, Hashable, CustomStringConvertible {
    /// Whose mesh it is.
    package let trustDomain: String
    /// Kubernetes' namespace.
    package let namespace: String
    /// The account that it runs as.
    package let serviceAccount: String

    /// A name of these parts.
    package init(trustDomain: String, namespace: String, serviceAccount: String) {
        self.trustDomain = trustDomain
        self.namespace = namespace
        self.serviceAccount = serviceAccount
    }

    /// Reads a name; `nil` for what has another form.
    package init?(_ text: String) {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
        guard parts.count == 7, parts[0] == "spiffe:", parts[1].isEmpty, parts[3] == "ns", parts[5] == "sa",
            [parts[2], parts[4], parts[6]].allSatisfy({ !$0.isEmpty })
        else { return nil }
        self.init(trustDomain: parts[2], namespace: parts[4], serviceAccount: parts[6])
    }

    /// As certificates have it.
    package var description: String {
        "spiffe://\(self.trustDomain)/ns/\(self.namespace)/sa/\(self.serviceAccount)"
    }

    /// Accounts of a namespace, in any trust domain.
    struct Accounts: Sendable {
        let namespace: String
        let serviceAccounts: Set<String>

        /// Those that a control plane runs as whose service has this name.
        ///
        /// - Source: Istio 1.0 to 1.6.
        static func controlPlane(of serverName: String) -> Self {
            let labels = serverName.split(separator: ".")
            return Self(
                namespace: labels.count > 1 ? String(labels[1]) : "istio-system",
                serviceAccounts: ["istio-pilot-service-account", "istiod-service-account"])
        }

        func contains(_ text: String) -> Bool {
            guard let name = WorkloadName(text) else { return false }
            return name.namespace == self.namespace && self.serviceAccounts.contains(name.serviceAccount)
        }
    }
}
