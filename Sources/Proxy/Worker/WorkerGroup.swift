// SPDX-License-Identifier: Apache-2.0

package import Common
package import Logging
package import NIOCore
package import TLS

/// The workers of all event loops.
///
/// Made once, before the listeners; shared by them.
package final class WorkerGroup: Sendable {
    /// The loops.
    package let loops: any EventLoopGroup
    /// How close the process is to its memory limit.
    package let overload: Overload
    private let workers: [ObjectIdentifier: NIOLoopBound<Worker>]
    private let slots: [LoopSlot]

    /// One worker for each loop of `loops`.
    ///
    /// - Parameter records: Who wants to know of single requests.
    /// - Parameter ask: Asks the registry for a service; see ``ServiceWaits``.
    package init(
        on loops: any EventLoopGroup, mesh: Snapshot<Mesh>, governance: Governance = Governance(),
        metrics: MetricsRegistry, logger: Logger,
        overload: Overload = Overload(), tls: TLSContexts = TLSContexts(), records: Mailbox<ExchangeRecords>? = nil,
        ask: (@Sendable (RegistryMessage) -> Bool)? = nil
    ) async throws {
        self.loops = loops
        self.overload = overload
        var workers: [ObjectIdentifier: NIOLoopBound<Worker>] = [:]
        let count = loops.makeIterator().reduce(0) { count, _ in count + 1 }
        var slots: [LoopSlot] = []
        for (index, loop) in loops.makeIterator().enumerated() {
            let slot = LoopSlot()
            slots.append(slot)
            workers[ObjectIdentifier(loop)] = try await loop.submit {
                let worker = Worker(
                    eventLoop: loop, index: index, loopCount: count, mesh: mesh, governance: governance,
                    metrics: metrics, logger: logger, overload: overload, tls: tls, slot: slot, records: records,
                    ask: ask)
                // Not weak: both live as long as the process.
                mesh.observe(on: loop) { worker.arrived($0) }
                worker.startReporting()
                return NIOLoopBound(worker, eventLoop: loop)
            }.get()
        }
        self.workers = workers
        self.slots = slots
    }

    /// What the loops said last, in their order.
    package var reports: [LoopReport] { self.slots.map(\.current) }

    /// How many loops there are.
    package var count: Int { self.workers.count }

    /// The worker of `loop`; to be called on it.
    func worker(of loop: any EventLoop) -> Worker {
        guard let worker = self.workers[ObjectIdentifier(loop)] else {
            preconditionFailure("a connection on a loop without a worker")
        }
        return worker.value
    }

    /// Calls `body` with each worker, on its loop.
    package func forEach(_ body: @escaping @Sendable (Worker) -> Void) {
        for worker in self.workers.values {
            worker.eventLoop.execute { body(worker.value) }
        }
    }

    /// Calls `body` with each worker, on its loop, and gathers what it returns.
    package func gather<Result: Sendable>(_ body: @escaping @Sendable (Worker) -> Result) async throws -> [Result] {
        var results: [Result] = []
        for worker in self.workers.values {
            results.append(try await worker.eventLoop.submit { body(worker.value) }.get())
        }
        return results
    }
}
