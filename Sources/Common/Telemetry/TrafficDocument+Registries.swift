// SPDX-License-Identifier: Apache-2.0

extension TrafficDocument {
    /// The registry, where it is one that can be away.
    package struct Registry: Codable, Sendable {
        /// Whether it answered last.
        package var reachable: Bool
        /// Whether it pushes changes.
        package var watching: Bool
        /// Services that traffic uses.
        package var services: Int
        /// Those that were not confirmed lately.
        package var staleServices: Int
        /// Instances kept although an answer lacked them.
        package var heldInstances: Int
        /// Why it does not answer.
        package var error: String?

        /// With all of it.
        package init(
            reachable: Bool, watching: Bool, services: Int, staleServices: Int, heldInstances: Int, error: String?
        ) {
            self.reachable = reachable
            self.watching = watching
            self.services = services
            self.staleServices = staleServices
            self.heldInstances = heldInstances
            self.error = error
        }
    }

    /// Istio's control plane.
    package struct ControlPlane: Codable, Sendable {
        /// What is held of one kind of resources.
        package struct Held: Codable, Sendable {
            /// `clusters`, `endpoints` or `routes`.
            package var kind: String
            /// How many.
            package var count: Int
            /// That of the last response; opaque.
            package var version: String
        }

        /// A resource that was not taken.
        package struct Refusal: Codable, Sendable {
            /// As in ``Held/kind``.
            package var kind: String
            /// Its name.
            package var name: String
            /// Why.
            package var reason: String
        }

        /// Whether it answers on a stream that is open.
        package var connected: Bool
        /// Where it was called last.
        package var server: String
        /// The form of the protocol.
        package var form: String
        /// Why the last stream ended; `nil` while one is open.
        package var error: String?
        /// By kind.
        package var held: [Held]
        /// By kind and name.
        package var refused: [Refusal]
        /// What requests need and was not told yet.
        package var waitingFor: [String]
        /// What it asks for and is not done, in words.
        package var notDone: [String]

        private enum CodingKeys: String, CodingKey {
            case connected, server, error, held, refused, waitingFor, notDone
            case form = "protocol"
        }

        /// How things stand.
        package init(_ status: ControlPlaneStatus.Value) {
            let kinds = status.resources.sorted { $0.key < $1.key }
            self.connected = status.isConnected
            self.server = status.server ?? ""
            self.form = status.form.rawValue
            self.error = status.failure
            self.held = kinds.map { Held(kind: $0.key, count: $0.value.count, version: $0.value.version) }
            self.refused = kinds.flatMap { kind, resources in
                resources.refusals.sorted { $0.key < $1.key }.map {
                    Refusal(kind: kind, name: $0.key, reason: $0.value)
                }
            }
            self.waitingFor = status.waiting
            self.notDone = status.notDone
        }
    }

    /// Where services are looked for.
    package struct Source: Codable, Sendable, Equatable {
        /// `file`, `servicecenter` or `istio`.
        package var name: String
        /// Whether it has answered, or was read.
        package var synced: Bool

        /// With all of it.
        package init(name: String, synced: Bool) {
            self.name = name
            self.synced = synced
        }
    }
}
