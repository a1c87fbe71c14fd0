// SPDX-License-Identifier: Apache-2.0

/// Endpoints that are interchangeable for a route, and what holds for calls of them.
package struct Cluster: Sendable, Hashable {
    /// Whose endpoints they are.
    package enum Members: Sendable, Hashable {
        /// The instances of the called service that have these tags.
        case own(InstanceTags)
        /// The instances of another service that have these tags.
        case service(String, InstanceTags)
        /// Addresses that are written down.
        case fixed([ClusterEntry])
        /// The host that the request itself names, which a rule allows.
        case requested(ExternalHosts.Rule)
    }

    /// What people call it; `nil` where clusters have no names.
    package let name: String?
    /// See ``Members``.
    package let members: Members
    /// What differs from the virtual host's own settings; `nil` for nothing.
    package let settings: ClusterSettings?

    /// A cluster.
    package init(name: String? = nil, _ members: Members, settings: ClusterSettings? = nil) {
        self.name = name
        self.members = members
        self.settings = settings
    }

    /// The instances of the called service that have these tags.
    package init(_ tags: InstanceTags) { self.init(.own(tags)) }

    /// Whether its endpoints are not those of the called service.
    package var isElsewhere: Bool { if case .own = self.members { false } else { true } }

    /// What its instances must be; nothing where they are written down.
    package var tags: InstanceTags {
        switch self.members {
        case .own(let tags), .service(_, let tags): tags
        case .fixed, .requested: InstanceTags()
        }
    }
}

/// One endpoint of a cluster, and its share.
package struct ClusterEntry: Sendable, Hashable {
    /// `rest://address:port`, as registries keep endpoints.
    package let endpoint: String
    /// Its part of the sum of the weights of the cluster's endpoints of the same priority.
    package let weight: Int
    /// Lower ones are used first.
    package let priority: Int
    /// Whether it is spoken to in plain text, whatever holds for the cluster.
    package let isPlain: Bool

    /// Where it is; `nil` where that is not said.
    package let locality: Locality?
    /// What `Host` says for it; `nil` for what it says anyway.
    package let host: String?
    /// What whoever watches the endpoint says of it.
    package let condition: Condition

    /// The conditions that are told apart.
    package enum Condition: Sendable, Hashable {
        /// It serves, or nothing is said.
        case healthy
        /// It serves what healthy ones cannot.
        case degraded
        /// It serves only where so few are left that all are used.
        case unhealthy
    }

    /// An entry.
    package init(
        _ endpoint: String, weight: Int = 1, priority: Int = 0, isPlain: Bool = false, locality: Locality? = nil,
        host: String? = nil, condition: Condition = .healthy
    ) {
        self.host = host
        self.condition = condition
        self.locality = locality
        self.endpoint = endpoint
        self.weight = weight
        self.priority = priority
        self.isPlain = isPlain
    }
}

/// Whether TLS is spoken to a cluster.
package enum ClusterTLS: Sendable, Hashable {
    /// It is not.
    case off
    /// As `tls.yaml` says for the service; where it says nothing there are no connections.
    case on
    /// As a tag of `tls.yaml` says.
    case tag(String)
    /// As a control plane says.
    case mesh(MeshTLS)
}

/// What holds for calls of a cluster, where it is not what holds for its virtual host.
package struct ClusterSettings: Sendable, Hashable {
    /// How an endpoint is chosen.
    package var strategy: BalancingPolicy.Strategy?
    /// The share of endpoints, in percent, that may be chosen: below it all are used; 0 for never.
    package var panicThreshold = 0
    /// The longest time to connect; `nil` for the listener's.
    package var connectTimeout: Duration?
    /// Most requests at a time, of the process; `nil` for no limit.
    package var maxRequests: Int?
    /// Most retries at a time, of the process; `nil` for no limit.
    package var maxRetries: Int?
    /// What takes the place of ``maxRetries``; `nil` for nothing.
    package var retryBudget: ClusterRetryBudget?
    /// Most connections, of the process; `nil` for no limit.
    package var maxConnections: Int?
    /// Most requests that wait for one of these, of the process; `nil` for no limit.
    package var maxPending: Int?
    /// The port that is called in place of the endpoints' own.
    package var port: UInt16?
    /// Whether HTTP/2 is spoken without TLS.
    package var isHTTP2 = false
    /// Whether HTTP/2 is spoken for requests that came by it, and HTTP/1.1 for the others.
    package var followsClient = false
    /// How long connections are used.
    package var life = ConnectionLife()

    /// When an endpoint is left alone; `nil` for what holds for the virtual host, and for endpoints that a control plane has
    /// assigned: never.
    package var outliers: ClusterOutliers?
    /// What each place takes of the requests, whatever the distance; empty where the near ones come first.
    package var localityWeights: [LocalityWeight] = []
    /// How many points a ring of hashes has, besides what makes shares even.
    package var ringSize = Self.usualRing
    /// How many places a table of Maglev has, a prime number; `nil` for 65537.
    package var tableSize: Int?
    /// Whether TLS is spoken; `nil` for what holds for the service.
    package var tls: ClusterTLS?
    /// The name that its endpoints are asked for, and have to prove, in place of the service's.
    package var serverName: String?

    /// Points of a ring where nobody says how many: beyond the last number its memory would be felt.
    package static let usualRing = 1...1_048_576

    /// Nothing.
    package init() {}

    /// Most retries at a time, of the process; `nil` for no limit.
    ///
    /// - Parameter requests: How many requests are under way.
    package func mostRetries(of requests: Int) -> Int? { self.retryBudget?.most(of: requests) ?? self.maxRetries }

    /// Whether anything is limited.
    package var hasLimits: Bool {
        self.maxRequests != nil || self.maxRetries != nil || self.retryBudget != nil || self.maxConnections != nil
            || self.maxPending != nil
    }
}

/// What instances must be to get a request: metadata by name.
package struct InstanceTags: Sendable, Hashable {
    /// A version, `latest` for the newest that an instance can be had of, or empty for any.
    package let version: String
    /// An application; `nil` for the caller's own.
    package let app: String?
    /// Other properties.
    package let properties: [String: String]

    /// Tags.
    package init(version: String = "latest", app: String? = nil, properties: [String: String] = [:]) {
        self.version = version
        self.app = app
        self.properties = properties
    }
}
