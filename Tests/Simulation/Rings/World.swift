// SPDX-License-Identifier: Apache-2.0

import Common
import Logging
import NIOCore
import Proxy
import SimulationSupport

/// A worker on a simulated loop, and the channels that the loop looks after.
///
/// A turn of the loop is as NIO's is: each channel that is ready has one event, in any order, and then all tasks run.
final class World {
    /// What the worker is made of and a schedule does not change.
    private struct Constants {
        let metrics = MetricsRegistry(startTime: 0, own: MetricLabels())
        let logger = Logger(label: "simulate") { _ in SwiftLogNoOpLogHandler() }
        let settings = ProxySettings()
        let rules: MeshRules

        init() {
            var reader = ConfigReader(ConfigStore([ConfigSource(.memory)]))
            self.rules = MeshRules(MesherConfig(&reader))
        }
    }

    private static let constants = Constants()

    let schedule: Schedule
    let loop = SimulatedLoop()
    let worker: Worker
    /// Looks whether every rule holds; called after each event.
    var check: () throws -> Void = {}
    /// Peers act at any time: also when the channels of a turn have had their events, and the tasks have not run.
    var beforeTasks: () throws -> Void = {}
    private var channels: [SimulatedChannel] = []
    private var handled: [ObjectIdentifier] = []
    private var isRunningTasks = false

    /// - Parameter connector: Dials upstreams; sockets when there is none.
    init(_ schedule: Schedule, connector: (SimulatedLoop) -> (any UpstreamConnector)? = { _ in nil }) {
        self.schedule = schedule
        let constants = Self.constants
        self.worker = Worker(
            eventLoop: self.loop, loopCount: 1, mesh: Snapshot(Mesh(.empty, constants.rules), on: self.loop),
            metrics: constants.metrics,
            logger: constants.logger, overload: Overload(), connector: connector(self.loop))
        self.worker.random = FastRandom(seed: schedule.seed())
        self.worker.event {}
    }

    /// The default settings.
    static var settings: ProxySettings { Self.constants.settings }

    func add(_ channel: SimulatedChannel) {
        self.channels.append(channel)
        guard self.schedule.isTraced else { return }
        let name = channel.name
        channel.tell = { [unowned self] text in self.note("    mesher's end of \(name) \(text)") }
    }

    /// Notes what happens, with the time.
    func note(_ text: @autoclosure () -> String) {
        self.schedule.note(
            "\(Double((self.loop.now.uptimeNanoseconds - 1_000_000_000) / 1000) / 1_000_000) s  \(text())")
    }

    // MARK: The loop

    /// Whether the loop has anything to do now.
    var isBusy: Bool { self.loop.hasDueTask || self.channels.contains { $0.isReady } }

    /// One event of the loop: of a channel, or a task.
    ///
    /// - Returns: Whether there was one.
    func runEvent() throws -> Bool {
        if !self.isRunningTasks {
            self.channels.removeAll { $0.isClosed }
            let ready = self.channels.filter { $0.isReady && !self.handled.contains(ObjectIdentifier($0)) }
            // Sooner or later the selector has been through, and tasks have their turn.
            if !ready.isEmpty {
                let channel = self.schedule.pick(ready)
                self.handled.append(ObjectIdentifier(channel))
                self.note("loop: event of \(channel.name)")
                channel.handleEvent()
                try self.check()
                return true
            }
            if !self.handled.isEmpty { try self.beforeTasks() }
            self.handled.removeAll(keepingCapacity: true)
            self.isRunningTasks = true
        }
        let hasRun = self.loop.step()
        if hasRun {
            try self.check()
        }
        if !self.loop.hasDueTask { self.isRunningTasks = false }
        return hasRun || self.channels.contains { $0.isReady }
    }

    /// Lets the loop do everything that it can do now.
    func settle() throws {
        while self.isBusy { _ = try self.runEvent() }
    }

    /// When something is due: everything between are looks at the deadlines, which find none.
    var nextDeadline: NIODeadline? {
        guard let next = self.loop.nextDeadline else { return nil }
        let owners = self.worker.deadlines
        guard self.loop.waiting == 1, owners.count > 0 else { return next }
        let first = owners.all.reduce(NIODeadline.distantFuture) { min($0, $1.deadline) }
        return first == .distantFuture ? nil : max(next, first)
    }

    /// Lets time pass, and what becomes due in it run.
    ///
    /// - Parameter moved: Time has moved, and nothing was run yet.
    func pass(_ amount: TimeAmount, moved: () -> Void = {}) throws {
        let end = self.loop.now + amount
        try self.settle()
        while let next = self.nextDeadline, next <= end {
            self.loop.advance(to: next)
            moved()
            try self.settle()
        }
        self.loop.advance(to: end)
        moved()
        try self.settle()
    }

    /// Lets time pass until something becomes due, or a second when nothing will.
    func passToNextDeadline(moved: () -> Void = {}) throws {
        let next = self.nextDeadline ?? self.loop.now + .seconds(1)
        try self.pass(max(next - self.loop.now, .milliseconds(1)), moved: moved)
    }

    /// Takes everything down; whatever has been forgotten shows now.
    func end() throws {
        try self.settle()
        self.worker.deadlines.stop()
        self.worker.stopReporting()
        self.loop.shutDown()
        self.check = {}
        self.beforeTasks = {}
    }
}
