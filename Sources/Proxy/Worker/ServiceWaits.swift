// SPDX-License-Identifier: Apache-2.0
// request path

import Common
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

    private let eventLoop: any EventLoop
    private let ask: (@Sendable (String) -> Bool)?
    private var waits: [String: Wait] = [:]

    /// Nobody waits.
    ///
    /// - Parameter ask: Asks the registry, and is told at the next directory; `false` when it has too much to do. `nil`
    ///   when there is nobody to ask.
    init(eventLoop: any EventLoop, ask: (@Sendable (String) -> Bool)?) {
        self.eventLoop = eventLoop
        self.ask = ask
    }

    /// How many names are waited for.
    var count: Int { self.waits.count }

    /// Succeeds when the directory knows more of `name`, or when the time is over.
    ///
    /// - Returns: `nil` when too many wait already.
    package func wait(for name: String) -> EventLoopFuture<Void>? {
        if let wait = self.waits[name] { return wait.promise.futureResult }
        guard let ask = self.ask, self.waits.count < Self.capacity, ask(name) else { return nil }
        let promise = self.eventLoop.makePromise(of: Void.self)
        let timeout = self.eventLoop.assumeIsolated().scheduleTask(in: Self.limit) { self.finish(name) }
        self.waits[name] = Wait(promise: promise, timeout: timeout)
        return promise.futureResult
    }

    /// A directory has come.
    func arrived(_ directory: ServiceDirectory) {
        guard !self.waits.isEmpty else { return }
        let now = NIODeadline.now()
        for name in Array(self.waits.keys) where directory.settles(name, at: now) { self.finish(name) }
    }

    /// Nobody waits any longer; called when the loop is about to end.
    package func stop() { for name in Array(self.waits.keys) { self.finish(name) } }

    private func finish(_ name: String) {
        guard let wait = self.waits.removeValue(forKey: name) else { return }
        wait.timeout.cancel()
        wait.promise.succeed()
    }
}
