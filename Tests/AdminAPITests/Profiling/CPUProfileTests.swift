// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import AdminAPI

@Suite("CPU profile")
struct CPUProfileTests {
    private static let profile = CPUProfile(
        stacks: [[0x1010, 0x1020, 0x2030]: 3, [0x1010, 0x9000]: 1, [0x2030]: 2],
        map: MemoryMap(
            text: """
                1000-2000 r-xp 00000400 00:00 0 /usr/bin/mesher
                2000-3000 r-xp 00000000 00:00 0 /lib/libc.so.6
                """),
        symbols: [
            0x1010: Symbol(name: "inner()", systemName: "$sinner"),
            0x1020: Symbol(name: "outer()", systemName: "$souter"),
        ],
        start: 1_700_000_000_000_000_000, duration: 2_000_000_000, period: 10_000_000, comments: ["a remark"])

    /// The names of a sample's stack, and its two values.
    private static func samples(_ message: ProtobufReader) throws -> [[String]: [UInt64]] {
        let strings = message.texts(6)
        var functions: [UInt64: String] = [:]
        for function in try message.messages(5) {
            functions[try function.number(1)] = strings[Int(try function.number(2))]
        }
        var locations: [UInt64: String] = [:]
        for location in try message.messages(4) {
            let lines = try location.messages(4)
            locations[try location.number(1)] = functions[try lines[0].number(1)]
        }
        var samples: [[String]: [UInt64]] = [:]
        for sample in try message.messages(2) {
            samples[try sample.numbers(1).map { locations[$0] ?? "?" }] = try sample.numbers(2)
        }
        return samples
    }

    @Test("has the stacks by name, with counts and CPU time") func samples() throws {
        let message = try ProtobufReader(Self.profile.encoded())
        #expect(
            try Self.samples(message) == [
                ["inner()", "outer()", "[libc.so.6]"]: [3, 30_000_000], ["inner()", "[unknown]"]: [1, 10_000_000],
                ["[libc.so.6]"]: [2, 20_000_000],
            ])
    }

    @Test("says what is counted, when, for how long and how often") func header() throws {
        let message = try ProtobufReader(Self.profile.encoded())
        let strings = message.texts(6)
        #expect(strings.first == "")
        #expect(Set(strings).count == strings.count)
        let types = try message.messages(1).map { try [strings[Int($0.number(1))], strings[Int($0.number(2))]] }
        #expect(types == [["samples", "count"], ["cpu", "nanoseconds"]])
        let period = try message.messages(11).map { try [strings[Int($0.number(1))], strings[Int($0.number(2))]] }
        #expect(period == [["cpu", "nanoseconds"]])
        #expect(try message.number(9) == 1_700_000_000_000_000_000)
        #expect(try message.number(10) == 2_000_000_000)
        #expect(try message.number(12) == 10_000_000)
        #expect(try message.numbers(13).map { strings[Int($0)] } == ["a remark"])
    }

    @Test("has the mappings, and the mapping and address of each location") func mappings() throws {
        let message = try ProtobufReader(Self.profile.encoded())
        let strings = message.texts(6)
        let mappings = try message.messages(3)
        #expect(try mappings.map { try strings[Int($0.number(5))] } == ["/usr/bin/mesher", "/lib/libc.so.6"])
        #expect(try mappings.map { try $0.number(1) } == [1, 2])
        #expect(try mappings.map { try $0.number(2) } == [0x1000, 0x2000])
        #expect(try mappings.map { try $0.number(3) } == [0x2000, 0x3000])
        #expect(try mappings.map { try $0.number(4) } == [0x400, 0])
        #expect(try mappings.map { try $0.number(7) } == [1, 1])
        let places = try message.messages(4).map { try [$0.number(3), $0.number(2)] }
        #expect(Set(places) == [[0x1010, 1], [0x1020, 1], [0x2030, 2], [0x9000, 0]])
        let systemNames = try message.messages(5).map { try strings[Int($0.number(3))] }
        #expect(Set(systemNames) == ["$sinner", "$souter", "[libc.so.6]", "[unknown]"])
    }

    @Test("the same profile becomes the same bytes") func stable() {
        #expect(Self.profile.encoded() == Self.profile.encoded())
    }

    @Test("one without samples is a message too") func empty() throws {
        let profile = CPUProfile(
            stacks: [:], map: MemoryMap(text: ""), symbols: [:], start: 1, duration: 1, period: 1, comments: [])
        #expect(try ProtobufReader(profile.encoded()).messages(2).isEmpty)
    }
}
