// SPDX-License-Identifier: Apache-2.0

import Logging
import ServiceLifecycle
import Synchronization

/// How often each component was restarted since the process started.
package final class RestartCounter: Sendable {
    private let counts = Mutex<[String: Int]>([:])

    /// None yet.
    package init() {}

    /// Restarts by component name; a component that never failed is absent.
    package var current: [String: Int] { self.counts.withLock { $0 } }

    func add(_ name: String) { self.counts.withLock { $0[name, default: 0] += 1 } }
}

/// One component under ServiceLifecycle: restarts it while serving; drains, then cancels it when stopping.
final class SupervisedComponent: ServiceLifecycle.Service {
    private enum Phase {
        case idle
        case running(any Component)
        case stopping
    }

    private enum Ended { case runs, drain }

    private let name: String
    private let policy: RestartPolicy
    private let drainLimit: Duration
    private let make: Supervisor.Factory
    private let sleep: Supervisor.Sleep
    private let restarts: RestartCounter
    private let logger: Logger
    private let phase = Mutex(Phase.idle)
    private let interruption = Mutex<(@Sendable () -> Void)?>(nil)

    init(
        _ name: String, policy: RestartPolicy, drainLimit: Duration, make: @escaping Supervisor.Factory,
        sleep: @escaping Supervisor.Sleep, restarts: RestartCounter, logger: Logger
    ) {
        self.name = name
        self.policy = policy
        self.drainLimit = drainLimit
        self.make = make
        self.sleep = sleep
        self.restarts = restarts
        self.logger = logger
    }

    /// Two children, since a graceful shutdown does not cancel `run`: the restart loop, and the wait for the shutdown
    /// followed by the drain.
    func run() async throws {
        try await withThrowingTaskGroup(of: Ended.self) { group in
            group.addTask {
                try await self.runAndRestart()
                return .runs
            }
            group.addTask {
                guard (try? await gracefulShutdown()) != nil else { return .drain }  // nil: cancelled
                await self.drain()
                return .drain
            }
            for try await ended in group {
                // `run` may end by itself while draining (its listener closed): the drain still has to finish.
                if ended == .runs, self.isStopping { continue }
                group.cancelAll()
            }
        }
    }

    /// Returns when cancelled or stopping; throws when the policy gives up.
    private func runAndRestart() async throws {
        var backoff = RestartBackoff(self.policy)
        while !Task.isCancelled {
            let failure: any Error
            do {
                let component = try self.make()
                guard self.enter(.running(component)) else { return }
                try await self.runInterruptibly(component)
                failure = MesherError.returnedEarly(component: self.name)
            } catch {
                failure = error
            }
            // Not `catch is CancellationError`: a component may throw anything when cancelled, and one that throws
            // CancellationError uncancelled has failed.
            guard !Task.isCancelled, self.enter(.idle) else { return }
            switch backoff.failed(at: .now, noise: .random(in: -1...1)) {
            case .giveUp:
                throw MesherError.restartLimit(component: self.name, cause: failure)
            case .restart(let delay):
                self.restarts.add(self.name)
                self.logger.warning(
                    "component failed, restarting",
                    metadata: ["component": "\(self.name)", "error": "\(failure)", "delay": "\(delay)"])
                try? await self.sleep(delay)
            }
        }
    }

    /// Runs in a task of its own, so that one instance can be ended without ending the loop around it.
    private func runInterruptibly(_ component: any Component) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await component.run() }
            let (interruptions, source) = AsyncStream.makeStream(of: Void.self)
            self.interruption.withLock { $0 = { source.yield() } }
            group.addTask {
                for await _ in interruptions { throw MesherError.interrupted(component: self.name) }
            }
            defer {
                self.interruption.withLock { $0 = nil }
                group.cancelAll()
            }
            try await group.next()
        }
    }

    /// Ends the running instance as if it had failed.
    ///
    /// Does nothing between two runs.
    func interrupt() { self.interruption.withLock { $0 }?() }

    private func drain() async {
        let component = self.phase.withLock { phase -> (any Component)? in
            defer { phase = .stopping }
            if case .running(let component) = phase { return component }
            return nil  // between runs: nothing to drain, and the cancellation cuts the back-off short
        }
        guard let component else { return }
        let isFinished = await withTaskGroup(of: Bool.self) { group in
            group.addTask {
                await component.drain()
                return true
            }
            group.addTask {
                try? await self.sleep(self.drainLimit)
                return false
            }
            let isFinished = await group.next() ?? true
            group.cancelAll()
            return isFinished
        }
        if !isFinished {
            self.logger.warning("drain cut short", metadata: ["component": "\(self.name)"])
        }
    }

    private var isStopping: Bool {
        self.phase.withLock { if case .stopping = $0 { true } else { false } }
    }

    /// False when stopping, a phase that is never left.
    private func enter(_ next: Phase) -> Bool {
        self.phase.withLock { phase in
            if case .stopping = phase { return false }
            phase = next
            return true
        }
    }
}
