// SPDX-License-Identifier: Apache-2.0

/// What becomes of the requests for one name: the routes for it, and where they lead.
package final class VirtualHost: Sendable {
    /// What becomes of a request that no route matches.
    package enum Unmatched: Sendable, Equatable {
        /// It goes to the newest version of the service, as ServiceComb has it.
        case newestVersion
        /// It is answered with 404.
        case notFound
    }

    /// The chains of handlers that there are.
    package enum Chain: Sendable {
        /// Of services and of the virtual hosts of `mesh.yaml`.
        case services
        /// Of external hosts.
        case external
    }

    /// In the order in which they are tried; the first that matches decides.
    package let routes: [Route]
    /// The different clusters of all targets and mirrors: ``RouteTarget/cluster`` and ``RouteMirror/cluster`` are indices
    /// into these.
    package let clusters: [Cluster]
    /// See ``Unmatched``.
    package let unmatched: Unmatched
    /// What its requests pass.
    package let chain: Chain
    /// What mesher's own answers are like.
    package let profile: ReplyProfile
    /// The service that it stands for, where a control plane says what becomes of its requests: limits, circuits and
    /// metrics know them by this name, and only what the control plane says of retries, balancing and ejection holds.
    package let service: String?
    /// The routes as they were written, without places: equal for routes that say the same.
    package let plain: String
    /// Counts the requests of each target of each route.
    package let hits: Sharded<[[Counter]]>
    /// Whether a cluster has the instances of another service, or none of any.
    package let leadsElsewhere: Bool

    /// The rule of a cluster whose endpoint is what requests name; `nil` where there is none.
    package var requestedRule: ExternalHosts.Rule? {
        self.clusters.lazy.compactMap { if case .requested(let rule) = $0.members { rule } else { nil } }.first
    }

    /// Where a target leads; `nil` for one that answers.
    package func cluster(of target: RouteTarget) -> Cluster? { target.cluster.map { self.clusters[$0] } }

    /// Routes in any order: a higher precedence is tried first, among equals the one that stands first.
    ///
    /// - Parameter routes: The clusters of those targets that do not answer, and then those of the mirrors, are given in
    ///   place of their index.
    package init(
        _ routes: [(route: Route, clusters: [Cluster])], unmatched: Unmatched = .newestVersion,
        chain: Chain = .services, profile: ReplyProfile = .serviceComb, service: String? = nil, plain: String
    ) {
        var known: [Cluster] = []
        func place(of cluster: Cluster) -> Int {
            if let place = known.firstIndex(of: cluster) { return place }
            known.append(cluster)
            return known.count - 1
        }
        var numbered: [Route] = []
        for (route, clusters) in routes {
            var route = route
            let forwarding = route.targets.indices.filter { !route.targets[$0].isAnswer }
            for (index, cluster) in zip(forwarding, clusters) {
                route.targets[index].cluster = place(of: cluster)
            }
            for (index, cluster) in zip(route.mirrors.indices, clusters.dropFirst(forwarding.count)) {
                route.mirrors[index].cluster = place(of: cluster)
            }
            numbered.append(route)
        }
        self.routes = numbered.enumerated()
            .sorted { ($1.element.precedence, $0.offset) < ($0.element.precedence, $1.offset) }.map(\.element)
        self.clusters = known
        self.unmatched = unmatched
        self.chain = chain
        self.profile = profile
        self.service = service
        self.plain = plain
        self.leadsElsewhere = known.contains { $0.isElsewhere }
        let counts = self.routes.map(\.targets.count)
        self.hits = Sharded { counts.map { count in (0..<count).map { _ in Counter() } } }
    }
}
