// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Common
import Foundation
import Logging
import ServiceLifecycle

/// `mesher run`, which is also what `mesher` alone does: the sidecar.
struct RunCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "run", abstract: "Run the sidecar (the default).",
        discussion: """
            Files are looked for in $CHASSIS_CONF_DIR, in $CHASSIS_HOME/conf, or in
            conf beside the binary; chassis.yaml and microservice.yaml are required.

            Examples:
              mesher --service-ports rest:8080,grpc:9000
              CHASSIS_CONF_DIR=/etc/mesher mesher --workers 2
              mesher --cse.service.registry.address=/etc/mesher/services.yaml
            """)

    @Option(help: ArgumentHelp("Path of mesher.yaml.", valueName: "file"))
    var config: String?

    @Option(
        name: .customLong("service-ports"),
        help: ArgumentHelp(
            "Ports of the local application: rest:8080,grpc:9000. Also SERVICE_PORTS.", valueName: "list"))
    var servicePorts: String?

    @Option(help: ArgumentHelp("Event loops that serve traffic; default: one for each usable CPU.", valueName: "count"))
    var workers: Int?

    @Argument(parsing: .allUnrecognized, help: "Any key of the configuration, as --key=value.")
    var values: [String] = []

    func run() async throws {
        let loader = ConfigLoader(
            arguments: try self.arguments(), environment: ProcessInfo.processInfo.environment,
            executableDirectory: Executable.directory)
        let config: MesherConfig
        do {
            config = try loader.load()
        } catch {
            throw Exit.because("\(error)")
        }
        var logger = Logger(label: "mesher")
        logger.logLevel = .info
        let assembly = Assembly(
            config,
            .init(
                configDirectory: loader.directory, build: BuildInfo(executableDirectory: Executable.directory),
                logger: logger))
        do {
            let sidecar = try await assembly.make()
            let signals = SignalWatch(logger: logger) { await sidecar.group.triggerGracefulShutdown() }
            signals.start()
            try await sidecar.run()
            logger.notice("stopped")
        } catch let error as MesherError {
            throw Exit.because("\(error)")
        }
    }

    private func arguments() throws -> ConfigLoader.Arguments {
        var arguments = ConfigLoader.Arguments()
        arguments.mesherFile = self.config
        if let ports = self.servicePorts { arguments.values.append(("mesher.servicePorts", ports)) }
        if let workers = self.workers { arguments.values.append(("mesher.workers", "\(workers)")) }
        for value in self.values {
            guard value.hasPrefix("-"), let equals = value.firstIndex(of: "=") else {
                throw ValidationError(
                    "\"\(value)\" is neither an option nor of the form --key=value; see mesher --help")
            }
            let key = value[..<equals].drop { $0 == "-" }
            arguments.values.append((String(key), String(value[value.index(after: equals)...])))
        }
        return arguments
    }
}

/// Ends the process with a message instead of a usage text.
enum Exit {
    static func because(_ message: String) -> ExitCode {
        FileHandle.standardError.write(Data("mesher: \(message)\n".utf8))
        return .failure
    }
}
