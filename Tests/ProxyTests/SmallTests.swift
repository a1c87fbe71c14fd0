// SPDX-License-Identifier: Apache-2.0

import Common
import NIOCore
import NIOEmbedded
import Testing

@testable import Proxy

@Suite struct RoundRobinTests {
    @Test("takes each in turn, from where it was told to start")
    func inTurn() {
        var turn = RoundRobin(startingAt: 7)
        #expect((0..<6).map { _ in turn.pick(of: 3) } == [1, 2, 0, 1, 2, 0])
        #expect(turn.pick(of: 0) == nil)
        var last = RoundRobin(startingAt: .max)
        #expect([last.pick(of: 4), last.pick(of: 4)] == [3, 0])
    }
}

@Suite struct DeadlineTableTests {
    private final class Owner: DeadlineOwner {
        var deadline = NIODeadline.distantFuture
        var slot: DeadlineTable.Slot?
        var calls = 0
        var onCall: (Owner) -> Void = { _ in }
        func deadlineReached() {
            self.calls += 1
            self.onCall(self)
        }
    }

    @Test("calls those whose time has come, once, and tells the next time")
    func sweep() throws {
        let loop = EmbeddedEventLoop()
        let table = DeadlineTable(eventLoop: loop)
        let owners = (0..<3).map { _ in Owner() }
        for owner in owners { table.add(owner) }
        owners[0].deadline = .uptimeNanoseconds(10)
        owners[1].deadline = .uptimeNanoseconds(20)
        #expect(table.sweep(at: .uptimeNanoseconds(15)) == .uptimeNanoseconds(20))
        #expect(owners.map(\.calls) == [1, 0, 0])
        #expect(table.sweep(at: .uptimeNanoseconds(15)) == .uptimeNanoseconds(20))
        #expect(owners.map(\.calls) == [1, 0, 0])
        table.remove(owners[1])
        #expect(table.sweep(at: .uptimeNanoseconds(30)) == .distantFuture)
        #expect(owners.map(\.calls) == [1, 0, 0])
        #expect(table.count == 2)
        table.stop()
        try loop.syncShutdownGracefully()
    }

    @Test("an owner may remove itself, add others, and set a new deadline while it is called")
    func reentry() throws {
        let loop = EmbeddedEventLoop()
        let table = DeadlineTable(eventLoop: loop)
        let (leaving, staying, joining) = (Owner(), Owner(), Owner())
        table.add(leaving)
        leaving.deadline = .uptimeNanoseconds(1)
        leaving.onCall = { _ in
            table.remove(leaving)
            table.add(joining)
        }
        table.add(staying)
        staying.deadline = .uptimeNanoseconds(1)
        staying.onCall = { $0.deadline = .uptimeNanoseconds(9) }
        #expect(table.sweep(at: .uptimeNanoseconds(5)) == .uptimeNanoseconds(9))
        #expect([leaving.calls, staying.calls, joining.calls] == [1, 1, 0])
        #expect(table.all.count == 2)
        table.stop()
        try loop.syncShutdownGracefully()
    }

    @Test("gives back what a burst has left, whoever stays, and still looks after those")
    func burst() throws {
        let loop = EmbeddedEventLoop()
        let table = DeadlineTable(eventLoop: loop)
        let owners = (0..<20_000).map { _ in Owner() }
        for owner in owners { table.add(owner) }
        let most = table.capacity
        // Those that came last stay longest, as the drivers of a burst do.
        let (leaving, staying) = (owners[..<19_990].shuffled(), owners[19_990...])
        for owner in leaving {
            table.remove(owner)
            table.remove(owner)
        }
        #expect(table.count == 10 && most >= 20_000 && table.capacity <= 1_024)
        for owner in owners { owner.deadline = .uptimeNanoseconds(1) }
        #expect(table.sweep(at: .uptimeNanoseconds(2)) == .distantFuture)
        #expect(staying.allSatisfy { $0.calls == 1 } && leaving.allSatisfy { $0.calls == 0 })
        table.stop()
        try loop.syncShutdownGracefully()
    }
}

@Suite struct SourceContextTests {
    @Test(
        "reads a JSON object of texts, and nothing else",
        arguments: [
            ("{}", [:]), (#" { "a" : "b" , "c":"d" } "#, ["a": "b", "c": "d"]),
            (#"{"k":"\u0041\n\"\\\/\ud83d\ude00é"}"#, ["k": "A\n\"\\/😀é"]), (#"{"a":1}"#, nil), (#"{"a":{}}"#, nil),
            ("[]", nil), (#"{"a":"b"}x"#, nil), (#"{"a":"b",}"#, nil), (#"{"a":"b"#, nil), (#"{"a":"\ud83d"}"#, nil),
            (#"{"a":"\x"}"#, nil), ("", nil), ("{\"a\":\"\u{1}\"}", nil), (#"{"a":"\u00"#, nil),
        ] as [(String, [String: String]?)])
    func parse(text: String, expected: [String: String]?) {
        let fields = SourceContext.parse(Array(text.utf8).rawSpan)
        #expect(fields.map { Dictionary($0.map { ($0.key, $0.value) }) { first, _ in first } } == expected)
    }

    @Test("writes one line of ASCII that reads back the same")
    func write() throws {
        let text = SourceContext.write([("a", "x\r\n\"\\é😀"), ("b", "")])
        #expect(text.utf8.allSatisfy { (0x20..<0x7f).contains($0) })
        let parsed = SourceContext.parse(Array(text.utf8).rawSpan)
        let fields = try #require(parsed)
        #expect(fields.map(\.value) == ["x\r\n\"\\é😀", ""])
    }
}

@Suite struct ConnectionBudgetTests {
    @Test(
        "leaves each client a descriptor for its upstream, and others a reserve",
        arguments: [(256, 96), (1024, 480), (64, 8)])
    func share(limit: Int, share: Int) { #expect(ConnectionBudget.share(ofDescriptors: limit) == share) }
}
