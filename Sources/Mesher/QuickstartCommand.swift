// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Common
import FoundationEssentials
import LocalRegistry
import Logging
import NIOCore
import NIOPosix
import ServiceLifecycle

/// `mesher quickstart`: what a newcomer needs to see a request go through.
struct QuickstartCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "quickstart", abstract: "A sidecar and a demo service, so that the first curl works.",
        discussion: """
            Starts a sidecar on 127.0.0.1:30101, its admin API on 127.0.0.1:30102,
            and a service called RESTServer on 127.0.0.1:8083 with a sidecar of its
            own on 127.0.0.2:30111. They find each other through a registry on
            127.0.0.1:30100. Needs no files and leaves none.

            Then, in another terminal:
              export http_proxy=http://127.0.0.1:30101 no_proxy=127.0.0.1,localhost
              curl http://RESTServer:8083/sayhello/peter
            """)

    @Option(help: ArgumentHelp("Port of the demo service.", valueName: "port"))
    var servicePort = 8083

    @Option(help: ArgumentHelp("Port of the sidecar's outgoing listener.", valueName: "port"))
    var port = 30101

    @Option(help: ArgumentHelp("Port of the admin API.", valueName: "port"))
    var adminPort = 30102

    private static let serviceName = "RESTServer"

    @Option(help: ArgumentHelp("Port of the registry.", valueName: "port"))
    var registryPort = 30100

    func run() async throws {
        let directory = FileManager.default.temporaryDirectory
            .appendingPathComponent("mesher-quickstart-\(ProcessInfo.processInfo.processIdentifier)").path
        defer { try? FileManager.default.removeItem(atPath: directory) }
        let logger = Logger(label: "mesher") { label in
            var handler = StreamLogHandler.standardError(label: label)
            handler.logLevel = .error
            return handler
        }
        for (port, option) in [
            (self.port, "--port"), (self.adminPort, "--admin-port"), (self.servicePort, "--service-port"),
            (self.providerPort, "--port"), (self.registryPort, "--registry-port"),
        ] {
            try await Port.check(port, option: option)
        }
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        let build = BuildInfo(executableDirectory: Executable.directory)
        let surroundings = Assembly.Surroundings(configDirectory: directory, build: build, logger: logger)
        do {
            let caller = try await Assembly(try self.caller(directory), surroundings).make()
            let provider = try await Assembly(try self.provider(directory), surroundings).make()
            try await self.run(caller, provider, logger)
        } catch MesherError.restartLimit {
            throw Exit.because("cannot start the demo service or the registry; see --help for other ports")
        } catch let error as MesherError {
            throw Exit.because("\(error)")
        }
    }

    /// Runs the registry and the service, and the sidecars as long as both are there.
    private func run(_ caller: Assembly.Sidecar, _ provider: Assembly.Sidecar, _ logger: Logger) async throws {
        let loops = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let household = Household([caller, provider], loops: loops, logger: logger) { onServing in
            self.surroundings(loops, logger, onServing)
        }
        let words = self.words
        try await household.run { Console.write(words) }
    }

    /// What a sidecar needs around it: a registry, and a service to call.
    private func surroundings(
        _ loops: any EventLoopGroup, _ logger: Logger, _ onServing: @escaping @Sendable () -> Void
    ) -> ServiceGroup {
        var supervisor = Supervisor(logger: logger)
        let (servicePort, registryPort) = (self.servicePort, self.registryPort)
        supervisor.add("local-registry", restart: RestartPolicy(limit: 0)) {
            LocalRegistryComponent(
                address: ListenAddress(loopback: registryPort), version: BuildInfo.sourceVersion, loops: loops,
                onServing: { _ in onServing() })
        }
        supervisor.add("demo", restart: RestartPolicy(limit: 0)) {
            DemoService(name: Self.serviceName, port: servicePort, loops: loops)
        }
        return supervisor.makeGroup(stopWithin: .seconds(5))
    }

    private func caller(_ directory: String) throws(MesherError) -> MesherConfig {
        try self.configuration(
            directory,
            [
                "service_description.name": "quickstart",
                "cse.protocols.http.listenAddress": "127.0.0.1:\(self.port)",
                "cse.protocols.rest-admin.listenAddress": "127.0.0.1:\(self.adminPort)",
            ])
    }

    /// The demo service's own sidecar: it takes requests on another loopback address, as on another machine.
    private func provider(_ directory: String) throws(MesherError) -> MesherConfig {
        let check: ConfigTree = try Self.tree(
            "localHealthCheck: [{port: \(self.servicePort), protocol: rest, uri: /health, interval: 1s}]")
        return try self.configuration(
            directory,
            [
                "service_description.name": Self.serviceName,
                "cse.protocols.http.listenAddress": "127.0.0.2:\(self.providerPort)",
                "mesher.servicePorts": "rest:\(self.servicePort)",
            ], check)
    }

    /// Next to the caller's: both have an outgoing listener on 127.0.0.1.
    private var providerPort: Int { self.port > 65_525 ? self.port - 10 : self.port + 10 }

    private static func tree(_ text: String) throws(MesherError) -> ConfigTree {
        do throws(ConfigProblem) {
            return try ConfigTree(yaml: text, source: "quickstart")
        } catch {
            throw .configuration([error])
        }
    }

    private func configuration(
        _ directory: String, _ values: [String: String], _ tree: ConfigTree? = nil
    ) throws(MesherError) -> MesherConfig {
        var source = ConfigSource(.memory)
        let common = [
            "cse.service.registry.address": "http://127.0.0.1:\(self.registryPort)",
            "mesher.stateDirectory": directory, "mesher.timeouts.farewell": "0s", "mesher.workers": "1",
        ]
        for (key, value) in common.merging(values, uniquingKeysWith: { $1 }) {
            source.add(key, .text(value, ConfigLocation("command line")))
        }
        for (key, value) in tree?.flattened() ?? [] { source.add(key, value) }
        var reader = ConfigReader(ConfigStore([source]))
        let config = MesherConfig(&reader)
        if !reader.problems.isEmpty { throw .configuration(reader.problems) }
        return config
    }

    private var words: String {
        """
        mesher is running: a sidecar on 127.0.0.1:\(self.port), and the service \(Self.serviceName) on \
        127.0.0.1:\(self.servicePort).

        In another terminal:

            export http_proxy=http://127.0.0.1:\(self.port) no_proxy=127.0.0.1,localhost
            curl http://\(Self.serviceName):\(self.servicePort)/sayhello/peter

        What it counts: curl --noproxy '*' http://127.0.0.1:\(self.adminPort)/v1/mesher/metrics
        Stop it with Ctrl-C.

        """
    }
}
