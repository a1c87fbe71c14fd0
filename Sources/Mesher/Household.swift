// SPDX-License-Identifier: Apache-2.0

import Common
import Logging
import NIOCore
import NIOPosix
import ServiceLifecycle

/// Several sidecars in this process, and what they need around them: a registry, perhaps a service.
struct Household: Sendable {
    let sidecars: [Assembly.Sidecar]
    /// Ends when one of its components cannot go on, and takes the sidecars along.
    let surroundings: ServiceGroup
    /// The event loops of the surroundings.
    let loops: MultiThreadedEventLoopGroup
    let logger: Logger
    /// Has something when the registry serves, and ends when that will not be.
    private let serving: AsyncStream<Void>
    private let served: AsyncStream<Void>.Continuation

    /// - Parameter surroundings: Makes what the sidecars need; it has to call the closure as soon as the registry serves.
    /// - Parameter loops: The event loops of the surroundings.
    init(
        _ sidecars: [Assembly.Sidecar], loops: MultiThreadedEventLoopGroup, logger: Logger,
        surroundings: (_ onServing: @escaping @Sendable () -> Void) -> ServiceGroup
    ) {
        let (serving, served) = AsyncStream.makeStream(of: Void.self)
        self.sidecars = sidecars
        self.surroundings = surroundings { served.yield() }
        self.loops = loops
        self.logger = logger
        self.serving = serving
        self.served = served
    }

    /// Runs everything until a signal, or until one part cannot go on.
    ///
    /// - Parameter whenReady: Called once, when every sidecar has reached the registry, and is known there.
    /// - Parameter whenStopping: Called when the sidecars are asked to stop.
    func run(
        whenReady: @escaping @Sendable () -> Void, whenStopping: @escaping @Sendable () -> Void = {}
    ) async throws {
        let (sidecars, served) = (self.sidecars, self.served)
        let stop = { @Sendable in
            whenStopping()
            served.finish()
            for sidecar in sidecars { await sidecar.group.triggerGracefulShutdown() }
        }
        let reload = { @Sendable in
            for sidecar in sidecars { sidecar.configInbox.send(.reloadRequested) }
        }
        await SignalWatch(logger: self.logger, stop: stop, reload: { reload() }).start()
        let surroundings = self.surroundings
        let running = Task {
            defer { Task { await stop() } }
            try await surroundings.run()
        }
        // Or the first thing that each sidecar does would fail, and be tried again a second later.
        if await self.isServing() { try await self.runSidecars(whenReady) }
        // Last, so that all could say good-bye.
        await surroundings.triggerGracefulShutdown()
        try await running.value
        try await self.loops.shutdownGracefully()
    }

    private func isServing() async -> Bool {
        for await _ in self.serving { return true }
        return false
    }

    private func runSidecars(_ whenReady: @escaping @Sendable () -> Void) async throws {
        let sidecars = self.sidecars
        let announcement = Task {
            for sidecar in sidecars {
                await sidecar.registered()
                await sidecar.readiness.wait(for: .registry)
            }
            if !Task.isCancelled { whenReady() }
        }
        try await withThrowingTaskGroup(of: Void.self) { group in
            for sidecar in sidecars { group.addTask { try await sidecar.run() } }
            try await group.waitForAll()
        }
        announcement.cancel()
    }
}
