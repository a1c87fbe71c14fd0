// SPDX-License-Identifier: Apache-2.0

/// All that is known of the mesh at one moment, out of every source: one value, published in one step by one component.
///
/// A class, so that taking it along is one reference. What has not changed is the same objects from one value to the next.
package final class Mesh: Sendable {
    /// The services, and what is known of names that are none.
    package let services: ServiceDirectory
    /// What is ruled about calls.
    package let rules: MeshRules
    /// What the sources are called, in the configured order; as many as ``ServiceDirectory/parts`` unless there is one.
    package let sources: [String]

    /// A value.
    package init(_ services: ServiceDirectory, _ rules: MeshRules, sources: [String] = []) {
        self.services = services
        self.rules = rules
        self.sources = sources
    }

    /// Whether there is a service or host of this name and kind.
    package func has(_ service: Service) -> Bool {
        switch service.kind {
        case .service, .cluster: self.services[service.name] != nil
        case .virtualHost, .externalHost: self.rules.host(of: service.name, service.kind) != nil
        }
    }

    /// One source, and what is in use of what it says.
    package struct Share: Sendable, Equatable {
        /// What it is called.
        package let source: String
        /// Whether it has answered at least once.
        package let isSynced: Bool
        /// Names that are its.
        package let services: [String]
        /// Names that it has too, but that belong to a source before it.
        package let hidden: [String]
    }

    /// Whether each source has answered at least once, in their order.
    package var sourceStates: [(name: String, isSynced: Bool)] {
        let parts = self.services.parts.isEmpty ? [self.services] : self.services.parts
        return zip(self.sources, parts).map { ($0, $1.isSynced) }
    }

    /// The shares of all sources, in their order.
    ///
    /// Cost: linear in the services; off the request path.
    package var shares: [Share] {
        let parts = self.services.parts.isEmpty ? [self.services] : self.services.parts
        return zip(self.sources, parts.indices).map { source, place in
            let (own, hidden) = parts[place].all.reduce(into: ([String](), [String]())) { names, service in
                if parts[..<place].contains(where: { $0.names[spelled: service.name] != nil }) {
                    names.1.append(service.name)
                } else {
                    names.0.append(service.name)
                }
            }
            return Share(source: source, isSynced: parts[place].isSynced, services: own, hidden: hidden)
        }
    }
}
