// SPDX-License-Identifier: Apache-2.0

package import Common
package import Logging

/// Puts one sidecar together: every mailbox, snapshot, listener and component, and who is connected to whom.
package struct Assembly: Sendable {
    /// What is the same for every sidecar of a process.
    package struct Surroundings: Sendable {
        /// Where the configuration's relative paths begin.
        package var configDirectory: String
        /// Which build this is.
        package var build: BuildInfo
        /// For everything.
        package var logger: Logger
        /// Reads the configuration again while the sidecar runs, and what it has read; `nil` when there is no file.
        package var source: (loader: ConfigLoader, result: ConfigLoader.Result)?
        /// The memory of the process.
        package var memory: ProcessMemory
        /// Where logs go; `nil` where they cannot be changed while the process runs.
        package var logs: LogOutput?
        /// What libraries count, if anybody gathers it.
        package var libraryMetrics: LibraryMetrics?

        /// Surroundings.
        package init(
            configDirectory: String, build: BuildInfo, logger: Logger, memory: ProcessMemory = .system
        ) {
            self.configDirectory = configDirectory
            self.build = build
            self.logger = logger
            self.memory = memory
        }
    }

    private let config: MesherConfig
    private let surroundings: Surroundings

    /// An assembly of the sidecar that `config` describes.
    package init(_ config: MesherConfig, _ surroundings: Surroundings) {
        self.config = config
        self.surroundings = surroundings
    }

    /// Opens the listeners and puts the components behind them.
    ///
    /// - Throws: `MesherError.cannotListen`.
    package func make() async throws -> Sidecar {
        let wiring = try Wiring(self.config, self.surroundings)
        let traffic = try await Traffic.open(wiring)
        // Stopped last to first: callers are told first, metrics end last.
        let admin = AdminFeature(wiring: wiring, traffic: traffic)
        let features: [any Feature] = [
            admin,
            TelemetryFeature(wiring: wiring, traffic: traffic),
            ConfigurationFeature(wiring: wiring),
            TLSFeature(wiring: wiring),
            TrafficFeature(wiring: wiring, traffic: traffic),
            HealthFeature(wiring: wiring),
            RegistryFeature(wiring: wiring),
            ReadinessFeature(wiring: wiring),
            RuntimeFeature(wiring: wiring, traffic: traffic),
        ]
        var supervisor = Supervisor(logger: self.surroundings.logger)
        for feature in features { feature.install(into: &supervisor) }
        return Sidecar(wiring: wiring, traffic: traffic, supervisor: supervisor, document: admin.document)
    }
}
