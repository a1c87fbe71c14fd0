// SPDX-License-Identifier: Apache-2.0

import Logging

/// What is logged, where and how: `lager.yaml`, in the spellings of its two generations.
///
/// - Source: lager.yaml of the original, where a value out of range stands for the default.
package struct LogConfig: Sendable, Equatable {
    /// The log of the process.
    package var settings = LogSettings()
    /// The log of requests; `nil` for none.
    package var access: AccessLogConfig?

    /// Where and how the handler `access-log` writes.
    package struct AccessLogConfig: Sendable, Equatable {
        /// How a request is written.
        package enum Format: String, Sendable, CaseIterable {
            /// `GET http://cart/items from 127.0.0.1 200 12ms`, the original's.
            case text
            /// One JSON object a line.
            case json
        }

        /// A file's path, or `stdout`.
        package var path: String
        /// How a request is written.
        package var format: Format
    }

    /// Reads the keys.
    package init(_ reader: inout ConfigReader) {
        // Without a word about logs a person is most likely watching; the original's default is for machines.
        let isConfigured = Keys.all.contains { reader.store.entry($0.name) != nil }
        self.settings.level = .info
        self.settings.format = isConfigured ? .json : .text
        if let text = Self.text(Keys.level, Keys.oldLevel, &reader) {
            let level = Logger.Level(logName: text)
            if level == nil {
                let names = ["DEBUG", "INFO", "WARN", "ERROR", "FATAL"]
                let meant = Choice.meant(by: text, among: names) ?? "one of \(names.joined(separator: ", "))"
                Self.warn(
                    Keys.level, Keys.oldLevel, "\"\(text)\" is no level: INFO is taken", "write \(meant)", &reader)
            }
            self.settings.level = level ?? .info
        }
        if let text = Self.text(Keys.writers, Keys.oldWriters, &reader) {
            let names = text.split(separator: ",").map { $0.filter { !$0.isWhitespace } }
            let writers = Set(names.compactMap { LogSettings.Writer(rawValue: $0) })
            if writers.count != Set(names).count || writers.isEmpty {
                Self.warn(
                    Keys.writers, Keys.oldWriters, "\"\(text)\": not all of this is known",
                    "write stdout, stderr or file", &reader)
            }
            self.settings.writers = writers.isEmpty ? [.stdout] : writers
        }
        if let path = Self.text(Keys.file, Keys.oldFile, &reader), !path.isEmpty { self.settings.path = path }
        if let isText = Self.flag(Keys.text, Keys.oldText, &reader) { self.settings.format = isText ? .text : .json }
        if let text = Self.text(Keys.color, nil, &reader) {
            self.settings.color = LogSettings.ColorMode(rawValue: text.lowercased()) ?? .auto
        }
        self.readRotation(&reader)
        if let path = Self.text(Keys.accessFile, nil, &reader), !path.isEmpty {
            self.access = AccessLogConfig(path: path, format: reader.read(Keys.accessFormat))
        }
    }

    private mutating func readRotation(_ reader: inout ConfigReader) {
        self.settings.rotation.isDisabled = Self.flag(Keys.isFixed, nil, &reader) ?? false
        self.settings.rotation.isCompressing = Self.flag(Keys.compress, nil, &reader) ?? false
        if let text = Self.text(Keys.policy, nil, &reader) {
            let policy = LogSettings.Rotation.Policy(rawValue: text.lowercased())
            if policy == nil {
                Self.warn(Keys.policy, nil, "\"\(text)\" is no policy: size is taken", "write size or daily", &reader)
            }
            self.settings.rotation.policy = policy ?? .size
        }
        self.settings.rotation.ageInDays = Self.number(Keys.age, Keys.oldAge, 0...10, 1, &reader)
        self.settings.rotation.sizeInMegabytes = Self.number(Keys.size, Keys.oldSize, 1...500, 10, &reader)
        self.settings.rotation.backupCount = Self.number(Keys.backups, Keys.oldBackups, 0...100, 7, &reader)
    }

    private static func text(
        _ key: ConfigKey<String>, _ old: ConfigKey<String>?, _ reader: inout ConfigReader
    ) -> String? {
        if let old, let new = reader.store.entry(key.name), let entry = reader.store.entry(old.name) {
            let problem = "has no effect: \(new.key) at \(new.value.location) counts"
            reader.note(
                ConfigProblem(
                    .warning, at: entry.value.location, key: entry.key, problem, remedy: "keep one of them"))
        }
        return reader.readIfPresent(key) ?? old.flatMap { reader.readIfPresent($0) }
    }

    private static func flag(
        _ key: ConfigKey<String>, _ old: ConfigKey<String>?, _ reader: inout ConfigReader
    ) -> Bool? {
        guard let text = Self.text(key, old, &reader) else { return nil }
        switch text.lowercased() {
        case "true", "yes", "on", "1": return true
        case "false", "no", "off", "0": return false
        default:
            Self.warn(key, old, "\"\(text)\" is neither true nor false", "write true or false", &reader)
            return nil
        }
    }

    private static func number(
        _ key: ConfigKey<String>, _ old: ConfigKey<String>?, _ range: ClosedRange<Int>, _ fallback: Int,
        _ reader: inout ConfigReader
    ) -> Int {
        guard let text = Self.text(key, old, &reader) else { return fallback }
        guard let number = Int(text), range.contains(number) else {
            let limits = "\(range.lowerBound) to \(range.upperBound)"
            let digits = Int(text.prefix { $0.isASCII && $0.isNumber }).flatMap { range.contains($0) ? $0 : nil }
            Self.warn(
                key, old, "\"\(text)\" is not within \(limits): \(fallback) is taken",
                "write \(digits.map { "\($0)" } ?? limits)", &reader)
            return fallback
        }
        return number
    }

    private static func warn(
        _ key: ConfigKey<String>, _ old: ConfigKey<String>?, _ problem: String, _ remedy: String,
        _ reader: inout ConfigReader
    ) {
        guard let entry = reader.store.entry(key.name) ?? old.flatMap({ reader.store.entry($0.name) }) else { return }
        reader.note(ConfigProblem(.warning, at: entry.value.location, key: entry.key, problem, remedy: remedy))
    }

    /// The keys of ``LogConfig``.
    package enum Keys {
        /// - Parameter usual: What editors offer; anything else is warned of, and the default is taken.
        private static func key(
            _ name: String, _ fallback: String, _ help: String, usual: [String] = []
        ) -> ConfigKey<String> {
            ConfigKey(name, .text(usual: usual), default: fallback, reload: .live, help)
        }

        static let writers = Self.key(
            "logWriters", "stdout", "Where logs go: `stdout`, `stderr`, `file`.",
            usual: ["stdout", "stderr", "file"])
        static let oldWriters = Self.key("writers", "stdout", "Old spelling of `logWriters`.")
        static let level = Self.key(
            "logLevel", "INFO",
            "`DEBUG`, `INFO`, `WARN`, `ERROR` or `FATAL`. `DEBUG` costs something for each request.",
            usual: ["DEBUG", "INFO", "WARN", "ERROR", "FATAL"])
        static let oldLevel = Self.key("logger_level", "INFO", "Old spelling of `logLevel`.")
        static let file = Self.key(
            "logFile", "log/chassis.log", "Path of the file; a relative one begins in `CHASSIS_HOME`.")
        static let oldFile = Self.key("logger_file", "log/chassis.log", "Old spelling of `logFile`.")
        static let text = Self.key(
            "logFormatText", "false", "Text instead of JSON; without any key of this table it is text as well.",
            usual: ["true", "false"])
        static let oldText = Self.key("log_format_text", "false", "Old spelling of `logFormatText`.")
        static let color = Self.key(
            "logColorMode", "auto", "Colours of text: `auto`, `always` or `never`.",
            usual: ["auto", "always", "never"])
        static let isFixed = Self.key(
            "logRotateDisable", "false", "Never begin a new file.", usual: ["true", "false"])
        static let compress = Self.key(
            "logRotateCompress", "false", "Compress old files.", usual: ["true", "false"])
        static let policy = Self.key(
            "rollingPolicy", "size", "Begin a new file by `size` or `daily`.", usual: ["size", "daily"])
        static let age = Self.key("logRotateAge", "1", "Days that old files are kept, 0 (for ever) to 10.")
        static let oldAge = Self.key("log_rotate_date", "1", "Old spelling of `logRotateAge`.")
        static let size = Self.key("logRotateSize", "10", "Megabytes after which a new file is begun, 1 to 500.")
        static let oldSize = Self.key("log_rotate_size", "10", "Old spelling of `logRotateSize`.")
        static let backups = Self.key("logBackupCount", "7", "How many old files are kept, 0 (all) to 100.")
        static let oldBackups = Self.key("log_backup_count", "7", "Old spelling of `logBackupCount`.")
        static let accessFile = Self.key(
            "accessLogFile", "", "Where the handler `access-log` writes requests: a path, or `stdout`.")
        static let accessFormat = ConfigKey(
            "accessLogFormat", .oneOf(AccessLogConfig.Format.self, "format"), default: .text, reload: .live,
            "How it does: a line as in the original, or a JSON object.")

        /// All of them, in the order of the reference.
        package static let all: [any AnyConfigKey] = [
            Self.writers, Self.oldWriters, Self.level, Self.oldLevel, Self.file, Self.oldFile, Self.text, Self.oldText,
            Self.color, Self.isFixed, Self.compress, Self.policy, Self.age, Self.oldAge, Self.size, Self.oldSize,
            Self.backups, Self.oldBackups, Self.accessFile, Self.accessFormat,
        ]
    }
}
