// SPDX-License-Identifier: Apache-2.0

import Foundation
import Logging
import Testing

@testable import Common

@Suite struct LogRecordTests {
    private func line(
        _ format: LogSettings.Format, _ message: String = "taking outgoing requests", _ metadata: Logger.Metadata = [:],
        level: Logger.Level = .info
    ) -> String {
        let record = LogRecord(
            time: LogClock.start, level: level, source: "egress", message: message,
            members: LogRecord.sorted(metadata))
        return String(decoding: record.line(format), as: UTF8.self)
    }

    private func object(_ line: String) throws -> [String: Any] {
        try #require(JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any])
    }

    private static let head = "2026-11-28T00:12:34.567Z INFO  egress: taking outgoing requests"

    @Test(
        "text quotes values where they would not be seen to end",
        arguments: [
            ("127.0.0.1:30101", "127.0.0.1:30101"), ("", #""""#), ("a b", #""a b""#), ("a=b", #""a=b""#),
            (#"a"b"#, #""a\"b""#), (#"a\b"#, #""a\\b""#), ("a\nb", #""a\nb""#), ("käse", #""käse""#),
            ("\u{202e}x", #""\u202ex""#),
        ])
    func values(value: String, expected: String) {
        #expect(self.line(.text, "taking outgoing requests", ["key": "\(value)"]) == "\(Self.head) key=\(expected)\n")
    }

    @Test("text sorts its values, and shows lists and dictionaries in one")
    func text() {
        let metadata: Logger.Metadata = [
            "b": ["x", "y"], "a": .stringConvertible(7), "c": ["k": "v", "j": ["1"]], "a b": "",
        ]
        let expected = #"\#(Self.head) a=7 "a b"="" b="[x, y]" c="{j: [1], k: v}""#
        #expect(self.line(.text, "taking outgoing requests", metadata) == "\(expected)\n")
    }

    @Test(
        "levels have the names of the original",
        arguments: [
            (.trace, "TRACE"), (.debug, "DEBUG"), (.info, "INFO"), (.notice, "INFO"), (.warning, "WARN"),
            (.error, "ERROR"), (.critical, "FATAL"),
        ] as [(Logger.Level, String)])
    func levels(level: Logger.Level, name: String) throws {
        let padded = name.padding(toLength: 5, withPad: " ", startingAt: 0)
        #expect(self.line(.text, "m", level: level) == "2026-11-28T00:12:34.567Z \(padded) egress: m\n")
        #expect(try self.object(self.line(.json, level: level))["level"] as? String == name)
        if level != .trace, level != .notice { #expect(Logger.Level(logName: name.lowercased()) == level) }
        #expect(Logger.Level(code: level.code) == level && Logger.Level(logName: "VERBOSE") == nil)
    }

    @Test("JSON has a fixed beginning, and metadata as members of their own types")
    func json() throws {
        let line = self.line(.json, "m", ["b": ["x", ["k": "v"]], "a": "1"])
        let head = #"{"timestamp":"2026-11-28T00:12:34.567Z","level":"INFO","source":"egress","message":"m""#
        #expect(line == "\(head),\"a\":\"1\",\"b\":[\"x\",{\"k\":\"v\"}]}\n")
    }

    @Test("no name of metadata takes the place of another")
    func names() throws {
        let names = ["timestamp", "level", "source", "message", "truncated"].flatMap { [$0, "_\($0)", "__\($0)"] }
        let metadata = Dictionary(uniqueKeysWithValues: names.map { ($0, Logger.MetadataValue.string("forged \($0)")) })
        let object = try self.object(self.line(.json, "m", metadata))
        #expect(object.count == 4 + names.count)
        #expect(object["level"] as? String == "INFO" && object["message"] as? String == "m")
        for name in names { #expect(object["_\(name)"] as? String == "forged \(name)") }
    }

    private static let hostileTexts = [
        "\r\n2026-11-28T00:12:34.567Z INFO  egress: forged", "\u{1b}[2J\u{9b}31m", "a\0b\u{7f}",
        "\u{202e}\u{2066}\u{2028}",
        #"","level":"FATAL","x":""#, #"\"#, #"\\""#, String(repeating: "\"", count: 20_000),
        String(repeating: "🧀", count: 9000), String(repeating: "\u{1b}", count: 5000), "\u{fffd}\u{ffff}",
    ]

    @Test("hostile texts forge no line and stay within the limit, wherever they stand", arguments: Self.hostileTexts)
    func hostile(text: String) throws {
        let places: [(String, Logger.Metadata)] = [
            (text, [:]), ("m", [text: "v"]), ("m", ["k": "\(text)"]), ("m", ["k": [.string(text)]]),
            ("m", ["k": [text: ["x": "\(text)"]]]), (text, [text: "\(text)", "z": "last"]),
        ]
        for (message, metadata) in places {
            for line in [self.line(.text, message, metadata), self.line(.json, message, metadata)] {
                #expect(line.utf8.count <= LogRecord.longestLine && line.hasSuffix("\n"))
                let isOneLine = line.unicodeScalars.dropLast().allSatisfy {
                    switch $0.value {
                    case 0..<0x20, 0x7f...0x9f, 0x2028...0x202e, 0x2066...0x2069: false
                    default: true
                    }
                }
                #expect(isOneLine)
            }
            let object = try self.object(self.line(.json, message, metadata))
            #expect(object["level"] as? String == "INFO" && object["source"] as? String == "egress")
            let shown = try #require(object["message"] as? String)
            let isCut = object["truncated"] as? Bool == true
            #expect(isCut ? message.hasPrefix(shown.dropLast()) : message == shown)
            #expect(self.line(.text, message, metadata).hasSuffix("…\n") == isCut)
        }
    }

    @Test(
        "is cut where it must be, at every length around the limit",
        arguments: [
            (.text, "…\n", false), (.json, #""truncated":true}\#n"#, false), (.text, "…\n", true),
            (.json, #""truncated":true}\#n"#, true),
        ] as [(LogSettings.Format, String, Bool)])
    func lengths(format: LogSettings.Format, mark: String, inMessage: Bool) throws {
        for count in 8020...8180 {
            let long = String(repeating: "v", count: count)
            let metadata: Logger.Metadata = inMessage ? ["l": "whole"] : ["k": "\(long)", "l": "whole"]
            let line = self.line(format, inMessage ? long : "m", metadata)
            let isCut = line.hasSuffix(mark)
            try #require(line.utf8.count <= LogRecord.longestLine && isCut != line.contains("whole"))
            try #require(!isCut || line.utf8.count > LogRecord.longestLine - 50)
            if format == .json { _ = try self.object(line) }
        }
    }
}
