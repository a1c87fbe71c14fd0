// SPDX-License-Identifier: Apache-2.0

package import Common
package import Logging

/// Owns what the mesh is: merges what all sources say, and publishes it as one value.
///
/// Services and the rules about them are published together. A name belongs to the first source in the configured order
/// that has it. Merging refuses nothing; a name that several have is told once.
package actor MeshComponent: Component {
    private let sources: [MeshSource]
    private let mesh: Snapshot<Mesh>
    private let publisher: @Sendable (Mesh) -> Void
    private let inbox: Mailbox<MeshMessage>
    private let app: String
    private let asks: [Int: @Sendable (Set<String>) -> Void]
    private let onSync: @Sendable (Int) -> Void
    private let logger: Logger

    /// Until when those behind a source that tells everything wait for it to do so.
    private let patience: ContinuousClock.Instant
    /// By place.
    private var holds: [PartHold]
    /// What the sources said when names were asked last.
    private var asked: [ServiceDirectory] = []
    private var shared: Set<String> = []
    private var rules: MeshRules

    /// A component that publishes to `mesh`.
    ///
    /// - Parameter sources: In the configured order.
    /// - Parameter app: Whose names those of the sources are.
    /// - Parameter asks: By place, how to tell a source that answers only what it is asked which names the sources behind it
    ///   have.
    /// - Parameter patience: How long a source is waited for before those behind it are shown.
    /// - Parameter publish: Publishes to `mesh` what somebody has to see before anybody else; `nil` where there is no such.
    /// - Parameter onSync: Called after a publication with the place of each source that has answered.
    package init(
        _ sources: [MeshSource], mesh: Snapshot<Mesh>, inbox: Mailbox<MeshMessage>, app: String,
        asks: [Int: @Sendable (Set<String>) -> Void] = [:], patience: Duration = PartHold.limit,
        publish: (@Sendable (Mesh) -> Void)? = nil, onSync: @escaping @Sendable (Int) -> Void, logger: Logger
    ) {
        self.sources = sources
        self.mesh = mesh
        self.publisher = publish ?? { mesh.publish($0) }
        self.inbox = inbox
        self.app = app
        self.asks = asks
        self.onSync = onSync
        self.logger = logger
        self.patience = .now + patience
        self.rules = mesh.current.rules
        let shown = mesh.current.services.parts
        self.holds = sources.indices.map { PartHold(shown: $0 < shown.count ? shown[$0] : nil, limit: patience) }
    }

    package func run() async throws {
        while !Task.isCancelled {
            let isPatient = self.publish()
            let deadlines = self.holds.compactMap(\.deadline) + (isPatient ? [self.patience] : [])
            if let deadline = deadlines.min() {
                await self.inbox.receiveAll(until: deadline).forEach { self.note($0) }
            } else if let message = await self.inbox.receive() {
                self.note(message)
            }
        }
    }

    private func note(_ message: MeshMessage) {
        switch message {
        case .partChanged: break
        case .configurationChanged(let config): self.rules = MeshRules(config, upon: self.rules)
        }
    }

    /// - Returns: Whether somebody waits for a source that has not said anything yet.
    private func publish() -> Bool {
        let now = ContinuousClock.now
        let news = self.sources.map { $0.take() }
        let taken = news.map(\.part)
        // There is one control plane at most.
        let routes = news.lazy.compactMap(\.routes).first
        if routes !== self.rules.controlPlane { self.rules = self.rules.with(routes) }
        var parts: [ServiceDirectory] = []
        var isPatient = false
        for (place, part) in taken.enumerated() {
            let earlier = self.asks.keys.filter { $0 < place }.map { taken[$0] }
            if now < self.patience, (0..<place).contains(where: { self.asks[$0] == nil && !taken[$0].isSynced }) {
                isPatient = true
                parts.append(part.hiding(part.all.map(\.name)))
            } else if earlier.isEmpty {
                parts.append(part)
            } else {
                parts.append(self.holds[place].show(part, after: earlier, app: self.app, at: now))
            }
        }
        let last = self.mesh.current
        let known = last.services.parts.isEmpty ? [last.services] : last.services.parts
        let isSame = parts.isEmpty || parts.elementsEqual(known, by: ===)
        if !isSame || self.rules !== last.rules {
            let services = isSame ? last.services : ServiceDirectory.merging(parts, upon: last.services)
            self.publisher(Mesh(services, self.rules, sources: last.sources))
            self.report(services.shared)
        }
        for (place, part) in parts.enumerated() where part.isSynced { self.onSync(place) }
        for (place, ask) in self.asks {
            // Names that stand behind a source may be its.
            let later = taken[(place + 1)...]
            if later.elementsEqual(self.asked.dropFirst(place + 1), by: ===) { continue }
            ask(Set(later.flatMap { $0.all.map(\.name) }))
        }
        self.asked = taken
        return isPatient
    }

    private func report(_ names: [String]) {
        for name in names where !self.shared.contains(name) {
            let sources = self.sources.filter { $0.part.all.contains { $0.name == name } }.map(\.name)
            self.logger.warning(
                "a service is in several registries, the first one counts",
                metadata: ["service": "\(name)", "registries": "\(sources.joined(separator: ", "))"])
        }
        self.shared = Set(names)
    }
}
