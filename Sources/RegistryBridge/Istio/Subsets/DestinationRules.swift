// SPDX-License-Identifier: Apache-2.0

/// DestinationRules as Kubernetes lists them, as far as subsets need them.
///
/// - Source: `networking.istio.io` `DestinationRule`, alike in its versions `v1`, `v1beta1` and `v1alpha3`.
struct DestinationRules: Decodable, Sendable {
    struct Rule: Decodable, Sendable {
        let metadata: Metadata
        let spec: Spec?
    }

    struct Metadata: Decodable, Sendable {
        let name: String
        /// RFC 3339, in one form: later ones are greater texts.
        let creationTimestamp: String?
    }

    struct Spec: Decodable, Sendable {
        let host: String?
        let subsets: [Subset]?
    }

    struct Subset: Decodable, Sendable {
        let name: String
        let labels: [String: String]?
    }

    let items: [Rule]

    /// None.
    static let none = DestinationRules(items: [])

    /// In the order in which Istio merges several for one host: the oldest first.
    var inOrder: [Rule] {
        self.items.sorted {
            ($0.metadata.creationTimestamp ?? "", $0.metadata.name) < (
                $1.metadata.creationTimestamp ?? "", $1.metadata.name
            )
        }
    }
}
