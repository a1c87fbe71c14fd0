// SPDX-License-Identifier: Apache-2.0

import AdminAPI
import Common
import FoundationEssentials
import Logging

extension LogConfig {
    /// Where relative paths begin: in `CHASSIS_HOME`, or beside the executable.
    ///
    /// - Source: the original, which knows no working directory.
    static var home: String {
        let home = ProcessInfo.processInfo.environment["CHASSIS_HOME"].flatMap { $0.isEmpty ? nil : $0 }
        return home ?? Executable.directory
    }

    /// With the paths of files as they are meant.
    func placed(in home: String) -> LogConfig {
        var config = self
        if !config.settings.path.hasPrefix("/") { config.settings.path = "\(home)/\(config.settings.path)" }
        if let path = config.access?.path, path != "stdout", !path.hasPrefix("/") {
            config.access?.path = "\(home)/\(path)"
        }
        return config
    }
}

extension Assembly.Surroundings {
    /// The level of the log, and how to change it.
    var logLevel: AdminState.LogLevel {
        guard let logs = self.logs else {
            let level = self.logger.logLevel
            return AdminState.LogLevel(get: { level }, set: { _ in })
        }
        return AdminState.LogLevel(
            get: { logs.level },
            set: { level in
                logs.setLevel(level)
                // Said whatever the level: who reads the log must know why it changes.
                var logger = Logger(label: MesherLogHandler.plainLabel) { MesherLogHandler(label: $0, output: logs) }
                logger.logLevel = .trace
                logger.notice(
                    "the level of the log was changed through the admin API", metadata: ["level": "\(level.logName)"])
            })
    }
}

/// What metrics show of the log.
struct LogMetrics: Sendable {
    let output: LogOutput

    func register(with metrics: MetricsRegistry) {
        metrics.addCollector {
            [
                MetricFamily(
                    "mesher_log_lines_total", help: "Lines that were logged.", kind: .counter,
                    Double(self.output.linesWritten)),
                MetricFamily(
                    "mesher_log_dropped_lines_total", help: "Lines that were lost because writing them took too long.",
                    kind: .counter, Double(self.output.linesDropped)),
                MetricFamily(
                    "mesher_log_write_errors_total", help: "Times a log could not be written.", kind: .counter,
                    Double(self.output.errors)),
            ]
        }
    }
}
