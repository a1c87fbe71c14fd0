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

    /// An instance as a registry knows it.
    package init(
        id: String, version: String, app: String, status: InstanceStatus, properties: [String: String],
        endpoints: [Endpoint]
    ) {
        self.id = id
        self.version = version
        self.app = app
        self.status = status
        self.properties = properties
        self.endpoints = endpoints
    }
}

extension Instance: Equatable {
    /// Equal in everything that is known of them; endpoints by identity, which lasts from one directory to the next.
    package static func == (left: Instance, right: Instance) -> Bool {
        left.id == right.id && left.version == right.version && left.app == right.app && left.status == right.status
            && left.properties == right.properties && left.endpoints.elementsEqual(right.endpoints, by: ===)
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

    /// What instances were asked to be.
    package struct Tags: Sendable, Equatable {
        /// A version, or `latest` in registries that know none.
        package let version: String
        /// The application.
        package let app: String

        /// As error texts show them.
        package var label: String { "version:\(self.version)|app:\(self.app)" }

        /// Tags.
        package init(version: String, app: String) {
            self.version = version
            self.app = app
        }
    }

    /// A set.
    package init(_ endpoints: [Endpoint], tags: Tags, otherProtocols: String? = nil) {
        self.endpoints = endpoints
        self.tags = tags
        self.otherProtocols = otherProtocols
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

    /// A service whose default endpoints are found for callers of `ownApp`.
    package init(name: String, instances: [Instance], ownApp: String, use: UseMark = UseMark()) {
        self.name = name
        self.use = use
        self.instances = instances
        self.defaultEndpoints = Self.defaultEndpoints(instances, ownApp: ownApp)
    }

    /// Own application and the highest version that an eligible instance has, each only where the registry knows such a
    /// thing.
    ///
    /// A newest version that is down as a whole takes no traffic with it.
    private static func defaultEndpoints(_ instances: [Instance], ownApp: String) -> EndpointSet {
        let ofApp = instances.filter { $0.app.isEmpty || $0.app == ownApp }
        let eligible = ofApp.filter(\.status.isEligible)
        let newest = (eligible.isEmpty ? ofApp : eligible).map { Version($0.version) }.max()
        let chosen = eligible.filter { Version($0.version) == newest }
        let endpoints = chosen.compactMap { $0.endpoints.first { $0.protocolName == "rest" } }
        let version = newest.map(\.text).flatMap { $0.isEmpty ? nil : $0 } ?? "latest"
        return EndpointSet(
            endpoints, tags: .init(version: version, app: ownApp),
            otherProtocols: endpoints.isEmpty ? chosen.first.map(Self.protocols) : nil)
    }

    /// In the notation of the original's language: `map[grpc:10.0.0.5:9000]`.
    private static func protocols(of instance: Instance) -> String {
        let pairs = instance.endpoints.map { endpoint in
            let host = endpoint.host.contains(":") ? "[\(endpoint.host)]" : endpoint.host
            return "\(endpoint.protocolName):\(host):\(endpoint.port)"
        }
        return "map[\(pairs.sorted().joined(separator: " "))]"
    }
}

extension Service: Equatable {
    /// Whether nothing has changed.
    package static func == (left: Service, right: Service) -> Bool {
        left.name == right.name && left.instances == right.instances
            && left.defaultEndpoints.tags == right.defaultEndpoints.tags
    }
}
