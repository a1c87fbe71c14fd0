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

    /// The keys of the log's file.
    static let fileKeys = ["logFile", "logger_file", "logWriters", "writers"]
    /// The key of the access log's file.
    static let accessKeys = ["accessLogFile"]

    /// Why the file of the log cannot be opened; `nil` when nothing is known, or nothing is written there.
    var unusableFile: ConfigMistake? {
        self.settings.writers.contains(.file) ? Self.mistake(inFile: self.settings.path) : nil
    }

    /// The same of the access log.
    var unusableAccessFile: ConfigMistake? {
        self.access.flatMap { $0.path == "stdout" ? nil : Self.mistake(inFile: $0.path) }
    }

    /// The same, but to standard output where the file cannot be opened: no line may be lost without a word.
    var usable: LogConfig {
        guard self.unusableFile != nil else { return self }
        var config = self
        config.settings.writers.remove(.file)
        config.settings.writers.insert(.stdout)
        return config
    }

    /// - Parameter path: Absolute.
    private static func mistake(inFile path: String) -> ConfigMistake? {
        let manager = FileManager.default
        if manager.isFolder(path) {
            return ConfigMistake("\(path) is a folder", remedy: "write the path of a file")
        }
        let remedy = "let the user that mesher runs as write there, or write another path"
        if manager.fileExists(atPath: path) {
            return manager.isWritableFile(atPath: path)
                ? nil : ConfigMistake("\(path) cannot be written", remedy: remedy)
        }
        // Folders that are missing are made, in the closest one that there is.
        var parent = path
        while let slash = parent.lastIndex(of: "/") {
            parent = String(parent[..<slash])
            guard parent.isEmpty || manager.fileExists(atPath: parent) else { continue }
            if manager.isFolder(parent.isEmpty ? "/" : parent),
                manager.isWritableFile(atPath: parent.isEmpty ? "/" : parent)
            {
                return nil
            }
            return ConfigMistake("\(path) cannot be made in \(parent.isEmpty ? "/" : parent)", remedy: remedy)
        }
        return nil
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
