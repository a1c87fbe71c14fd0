// SPDX-License-Identifier: Apache-2.0

import Common
import Logging
import ServiceLifecycle
import Synchronization
import Testing

/// What has happened, in order.
private final class Journal: Sendable {
    private struct State {
        var entries: [String] = []
        var waiters: [(entry: String, times: Int, continuation: CheckedContinuation<Void, Never>)] = []
    }
    private let state = Mutex(State())

    var entries: [String] { self.state.withLock { $0.entries } }

    func add(_ entry: String) {
        let woken = self.state.withLock { state in
            state.entries.append(entry)
            let count = state.entries.count { $0 == entry }
            let ready = state.waiters.filter { $0.entry == entry && $0.times <= count }
            state.waiters.removeAll { $0.entry == entry && $0.times <= count }
            return ready.map(\.continuation)
        }
        for continuation in woken { continuation.resume() }
    }

    func wait(for entry: String, times: Int = 1) async {
        await withCheckedContinuation { continuation in
            let isThere = self.state.withLock { state in
                if state.entries.count(where: { $0 == entry }) >= times { return true }
                state.waiters.append((entry, times, continuation))
                return false
            }
            if isThere { continuation.resume() }
        }
    }
}

private struct Broken: Error {}

private actor Failing: Component {
    let journal: Journal
    init(_ journal: Journal) { self.journal = journal }
    func run() async throws {
        self.journal.add("failing")
        throw Broken()
    }
}

private actor Steady: Component {
    let name: String
    let journal: Journal
    let hangs: Bool
    init(_ name: String, _ journal: Journal, hangs: Bool = false) {
        self.name = name
        self.journal = journal
        self.hangs = hangs
    }
    func run() async throws {
        self.journal.add("run \(self.name)")
        defer { self.journal.add("end \(self.name)") }
        await Self.untilCancelled()
        try Task.checkCancellation()
    }
    func drain() async {
        self.journal.add("drain \(self.name)")
        if self.hangs { await Self.untilCancelled() }
        self.journal.add("drained \(self.name)")
    }
    /// Nobody sends it anything.
    private static func untilCancelled() async {
        _ = await Mailbox<Never>("nothing", capacity: 1, whenFull: .dropNewest).receive()
    }
}

/// Fails with every second message.
private actor Reader: Component {
    let mailbox: Mailbox<Int>
    let journal: Journal
    init(_ mailbox: Mailbox<Int>, _ journal: Journal) {
        self.mailbox = mailbox
        self.journal = journal
        journal.add("made")
    }
    func run() async throws {
        while let number = await self.mailbox.receive() {
            self.journal.add("got \(number)")
            if number.isMultiple(of: 2) { throw Broken() }
        }
    }
}

@Suite(.timeLimit(.minutes(1))) struct SupervisorTests {
    private let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

    @Test("a component that throws is restarted after growing delays, while another runs on")
    func growingDelays() async throws {
        let journal = Journal()
        let delays = Mutex<[Duration]>([])
        var supervisor = Supervisor(logger: self.logger) { delay in
            delays.withLock { $0.append(delay) }
            await Task.yield()
        }
        supervisor.add("steady") { Steady("steady", journal) }
        supervisor.add("failing", restart: RestartPolicy(firstDelay: .milliseconds(100), limit: 9, jitter: 0)) {
            Failing(journal)
        }
        let group = supervisor.makeGroup(stopWithin: .seconds(30))
        await #expect(throws: MesherError.self) { try await group.run() }  // the tenth failure stops the process
        let expected: [Duration] = [100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000].map { .milliseconds($0) }
        #expect(delays.withLock { Array($0.prefix(9)) } == expected)
        #expect(supervisor.restarts.current == ["failing": 9])
        let steady = journal.entries.filter { $0.hasSuffix("steady") }
        #expect(steady == ["run steady", "drain steady", "drained steady", "end steady"])
    }

    @Test("the delay is spread by its jitter, and starts over after a quiet window")
    func backoff() {
        var backoff = RestartBackoff(RestartPolicy(firstDelay: .seconds(1), window: .seconds(60), jitter: 0.2))
        let start = ContinuousClock.now
        #expect(backoff.failed(at: start, noise: -1) == .restart(after: .milliseconds(800)))
        #expect(backoff.failed(at: start, noise: 1) == .restart(after: .milliseconds(2400)))
        #expect(backoff.failed(at: start + .seconds(61), noise: 0) == .restart(after: .seconds(1)))
    }

    @Test("components stop in the reverse of their order, each drained before its run is cancelled")
    func reverseOrder() async throws {
        let journal = Journal()
        var supervisor = Supervisor(logger: self.logger)
        for name in ["admin", "egress", "registry"] { supervisor.add(name) { Steady(name, journal) } }
        let group = supervisor.makeGroup(stopWithin: .seconds(30))
        async let running: Void = group.run()
        for name in ["admin", "egress", "registry"] { await journal.wait(for: "run \(name)") }
        await group.triggerGracefulShutdown()
        try await running
        let expected = ["registry", "egress", "admin"].flatMap { ["drain \($0)", "drained \($0)", "end \($0)"] }
        #expect(Array(journal.entries.dropFirst(3)) == expected)
    }

    @Test("a drain that hangs costs its own limit only, and a component in back-off holds nothing up")
    func drainLimit() async throws {
        let journal = Journal()
        var supervisor = Supervisor(logger: self.logger)
        supervisor.add("first") { Steady("first", journal) }
        supervisor.add("hangs", drainLimit: .milliseconds(50)) { Steady("hangs", journal, hangs: true) }
        supervisor.add("broken", restart: RestartPolicy(firstDelay: .seconds(3600))) { Failing(journal) }
        let group = supervisor.makeGroup(stopWithin: .seconds(30))
        async let running: Void = group.run()
        for entry in ["run first", "run hangs", "failing"] { await journal.wait(for: entry) }
        let start = ContinuousClock.now
        await group.triggerGracefulShutdown()
        try await running
        #expect(ContinuousClock.now - start < .seconds(10))
        #expect(journal.entries.suffix(3) == ["drain first", "drained first", "end first"])
    }

    @Test("a restarted component goes on with the mailbox of its predecessor")
    func sameMailbox() async throws {
        let journal = Journal()
        let mailbox = Mailbox<Int>("test", capacity: 8, whenFull: .dropNewest)
        var supervisor = Supervisor(logger: self.logger)
        supervisor.add("reader", restart: RestartPolicy(firstDelay: .milliseconds(1))) { Reader(mailbox, journal) }
        let group = supervisor.makeGroup(stopWithin: .seconds(30))
        async let running: Void = group.run()
        for number in 1...7 {
            mailbox.send(number)
            await journal.wait(for: "got \(number)")
        }
        await group.triggerGracefulShutdown()
        try await running
        #expect(journal.entries.count { $0 == "made" } == 4)  // after 2, 4 and 6
    }
}

@Suite(.timeLimit(.minutes(1))) struct ReadinessTests {
    @Test("is ready when every expected condition is met, and not while draining")
    func conditions() {
        let readiness = Readiness([.listeners, .registry])
        #expect(readiness.missing == ["listeners", "registry"])
        readiness.set(.registry)
        #expect(readiness.missing == ["listeners"])
        readiness.set(.listeners)
        #expect(readiness.missing.isEmpty)
        readiness.beginDraining()
        #expect(readiness.missing == ["draining"])
        let since = readiness.drainingSince
        #expect(!readiness.beginDraining())
        #expect(since != nil && readiness.drainingSince == since)
    }

    @Test("a sidecar out of service is not stopping yet, and one that stops is out of service")
    func stopping() {
        let readiness = Readiness([])
        #expect(readiness.beginDraining() && readiness.isDraining && !readiness.isStopping)
        let since = readiness.drainingSince
        readiness.beginStopping()
        #expect(readiness.isStopping && readiness.drainingSince == since && readiness.missing == ["draining"])
        let other = Readiness([])
        other.beginStopping()
        #expect(other.isDraining && other.isStopping)
    }

    @Test("registries may be given up on, listeners may not")
    func forgets() {
        let readiness = Readiness([.listeners, .registry])
        #expect(readiness.forgetRegistries() == [.registry])
        #expect(readiness.missing == ["listeners"])
        #expect(readiness.forgetRegistries().isEmpty)
    }

    @Test("a wait ends when its condition is met, or when it is cancelled")
    func waits() async {
        let readiness = Readiness([.listeners])
        await readiness.wait(for: .registry)  // not expected, so nothing to wait for
        let waiting = Task { await readiness.wait(for: .listeners) }
        readiness.set(.listeners)
        await waiting.value
        readiness.set(.listeners, false)
        let cancelled = Task { await readiness.wait(for: .listeners) }
        cancelled.cancel()
        await cancelled.value
        let leaving = Task { await readiness.waitForDraining() }
        let given = Task { await readiness.waitForDraining() }
        given.cancel()
        await given.value
        #expect(!readiness.isDraining)
        readiness.beginDraining()
        await leaving.value
        await readiness.waitForDraining()
    }
}
