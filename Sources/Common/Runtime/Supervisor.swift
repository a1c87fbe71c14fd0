// SPDX-License-Identifier: Apache-2.0

package import Logging
package import ServiceLifecycle

/// Starts, restarts and stops the components, over ServiceLifecycle.
///
/// Components are stopped in the reverse of the order in which they were added; each is drained within its own limit
/// before its `run` is cancelled, and the next one is stopped only after that.
package struct Supervisor {
    /// Makes a fresh instance; throwing counts as a failure of the component.
    package typealias Factory = @Sendable () throws -> any Component
    /// `Task.sleep`, or a test's stand-in.
    package typealias Sleep = @Sendable (Duration) async throws -> Void

    private var services: [ServiceGroupConfiguration.ServiceConfiguration] = []
    private var components: [String: SupervisedComponent] = [:]
    private let logger: Logger
    private let sleep: Sleep
    /// The names of all components, in the order in which they were added.
    package private(set) var names: [String] = []
    /// The restarts of all components, for metrics.
    package let restarts = RestartCounter()

    /// No components yet.
    package init(logger: Logger, sleep: @escaping Sleep = { try await Task.sleep(for: $0) }) {
        self.logger = logger
        self.sleep = sleep
    }

    /// Adds a component; it starts when the group runs.
    ///
    /// - Parameter drainLimit: How long `drain` may take before it is cancelled.
    package mutating func add(
        _ name: String, restart: RestartPolicy = RestartPolicy(), drainLimit: Duration = .seconds(5),
        _ make: @escaping Factory
    ) {
        let service = SupervisedComponent(
            name, policy: restart, drainLimit: drainLimit, make: make, sleep: self.sleep, restarts: self.restarts,
            logger: self.logger)
        self.names.append(name)
        self.components[name] = service
        self.services.append(
            .init(
                service: service,
                successTerminationBehavior: .gracefullyShutdownGroup,
                // The default cancels everything at once, and nobody would drain.
                failureTerminationBehavior: .gracefullyShutdownGroup))
    }

    /// Ends the running instance of a component as if it had failed, so that it is restarted.
    ///
    /// Takes effect on a component that is running; does nothing for one that waits for its restart, or is unknown.
    package func interrupt(_ name: String) { self.components[name]?.interrupt() }

    /// The group to run; it throws what made the process stop.
    ///
    /// Signals are not its business: the process watches them itself, since a second signal must end it at once.
    ///
    /// - Parameter stopWithin: One deadline over the whole graceful stop; what runs later is cancelled.
    package func makeGroup(stopWithin: Duration) -> ServiceGroup {
        var configuration = ServiceGroupConfiguration(
            services: self.services, gracefulShutdownSignals: [], logger: self.logger)
        configuration.maximumGracefulShutdownDuration = stopWithin
        configuration.maximumCancellationDuration = .seconds(2)
        return ServiceGroup(configuration: configuration)
    }
}
