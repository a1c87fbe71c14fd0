// SPDX-License-Identifier: Apache-2.0
// request path

package import Common
package import NIOCore

/// Requests of one event loop that name services of which nothing is known yet, and wait for the registry's answer.
///
/// The first one has the registry asked, the others share its wait.
///
/// - Source: promise U9; the original asked once for every request.
package final class ServiceWaits {
    private struct Wait {
        let promise: EventLoopPromise<Void>
        let timeout: Scheduled<Void>
    }

    /// How long a request waits.
    package static let limit = TimeAmount.seconds(2)
    /// How many names may be waited for.
    package static let capacity = 1_000

    /// Between two reports of one service that refuses.
    private static let pause = TimeAmount.milliseconds(500)

    private let eventLoop: any EventLoop
    private let ask: (@Sendable (RegistryMessage) -> Bool)?
    private var waits: [ServiceDemand: Wait] = [:]
    private var refusals: [ServiceDemand: NIODeadline] = [:]

    /// Nobody waits.
    ///
    /// - Parameter ask: Asks the registry, and is told at the next directory; `false` when it has too much to do. `nil`
    ///   when there is nobody to ask.
    init(eventLoop: any EventLoop, ask: (@Sendable (RegistryMessage) -> Bool)?) {
        self.eventLoop = eventLoop
        self.ask = ask
    }

    /// How many names are waited for.
    var count: Int { self.waits.count }

    /// Succeeds when the directory knows more of what is demanded, or when the time is over.
    ///
    /// - Returns: `nil` when too many wait already.
    package func wait(for demand: ServiceDemand) -> EventLoopFuture<Void>? {
        if let wait = self.waits[demand] { return wait.promise.futureResult }
        guard let ask = self.ask, self.waits.count < Self.capacity, ask(.serviceWanted(demand)) else { return nil }
        let promise = self.eventLoop.makePromise(of: Void.self)
        let timeout = self.eventLoop.assumeIsolated().scheduleTask(in: Self.limit) { self.finish(demand) }
        self.waits[demand] = Wait(promise: promise, timeout: timeout)
        return promise.futureResult
    }

    /// The same for a request, which may wait for one answer after the other, but not for long.
    ///
    /// It goes on with the first answer to any of its demands.
    ///
    /// - Returns: `nil` when its time is over, or when too many wait already.
    package func wait(for demands: [ServiceDemand], _ exchange: inout Exchange) -> EventLoopFuture<Void>? {
        let now = exchange.worker.now
        // Mostly one name, and nothing waited for before: the common wait is as long as that of the request.
        if exchange.awaitsUntil == nil, demands.count == 1, let demand = demands.first {
            exchange.awaitsUntil = now + Self.limit
            return self.wait(for: demand)
        }
        let until = exchange.awaitsUntil ?? now + Self.limit
        guard now < until else { return nil }
        exchange.awaitsUntil = until
        return self.wait(forFirstOf: demands, within: until - now)
    }

    /// Succeeds when the directory knows more of any of `demands`, or when the time is over.
    ///
    /// - Returns: `nil` when none of them can be waited for.
    func wait(forFirstOf demands: [ServiceDemand], within time: TimeAmount) -> EventLoopFuture<Void>? {
        let answers = demands.compactMap { self.wait(for: $0) }
        guard !answers.isEmpty else { return nil }
        // The first one to complete it counts.
        let promise = self.eventLoop.makePromise(of: Void.self)
        let timeout = self.eventLoop.assumeIsolated().scheduleTask(in: time) { promise.succeed() }
        for answer in answers { answer.cascade(to: promise) }
        promise.futureResult.assumeIsolated().whenComplete { _ in timeout.cancel() }
        return promise.futureResult
    }

    /// Has the registry asked again for a service of which no instance takes a connection, twice a second at most.
    package func refuses(_ demand: ServiceDemand, at now: NIODeadline) {
        guard let ask = self.ask else { return }
        if let until = self.refusals[demand], now < until { return }
        if self.refusals.count >= Self.capacity { self.refusals.removeAll() }
        self.refusals[demand] = now + Self.pause
        _ = ask(.serviceRefuses(demand))
    }

    /// A directory has come.
    func arrived(_ directory: ServiceDirectory) {
        guard !self.waits.isEmpty else { return }
        let now = NIODeadline.now()
        for demand in Array(self.waits.keys) where directory.settles(demand, at: now) { self.finish(demand) }
    }

    /// Nobody waits any longer; called when the loop is about to end.
    package func stop() { for demand in Array(self.waits.keys) { self.finish(demand) } }

    private func finish(_ demand: ServiceDemand) {
        guard let wait = self.waits.removeValue(forKey: demand) else { return }
        wait.timeout.cancel()
        wait.promise.succeed()
    }
}
