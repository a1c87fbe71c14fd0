// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Common
import FoundationEssentials
import LocalRegistry
import Logging
import NIOCore
import NIOPosix
import Proxy
import ServiceLifecycle

/// `mesher registry`: the registry for one machine.
struct RegistryCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "registry", abstract: "A service-center for this machine, for development and tests.",
        discussion: """
            Serves the part of Apache ServiceComb service-center's API v4 that
            sidecars and go-chassis clients use. Everything is in memory: what is
            registered ends with the process. Not for production: no storage, one
            machine, and no login but for tests, which make accounts at /faults.

            Examples:
              mesher registry
              mesher registry --listen 127.0.0.1:30200
              curl http://127.0.0.1:30100/v4/default/registry/microservices
            """)

    @Option(help: ArgumentHelp("Where to listen.", valueName: "ip:port"))
    var listen = "127.0.0.1:30100"

    @Flag(
        help: """
            For tests of clients only: takes orders at /faults, to delay, lose or \
            refuse answers, to forget everything, and to ask for tokens.
            """)
    var faults = false

    func run() async throws {
        let address: ListenAddress
        do throws(ConfigMistake) {
            address = try ListenAddress(self.listen)
        } catch {
            throw Exit.because("--listen: \(error.problem); \(error.remedy)")
        }
        try await Port.check(address.port, of: address.host, option: "--listen")
        let logger = Logger(label: "mesher") { StreamLogHandler.standardError(label: $0) }
        let loops = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        var supervisor = Supervisor(logger: logger)
        let (version, allowsFaults) = (BuildInfo.sourceVersion, self.faults)
        let gate = AcceptGate.Rules(
            ConnectionBudget(limit: LocalRegistryComponent.mostConnections), overload: nil,
            metrics: MetricsRegistry(startTime: ProcessClock.startTime, own: MetricLabels()), logger: logger)
        supervisor.add("local-registry", restart: RestartPolicy(limit: 0)) {
            LocalRegistryComponent(
                address: address, version: version, allowsFaults: allowsFaults, loops: loops,
                onServing: { port in
                    logger.notice("registry serves", metadata: ["address": "\(address.host):\(port)"])
                },
                onListening: { channel in await AcceptGate.add(to: channel, gate) })
        }
        let group = supervisor.makeGroup(stopWithin: .seconds(5))
        await SignalWatch(logger: logger) { await group.triggerGracefulShutdown() }.start()
        do {
            try await group.run()
        } catch MesherError.restartLimit {
            throw Exit.because("cannot listen on \(self.listen); free the port, or choose another with --listen")
        }
        try await loops.shutdownGracefully()
    }
}
