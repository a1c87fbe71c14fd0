// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Common
import CoreMetrics
import FoundationEssentials
import Logging
import ServiceLifecycle

/// `mesher run`, which is also what `mesher` alone does: the sidecar.
struct RunCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "run", abstract: "Run the sidecar (the default).",
        discussion: """
            Files are looked for in $CHASSIS_CONF_DIR, in $CHASSIS_HOME/conf, or in
            conf beside the binary; chassis.yaml and microservice.yaml are required.
            SIGHUP reads them again, SIGUSR1 takes the sidecar out of service, SIGTERM
            ends without losing a request.

            Examples:
              mesher --service-ports rest:8080,grpc:9000
              CHASSIS_CONF_DIR=/etc/mesher mesher --workers 2
              CSE_REGISTRY_ADDR=/etc/mesher/services.yaml \\
                mesher --cse.service.registry.type=file
            """)

    @OptionGroup var options: ConfigurationOptions

    func run() async throws {
        let loader = try self.options.loader()
        let result = Examination(loader).result
        guard !result.hasErrors else {
            let mistakes = result.problems.filter { $0.severity == .error }
            throw Exit.because(
                mistakes.count == 1 ? "not started: one error" : "not started: \(mistakes.count) errors",
                after: mistakes.map(\.description))
        }
        let placed = result.config.logs.placed(in: LogConfig.home)
        if let reason = placed.unusableFile {
            Console.complain("mesher: \(reason.problem): logs go to standard output; \(reason.remedy)\n")
        }
        let logs = LogOutput(placed.usable.settings)
        LoggingSystem.bootstrap { MesherLogHandler(label: $0, output: logs) }
        let libraries = LibraryMetrics()
        MetricsSystem.bootstrap(libraries)
        let logger = Logger(label: MesherLogHandler.plainLabel)
        defer { logs.flush() }
        result.problems.forEach(logger.report)
        var surroundings = Assembly.Surroundings(
            configDirectory: loader.directory, build: BuildInfo(executableDirectory: Executable.directory),
            logger: logger)
        surroundings.source = (loader, result)
        surroundings.logs = logs
        surroundings.libraryMetrics = libraries
        do {
            let sidecar = try await Assembly(result.config, surroundings).make()
            let signals = SignalWatch(
                logger: logger, stop: { await sidecar.group.triggerGracefulShutdown() },
                reload: { sidecar.configInbox.send(.reloadRequested) },
                leave: { sidecar.leave(askedBy: "a signal") })
            await signals.start()
            try await sidecar.run()
            logger.notice("stopped")
        } catch let error as MesherError {
            throw Exit.because("\(error)")
        }
    }
}

/// Ends the process with a message instead of a usage text.
enum Exit {
    /// - Parameter lines: Printed before the message.
    static func because(_ message: String, after lines: [String] = []) -> ExitCode {
        let text = (lines + ["mesher: \(message)"]).joined(separator: "\n")
        Console.complain("\(text)\n")
        return .failure
    }
}
