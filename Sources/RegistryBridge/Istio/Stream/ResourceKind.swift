// SPDX-License-Identifier: Apache-2.0

package import FoundationEssentials

/// A kind of resources of xDS, in the order in which they are asked for.
package enum ResourceKind: Int, CaseIterable, Sendable {
    /// Clusters; all that there are.
    case cluster
    /// The endpoints of clusters, by the names of clusters.
    case endpoints
    /// Tables of routes, by name.
    case route

    /// What its resources are called on the wire.
    package var typeURL: String {
        switch self {
        case .cluster: "type.googleapis.com/envoy.config.cluster.v3.Cluster"
        case .endpoints: "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"
        case .route: "type.googleapis.com/envoy.config.route.v3.RouteConfiguration"
        }
    }

    /// What xDS v2 calls them.
    var oldTypeURL: String {
        switch self {
        case .cluster: "type.googleapis.com/envoy.api.v2.Cluster"
        case .endpoints: "type.googleapis.com/envoy.api.v2.ClusterLoadAssignment"
        case .route: "type.googleapis.com/envoy.api.v2.RouteConfiguration"
        }
    }

    /// A word for logs and operators.
    package var name: String {
        switch self {
        case .cluster: "clusters"
        case .endpoints: "endpoints"
        case .route: "routes"
        }
    }

    init?(typeURL: String) {
        guard let kind = Self.allCases.first(where: { $0.typeURL == typeURL }) else { return nil }
        self = kind
    }
}

/// What one response of the control plane says.
package struct ResourceUpdate: Sendable, Equatable {
    /// One resource, not read yet.
    package struct Resource: Sendable, Equatable {
        /// `nil` in state of the world, where the resource itself says it.
        package let name: String?
        /// Opaque; in state of the world that of the response.
        package let version: String
        /// What ``bytes`` are; a resource of another kind than the response's is to be refused.
        package let typeURL: String
        /// The message.
        package let bytes: Data
    }

    /// What kind all resources are of.
    package let kind: ResourceKind
    /// What is new or has changed, or is said again.
    package let resources: [Resource]
    /// Names of what is gone; names that nobody knows may be among them.
    package let removed: [String]
    /// Whether what is not in it is gone.
    package let isWhole: Bool
}

/// A resource that was not taken, and why: the control plane is told so.
package struct ResourceRefusal: Sendable, Equatable {
    /// The resource's name, or other words for one that has none.
    package let name: String
    /// A clause for people.
    package let reason: String

    /// Most characters of a reason, which may quote what is refused.
    private static let mostCharacters = 1_000

    /// A refusal; of a long reason the beginning.
    package init(name: String, reason: String) {
        self.name = name
        self.reason = String(reason.prefix(Self.mostCharacters))
    }

    /// The first of many, and how many more there are: a server reads no message of any length.
    static func first(_ refusals: [ResourceRefusal]) -> (refusals: ArraySlice<ResourceRefusal>, more: Int) {
        let first = refusals.prefix(100)
        return (first, refusals.count - first.count)
    }
}
