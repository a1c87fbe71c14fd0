// SPDX-License-Identifier: Apache-2.0

import Common
import Logging
import Testing

@Suite struct LogConfigTests {
    private func read(_ yaml: String) throws -> (config: LogConfig, problems: [String]) {
        var source = ConfigSource(.files)
        source.add(try ConfigTree(yaml: yaml, source: "lager.yaml"))
        var reader = ConfigReader(ConfigStore([source]))
        let config = LogConfig(&reader)
        return (config, reader.problems.map(\.description))
    }

    @Test("without a key text is written from INFO on; whoever writes one is given JSON, as in the original")
    func format() throws {
        let (config, problems) = try self.read("other: 1")
        #expect(problems.isEmpty && config.access == nil)
        #expect(config.settings.format == .text && config.settings.level == .info)
        #expect(config.settings.writers == [.stdout] && config.settings.rotation == LogSettings.Rotation())
        for line in [
            "logLevel: INFO", "logger_level: INFO", "logWriters: stdout", "writers: stdout", "logColorMode: auto",
            "logRotateAge: 1", "log_backup_count: 7", "accessLogFile: stdout", "accessLogFormat: text",
            "logFormatText: false", "log_format_text: 'no'",
        ] {
            let (config, problems) = try self.read(line)
            #expect(config.settings.format == .json && config.settings.level == .info && problems.isEmpty, "\(line)")
        }
        #expect(try self.read("{logLevel: DEBUG, logFormatText: true}").config.settings.format == .text)
    }

    private static let new = """
        logWriters: file,stderr
        logLevel: WARN
        logFile: /var/log/mesher.log
        logFormatText: true
        logRotateAge: 3
        logRotateSize: 20
        logBackupCount: 9
        """
    private static let old = """
        writers: 'file, stderr'
        logger_level: warn
        logger_file: /var/log/mesher.log
        log_format_text: 'yes'
        log_rotate_date: 3
        log_rotate_size: 20
        log_backup_count: 9
        """

    @Test("both spellings say the same", arguments: [new, old])
    func spellings(yaml: String) throws {
        var expected = LogSettings()
        expected.writers = [.file, .stderr]
        expected.level = .warning
        expected.path = "/var/log/mesher.log"
        expected.format = .text
        expected.rotation.ageInDays = 3
        expected.rotation.sizeInMegabytes = 20
        expected.rotation.backupCount = 9
        let (config, problems) = try self.read(yaml)
        #expect(config.settings == expected && problems.isEmpty)
    }

    @Test("of both spellings the newer counts")
    func precedence() throws {
        let (config, problems) = try self.read(
            """
            {logLevel: ERROR, logger_level: DEBUG, logRotateAge: 2, log_rotate_date: 3, logWriters: stderr,
             writers: stdout, logFile: new, logger_file: old, logFormatText: false, log_format_text: true}
            """)
        #expect(config.settings.level == .error && config.settings.rotation.ageInDays == 2)
        #expect(
            problems.map { String($0.prefix { $0 != ";" }) }.sorted() == [
                "lager.yaml:1:33: warning: logger_level: has no effect: logLevel at lager.yaml:1:12 counts",
                "lager.yaml:1:74: warning: log_rotate_date: has no effect: logRotateAge at lager.yaml:1:54 counts",
                "lager.yaml:2:11: warning: writers: has no effect: logWriters at lager.yaml:1:89 counts",
                "lager.yaml:2:46: warning: logger_file: has no effect: logFile at lager.yaml:2:28 counts",
                "lager.yaml:2:90: warning: log_format_text: has no effect: logFormatText at lager.yaml:2:66 counts",
            ])
        #expect(config.settings.writers == [.stderr] && config.settings.path == "new")
        #expect(config.settings.format == .json)
    }

    @Test("keys of one spelling")
    func others() throws {
        let (config, problems) = try self.read(
            "{logColorMode: Never, logRotateDisable: true, logRotateCompress: 'on', rollingPolicy: DAILY}")
        #expect(problems.isEmpty && config.settings.color == .never && config.settings.rotation.isDisabled)
        #expect(config.settings.rotation.isCompressing && config.settings.rotation.policy == .daily)
    }

    @Test(
        "levels have the original's names, in any letter case",
        arguments: [
            ("DEBUG", .debug), ("Info", .info), ("warn", .warning), ("ERROR", .error), ("FATAL", .critical),
        ] as [(String, Logger.Level)])
    func levels(name: String, level: Logger.Level) throws {
        let (config, problems) = try self.read("logLevel: \(name)")
        #expect(config.settings.level == level && problems.isEmpty)
    }

    @Test(
        "a number out of range stands for the default, with a warning",
        arguments: [
            ("logRotateAge", "11", "0 to 10: 1", "0 to 10"), ("logRotateAge", "-1", "0 to 10: 1", "0 to 10"),
            ("log_rotate_date", "11", "0 to 10: 1", "0 to 10"), ("logRotateSize", "0", "1 to 500: 10", "1 to 500"),
            ("logRotateSize", "501", "1 to 500: 10", "1 to 500"), ("log_rotate_size", "10MB", "1 to 500: 10", "10"),
            ("logBackupCount", "101", "0 to 100: 7", "0 to 100"),
            ("log_backup_count", "many", "0 to 100: 7", "0 to 100"),
        ])
    func outOfRange(key: String, value: String, limits: String, remedy: String) throws {
        let (config, problems) = try self.read("\(key): \(value)")
        #expect(config.settings.rotation == LogSettings.Rotation())
        let column = key.count + 3
        #expect(
            problems == [
                "lager.yaml:1:\(column): warning: \(key): \"\(value)\" is not within \(limits) is taken; write \(remedy)"
            ])
    }

    @Test(
        "the ends of the ranges are within them",
        arguments: [
            ("{logRotateAge: 0, logRotateSize: 1, logBackupCount: 0}", 0, 1, 0),
            ("{logRotateAge: 10, logRotateSize: 500, logBackupCount: 100}", 10, 500, 100),
        ])
    func ends(yaml: String, age: Int, size: Int, backups: Int) throws {
        let (config, problems) = try self.read(yaml)
        let rotation = config.settings.rotation
        #expect(problems.isEmpty)
        #expect([rotation.ageInDays, rotation.sizeInMegabytes, rotation.backupCount] == [age, size, backups])
    }

    @Test(
        "what is not known is warned of, and the default holds",
        arguments: [
            (
                "logLevel: loud",
                "1:11: warning: logLevel: \"loud\" is no level: INFO is taken; write one of DEBUG, INFO, WARN, ERROR, FATAL"
            ),
            (
                "logger_level: TRACE",
                "1:15: warning: logger_level: \"TRACE\" is no level: INFO is taken; write one of DEBUG, INFO, WARN, ERROR, FATAL"
            ),
            ("logLevel: WARNING", "1:11: warning: logLevel: \"WARNING\" is no level: INFO is taken; write WARN"),
            (
                "rollingPolicy: hourly",
                "1:16: warning: rollingPolicy: \"hourly\" is no policy: size is taken; write size or daily"
            ),
            (
                "logRotateDisable: maybe",
                "1:19: warning: logRotateDisable: \"maybe\" is neither true nor false; write true or false"
            ),
            (
                "writers: syslog",
                "1:10: warning: writers: \"syslog\": not all of this is known; write stdout, stderr or file"
            ),
            (
                "logWriters: ','",
                "1:13: warning: logWriters: \",\": not all of this is known; write stdout, stderr or file"
            ),
        ])
    func unknown(yaml: String, problem: String) throws {
        let (config, problems) = try self.read(yaml)
        #expect(problems == ["lager.yaml:\(problem)"])
        var expected = LogSettings()
        expected.level = .info
        #expect(config.settings == expected)
    }

    @Test("of several writers those that are known are taken")
    func writers() throws {
        let (config, problems) = try self.read("logWriters: 'stderr, syslog'")
        #expect(config.settings.writers == [.stderr] && problems.count == 1)
    }

    @Test("the access log goes where it is told, as text unless it is to be JSON")
    func access() throws {
        #expect(try self.read("accessLogFile: /var/log/a.log").config.access?.path == "/var/log/a.log")
        #expect(try self.read("accessLogFile: stdout").config.access?.format == .text)
        #expect(try self.read("{accessLogFile: stdout, accessLogFormat: JSON}").config.access?.format == .json)
        #expect(try self.read("accessLogFormat: json").config.access == nil)
        #expect(try self.read("accessLogFile: ''").config.access == nil)
        let (config, problems) = try self.read("{accessLogFile: stdout, accessLogFormat: xml}")
        #expect(config.access?.format == .text)
        #expect(problems.count == 1 && problems[0].contains("accessLogFormat: unknown format \"xml\""))
    }
}
