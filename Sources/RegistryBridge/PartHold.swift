// SPDX-License-Identifier: Apache-2.0

import Common
import NIOCore

/// Holds back names of a source until it is known that none before it has them: pure, with the time passed in.
///
/// A source before it that answers only what it is asked has to be asked first, or a name would belong to the wrong one for
/// a moment. Nobody waits longer for that than a request waits for a registry.
package struct PartHold {
    /// How long a name is held back.
    package static let limit = Duration.seconds(2)

    private let limit: Duration
    private var names = NameTable<Service>()
    private var held: [String: ContinuousClock.Instant] = [:]

    /// Nothing is held of what `part` has already shown.
    init(shown part: ServiceDirectory?, limit: Duration = Self.limit) {
        self.limit = limit
        self.names = part?.names ?? NameTable()
    }

    /// When something is shown at the latest; `nil` when nothing is held.
    var deadline: ContinuousClock.Instant? { self.held.values.min() }

    /// What may be shown of `part`.
    ///
    /// - Parameter earlier: The parts of the sources before it that answer only what they are asked.
    mutating func show(
        _ part: ServiceDirectory, after earlier: [ServiceDirectory], app: String, at now: ContinuousClock.Instant
    ) -> ServiceDirectory {
        let limit = self.limit
        part.names.changes(since: self.names) { old, new in
            if let new, old == nil { self.held[new.name] = now + limit }
            if let old, new == nil { self.held[old.name] = nil }
        }
        self.names = part.names
        guard !self.held.isEmpty else { return part }
        let time = NIODeadline.now()
        self.held = self.held.filter { name, deadline in
            let demand = ServiceDemand(app: app, name: name)
            return now < deadline && !earlier.allSatisfy { $0.settles(demand, at: time) }
        }
        return self.held.isEmpty ? part : part.hiding(self.held.keys)
    }
}
