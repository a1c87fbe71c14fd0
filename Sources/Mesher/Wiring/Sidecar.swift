// SPDX-License-Identifier: Apache-2.0

package import AdminAPI
package import Common
package import NIOCore
package import Proxy
import RegistryBridge
package import ServiceLifecycle

extension Assembly {
    /// A sidecar whose listeners are open.
    package struct Sidecar: Sendable {
        /// Run it; it ends after a graceful shutdown.
        package let group: ServiceGroup
        /// Starts and stops the components.
        package let supervisor: Supervisor
        /// What its traffic is like right now; `nil` without an admin API.
        let document: (@Sendable () -> TrafficDocument)?
        private let wiring: Wiring
        private let traffic: Traffic

        init(
            wiring: Wiring, traffic: Traffic, supervisor: Supervisor, document: (@Sendable () -> TrafficDocument)?
        ) {
            self.document = document
            self.wiring = wiring
            self.traffic = traffic
            self.supervisor = supervisor
            self.group = supervisor.makeGroup(stopWithin: wiring.stopLimit)
        }

        /// Where outgoing traffic is taken.
        package var outgoing: SocketAddress { self.traffic.main.address }
        /// Where incoming traffic is taken, if it is.
        package var incoming: SocketAddress? { self.traffic.mainIncoming?.address }
        /// The metrics.
        package var metrics: MetricsRegistry { self.wiring.metrics }
        /// What is missing before it is ready.
        package var readiness: Readiness { self.wiring.readiness }
        /// Where a reload is asked for.
        package var configInbox: Mailbox<ConfigMessage> { self.wiring.mailboxes.config }
        /// What is known of the mesh.
        package var mesh: Snapshot<Mesh> { self.wiring.mesh }
        /// Tells all who obey the configuration of a new one.
        package func adopt(_ config: MesherConfig) {
            for receiver in self.wiring.mailboxes.configurationReceivers { receiver(config) }
        }
        /// How many client connections there are.
        package var connections: Int { self.traffic.budget.current }
        /// The event loops that serve traffic.
        package var loops: any EventLoopGroup { self.wiring.loops }
        /// What serves the traffic.
        package var workers: WorkerGroup { self.traffic.workers }
        /// What outgoing and incoming traffic obey.
        package var plans: [Snapshot<TrafficPlan>] { [self.wiring.outgoingPlans, self.wiring.incomingPlans] }
        /// What is kept of single requests.
        package var telemetry: Telemetry { self.wiring.telemetry }

        /// Takes it out of service: others learn of it, and it goes on until it is shut down.
        package func leave(askedBy asker: String) { self.wiring.leave(askedBy: asker) }

        /// Returns when others can find the local service at the registry, or when the task is cancelled.
        package func registered() async {
            while !self.wiring.registration.isRegistered, !Task.isCancelled {
                try? await Task.sleep(for: .milliseconds(20))
            }
        }

        /// Runs until shut down, and ends the event loops.
        package func run() async throws {
            let result: Result<Void, any Error>
            do {
                try await self.group.run()
                result = .success(())
            } catch {
                result = .failure(error)
            }
            self.traffic.stopTimers()
            await self.wiring.center?.client.close()
            try await self.wiring.loops.shutdownGracefully()
            try await self.wiring.controlLoops.shutdownGracefully()
            self.telemetry.flush()
            try result.get()
        }
    }
}
