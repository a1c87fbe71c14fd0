// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// What a registry says about the health of an instance.
package enum InstanceStatus: String, Sendable, CaseIterable {
    case up = "UP"
    case down = "DOWN"
    case starting = "STARTING"
    case testing = "TESTING"
    case outOfService = "OUTOFSERVICE"

    /// Whether traffic may go there.
    package var isEligible: Bool {
        switch self {
        case .up, .testing: true
        case .down, .starting, .outOfService: false
        }
    }
}

/// One registered copy of a service.
package final class Instance: Sendable {
    /// The registry's id, or the first endpoint where a registry has no ids.
    package let id: String
    /// Empty in registries without versions.
    package let version: String
    /// The application; empty in registries without applications.
    package let app: String
    /// See ``InstanceStatus``.
    package let status: InstanceStatus
    /// Metadata that route rules may ask for.
    package let properties: [String: String]
    /// One for each protocol that the instance speaks.
    package let endpoints: [Endpoint]
    /// Where it runs; empty where the registry does not know.
    package let region: String
    /// The zone of the region.
    package let zone: String

    /// An instance as a registry knows it.
    package init(
        id: String, version: String, app: String, status: InstanceStatus, properties: [String: String],
        endpoints: [Endpoint], region: String = "", zone: String = ""
    ) {
        self.id = id
        self.version = version
        self.app = app
        self.status = status
        self.properties = properties
        self.endpoints = endpoints
        self.region = region
        self.zone = zone
    }
}

extension Instance: Equatable {
    /// Equal in everything that is known of them; endpoints by identity, which lasts from one directory to the next.
    package static func == (left: Instance, right: Instance) -> Bool {
        left.id == right.id && left.version == right.version && left.app == right.app && left.status == right.status
            && left.region == right.region && left.zone == right.zone && left.properties == right.properties
            && left.endpoints.elementsEqual(right.endpoints, by: ===)
    }
}

/// Endpoints that are interchangeable for one request: what a balancer chooses from.
package final class EndpointSet: Sendable {
    /// In the order of the registry; may be empty.
    package let endpoints: [Endpoint]
    /// The tags that chose them.
    package let tags: Tags
    /// What the instances that were chosen speak instead, when none of them speaks the protocol that was asked for; as
    /// error texts show it.
    package let otherProtocols: String?
    /// What is said of each of the endpoints, in their order; `nil` where that is nothing.
    package let entries: [ClusterEntry]?
    /// What each place takes of the requests; empty where places do not count.
    package let localityWeights: [LocalityWeight]
    /// How much more than its share of them the endpoints of a priority are trusted with, in percent.
    package let overprovisioning: Int

    /// What holds where nobody says it.
    ///
    /// - Source: `overprovisioning_factor` of Envoy's assignments.
    package static let usualOverprovisioning = 140

    /// What instances were asked to be.
    package struct Tags: Sendable, Equatable {
        /// A version, or `latest` in registries that know none.
        package let version: String
        /// The application.
        package let app: String
        /// Further properties that a route rule has asked for.
        package let properties: [String: String]

        /// As error texts and logs show them.
        package let label: String

        /// Tags.
        package init(version: String, app: String, properties: [String: String] = [:]) {
            self.version = version
            self.app = app
            self.properties = properties
            let others = properties.sorted { $0.key < $1.key }.map { "|\($0.key):\($0.value)" }
            self.label = "version:\(version)|app:\(app)\(others.joined())"
        }
    }

    /// A set.
    package init(
        _ endpoints: [Endpoint], tags: Tags, otherProtocols: String? = nil, entries: [ClusterEntry]? = nil,
        localityWeights: [LocalityWeight] = [], overprovisioning: Int = EndpointSet.usualOverprovisioning
    ) {
        self.overprovisioning = overprovisioning
        self.endpoints = endpoints
        self.tags = tags
        self.otherProtocols = otherProtocols
        self.entries = entries
        self.localityWeights = localityWeights
    }
}

/// Whether traffic has asked for a service lately: set by event loops, taken back by the registry.
package final class UseMark: Sendable {
    private let isSet = Atomic<Bool>(false)

    /// Not used yet.
    package init() {}

    /// Traffic asks for the service.
    ///
    /// Cost: a load, nearly always.
    @inline(__always)
    package func set() {
        if !self.isSet.load(ordering: .relaxed) { self.isSet.store(true, ordering: .relaxed) }
    }

    /// Whether the mark was set since this was asked last.
    package func take() -> Bool { self.isSet.exchange(false, ordering: .relaxed) }
}

/// A service and its instances at one moment.
package final class Service: Sendable {
    /// As registered; names are case-sensitive.
    package let name: String
    /// All of them, eligible or not.
    package let instances: [Instance]
    /// Where HTTP requests go when no route rule says otherwise: the newest version of the caller's own application.
    package let defaultEndpoints: EndpointSet
    /// Whether anybody asks for it; the same object from one directory to the next.
    package let use: UseMark
    /// See ``Kind``.
    package let kind: Kind
    /// Its place in arrays of what is known of services: the same for all services of one name and kind, as long as there
    /// is one of them.
    package let slot: Int
    private let slotHolder: Slot
    /// Whether requests that ask for no version go to all of them, and not to the newest.
    package let spansVersions: Bool

    /// What has the name, which things of different kinds may share.
    package enum Kind: Sendable {
        /// A service of a registry.
        case service
        /// It stands for a virtual host of `mesh.yaml`, and has no instances of its own.
        case virtualHost
        /// It stands for an external host, or for all with a suffix; likewise.
        case externalHost
        /// A cluster that a control plane has named, with the endpoints that it has assigned to it: whatever they are asked to
        /// be, they are all that there are, and nobody is found by their addresses.
        case cluster
    }

    /// A service whose default endpoints are found for callers of `ownApp`.
    package init(
        name: String, instances: [Instance], ownApp: String, use: UseMark = UseMark(), kind: Kind = .service,
        spansVersions: Bool = false
    ) {
        self.name = name
        self.spansVersions = spansVersions
        self.use = use
        self.kind = kind
        self.slotHolder = Slot.of(name, kind)
        self.slot = self.slotHolder.number
        self.instances = instances
        self.defaultEndpoints = Self.endpoints(
            instances, matching: InstanceTags(version: spansVersions ? "" : "latest"), ownApp: ownApp, near: nil, "rest"
        )
    }

    /// A cluster of these members, whose endpoints belong to no other service.
    package init(
        cluster name: String, _ members: [(endpoint: Endpoint, entry: ClusterEntry)],
        localityWeights: [LocalityWeight] = [], overprovisioning: Int = EndpointSet.usualOverprovisioning,
        use: UseMark = UseMark()
    ) {
        self.name = name
        self.use = use
        self.kind = .cluster
        self.spansVersions = true
        self.slotHolder = Slot.of(name, .cluster)
        self.slot = self.slotHolder.number
        self.instances = members.map { endpoint, entry in
            Instance(
                id: endpoint.description, version: "", app: "", status: entry.condition == .unhealthy ? .down : .up,
                properties: [:], endpoints: [endpoint], region: entry.locality?.region ?? "",
                zone: entry.locality?.zone ?? "")
        }
        self.defaultEndpoints = EndpointSet(
            members.map(\.endpoint), tags: .init(version: "", app: ""), entries: members.map(\.entry),
            localityWeights: localityWeights, overprovisioning: overprovisioning)
    }

    /// The instances that `tags` ask for, of the own application unless they name another; all endpoints of a cluster.
    ///
    /// `latest` is the highest version that an eligible instance of the application has: a newest version that is down as
    /// a whole takes no traffic with it. Applications and versions count only where the registry knows such things.
    ///
    /// - Parameter region: Where the caller runs: instances of its zone are taken, else those of its region, else all.
    /// - Parameter protocolName: What the endpoints must speak: `rest` or `grpc`.
    package func endpoints(
        matching tags: InstanceTags, ownApp: String, near region: RegionConfig? = nil, protocolName: String = "rest"
    ) -> EndpointSet {
        if self.kind == .cluster { return self.defaultEndpoints }
        let isOpen = self.spansVersions && tags.version == "latest"
        let tags = isOpen ? InstanceTags(version: "", app: tags.app, properties: tags.properties) : tags
        return Self.endpoints(self.instances, matching: tags, ownApp: ownApp, near: region, protocolName)
    }

    private static func endpoints(
        _ instances: [Instance], matching tags: InstanceTags, ownApp: String, near region: RegionConfig?,
        _ protocolName: String
    ) -> EndpointSet {
        let app = tags.app ?? ownApp
        let ofApp = instances.filter { $0.app.isEmpty || $0.app == app }
        let eligible = ofApp.filter(\.status.isEligible)
        var version = tags.version
        var chosen = eligible
        if tags.version == "latest" {
            let newest = (eligible.isEmpty ? ofApp : eligible).map { Version($0.version) }.max()
            chosen = eligible.filter { Version($0.version) == newest }
            version = newest.map(\.text).flatMap { $0.isEmpty ? nil : $0 } ?? "latest"
        } else if !tags.version.isEmpty {
            chosen = eligible.filter { $0.version == tags.version }
        }
        for (name, value) in tags.properties { chosen = chosen.filter { $0.properties[name] == value } }
        if let region, region.isKnown { chosen = Self.near(region, chosen) }
        let endpoints = chosen.compactMap { $0.endpoints.first { $0.protocolName == protocolName } }
        return EndpointSet(
            endpoints, tags: .init(version: version, app: app, properties: tags.properties),
            otherProtocols: endpoints.isEmpty ? chosen.first.map(Self.protocols) : nil)
    }

    private static func near(_ own: RegionConfig, _ instances: [Instance]) -> [Instance] {
        let inRegion = instances.filter { own.isRegion($0.region) }
        let inZone = inRegion.filter { $0.zone == own.zone }
        return inZone.isEmpty ? (inRegion.isEmpty ? instances : inRegion) : inZone
    }

    /// In the notation of the original's language: `map[grpc:10.0.0.5:9000]`.
    private static func protocols(of instance: Instance) -> String {
        let pairs = instance.endpoints.map { endpoint in
            "\(endpoint.protocolName):\(endpoint.host.asHost):\(endpoint.port)"
        }
        return "map[\(pairs.sorted().joined(separator: " "))]"
    }
}

extension Service: Equatable {
    /// Whether nothing has changed.
    package static func == (left: Service, right: Service) -> Bool {
        left.name == right.name && left.kind == right.kind && left.spansVersions == right.spansVersions
            && left.instances == right.instances
            && left.defaultEndpoints.tags == right.defaultEndpoints.tags
            && left.defaultEndpoints.entries == right.defaultEndpoints.entries
            && left.defaultEndpoints.localityWeights == right.defaultEndpoints.localityWeights
            && left.defaultEndpoints.overprovisioning == right.defaultEndpoints.overprovisioning
    }
}
