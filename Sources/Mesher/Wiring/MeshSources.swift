// SPDX-License-Identifier: Apache-2.0

import Common
import RegistryBridge

/// The sources of the mesh, as they are configured.
struct MeshSources: Sendable {
    /// In their order.
    let all: [MeshSource]
    /// That of a second control plane.
    let streams: MeshSource?
    /// Those that have services.
    private let kinds: [RegistryConfig.Kind]

    /// - Parameter saved: What an earlier process knew of a service-center.
    /// - Parameter inbox: Of the component that merges them.
    init(
        _ config: RegistryConfig, saved: ServiceCenterRegistry.Saved?, app: String, inbox: Mailbox<MeshMessage>
    ) {
        self.kinds = config.kinds
        var all = config.kinds.enumerated().map { place, kind in
            let saved = kind == .serviceCenter ? saved?.directory(app: app) : nil
            return MeshSource(kind.rawValue, place: place, part: saved ?? .empty, inbox: inbox)
        }
        if config.istioUse == .routes || config.istioUse == .externalHosts {
            // Nobody waits for services of it.
            let part = ServiceDirectory([], isSynced: true)
            all.append(MeshSource(RegistryConfig.Kind.istio.rawValue, place: all.count, part: part, inbox: inbox))
        }
        self.streams = config.streams.map { _ in
            MeshSource("istio-streams", place: all.count, part: ServiceDirectory([], isSynced: true), inbox: inbox)
        }
        if let streams = self.streams { all.append(streams) }
        self.all = all
    }

    subscript(kind: RegistryConfig.Kind) -> MeshSource? { self.all.first { $0.name == kind.rawValue } }

    /// What is known before anything runs.
    func initial(_ rules: MeshRules) -> Mesh {
        // Without a registry there is nothing to wait for.
        if self.all.isEmpty { return Mesh(ServiceDirectory([], isSynced: true), rules) }
        return Mesh(.merging(self.all.map(\.part), upon: nil), rules, sources: self.all.map(\.name))
    }

    /// What readiness waits for.
    static func conditions(_ config: RegistryConfig) -> Set<Readiness.Condition> {
        Set(config.kinds.indices.map { Self.condition($0, of: config.kinds) })
    }

    /// What is met when the source at `place` has answered.
    ///
    /// - Returns: `nil` for one that has no services.
    func condition(_ place: Int) -> Readiness.Condition? {
        self.kinds.indices.contains(place) ? Self.condition(place, of: self.kinds) : nil
    }

    private static func condition(_ place: Int, of kinds: [RegistryConfig.Kind]) -> Readiness.Condition {
        kinds.count > 1 && kinds[place] == .file ? .registryFile : .registry
    }

    /// Tells what is met before anything runs.
    func report(to readiness: Readiness) {
        for source in self.all where source.part.isSynced {
            if let condition = self.condition(source.place) { readiness.set(condition) }
        }
    }
}
