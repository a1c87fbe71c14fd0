// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Common
import Foundation
import LocalRegistry
import Logging
import NIOCore
import ServiceLifecycle

/// `mesher quickstart`: what a newcomer needs to see a request go through.
struct QuickstartCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "quickstart", abstract: "A sidecar and a demo service, so that the first curl works.",
        discussion: """
            Starts a sidecar on 127.0.0.1:30101, its admin API on 127.0.0.1:30102,
            and a service called RESTServer on 127.0.0.1:8083. Needs no files and
            leaves none.

            Then, in another terminal:
              export http_proxy=http://127.0.0.1:30101
              curl http://RESTServer:8083/sayhello/peter
            """)

    @Option(help: ArgumentHelp("Port of the demo service.", valueName: "port"))
    var servicePort = 8083

    @Option(help: ArgumentHelp("Port of the sidecar's outgoing listener.", valueName: "port"))
    var port = 30101

    @Option(help: ArgumentHelp("Port of the admin API.", valueName: "port"))
    var adminPort = 30102

    private static let serviceName = "RESTServer"

    func run() async throws {
        let directory = FileManager.default.temporaryDirectory
            .appendingPathComponent("mesher-quickstart-\(ProcessInfo.processInfo.processIdentifier)").path
        defer { try? FileManager.default.removeItem(atPath: directory) }
        let logger = Logger(label: "mesher") { label in
            var handler = StreamLogHandler.standardError(label: label)
            handler.logLevel = .error
            return handler
        }
        try await Port.check(self.port, option: "--port")
        try await Port.check(self.adminPort, option: "--admin-port")
        try await Port.check(self.servicePort, option: "--service-port")
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        try self.registryFile.write(toFile: "\(directory)/services.yaml", atomically: true, encoding: .utf8)
        do {
            let build = BuildInfo(executableDirectory: Executable.directory)
            let assembly = Assembly(
                try self.configuration(), .init(configDirectory: directory, build: build, logger: logger))
            let (port, words) = (self.servicePort, self.words)
            let sidecar = try await assembly.make { supervisor, loops in
                supervisor.add("demo", restart: RestartPolicy(limit: 0)) {
                    DemoService(name: Self.serviceName, port: port, loops: loops, logger: logger) {
                        FileHandle.standardOutput.write(Data(words.utf8))
                    }
                }
            }
            SignalWatch(logger: logger) { await sidecar.group.triggerGracefulShutdown() }.start()
            try await sidecar.run()
        } catch MesherError.restartLimit {
            throw Exit.because(
                "cannot start the demo service on 127.0.0.1:\(self.servicePort); free the port, or use --service-port")
        } catch let error as MesherError {
            throw Exit.because("\(error)")
        }
    }

    private var registryFile: String {
        "service: [{name: \(Self.serviceName), instance: [\"rest://127.0.0.1:\(self.servicePort)\"]}]\n"
    }

    private func configuration() throws(MesherError) -> MesherConfig {
        var source = ConfigSource(.memory)
        let values = [
            "service_description.name": "quickstart",
            "cse.protocols.http.listenAddress": "127.0.0.1:\(self.port)",
            "cse.protocols.rest-admin.listenAddress": "127.0.0.1:\(self.adminPort)",
            "cse.service.registry.type": "file", "cse.service.registry.address": "services.yaml",
        ]
        for (key, value) in values { source.add(key, .text(value, ConfigLocation("command line"))) }
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

            export http_proxy=http://127.0.0.1:\(self.port)
            curl http://\(Self.serviceName):\(self.servicePort)/sayhello/peter

        What it counts: curl --noproxy '*' http://127.0.0.1:\(self.adminPort)/v1/mesher/metrics
        Stop it with Ctrl-C.

        """
    }
}
