// SPDX-License-Identifier: Apache-2.0

/// One object of Kubernetes, by its name.
package struct ClusterObject: Sendable {
    /// What people call it, such as `Secret`.
    let kind: String
    /// What rules of RBAC call its kind.
    let resource: String
    let name: String
    /// `nil` for what belongs to the whole cluster.
    let namespace: String?
    /// Where all of its kind are.
    let collection: String

    /// A Secret.
    package static func secret(_ name: String, in namespace: String) -> ClusterObject {
        ClusterObject(
            kind: "Secret", resource: "secrets", name: name, namespace: namespace,
            collection: "/api/v1/namespaces/\(namespace)/secrets")
    }

    /// What the API server asks when pods are made.
    package static func webhook(_ name: String) -> ClusterObject {
        ClusterObject(
            kind: "MutatingWebhookConfiguration", resource: "mutatingwebhookconfigurations", name: name,
            namespace: nil,
            collection: "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations")
    }

    /// Whether this may name an object.
    package static func isName(_ name: String) -> Bool { Names.isSubdomain(name) }

    /// Where it is.
    var path: String { "\(self.collection)/\(self.name)" }

    /// For messages.
    var text: String { "\(self.kind) \(self.namespace.map { "\($0)/" } ?? "")\(self.name)" }

    /// What may be done with it, as RBAC calls that.
    enum Verb: String {
        case get, create, update, patch, watch
    }

    /// How to let somebody do this.
    func remedy(for verb: Verb) -> String {
        let role = self.namespace.map { "a Role in the namespace \($0)" } ?? "a ClusterRole"
        // What is still to be made has no name that a rule could hold.
        let (limit, rest) =
            verb == .create ? ("", ", or make an empty \(self.text)") : (", resourceNames [\(self.name)]", "")
        return "give the service account \(role) with the verb \(verb.rawValue) for \(self.resource)\(limit)\(rest)"
    }
}
