// SPDX-License-Identifier: Apache-2.0

package import Logging
import Synchronization

/// Runs a library's server so that a component's `run` and `drain` return when all that belongs to it is gone.
///
/// The library stops in a task of its own, which nobody waits for, and which asks an event loop for something at its very
/// end. The loop may have been shut down by then: so whoever shuts it down waits here. What belongs to the server is told by
/// its logger, which all of it has; the last one that lets go of it says so.
package final class OrderlyServer: Sendable {
    private let task = Mutex<Task<Void, any Error>?>(nil)

    /// How long it is waited for what belongs to a server that has ended.
    private static let patience = Duration.seconds(1)

    /// Nothing runs yet.
    package init() {}

    /// Runs a server, which is cancelled with the caller.
    ///
    /// - Parameter server: Makes it, with a logger that writes nothing: its ways of starting and stopping are not news.
    /// - Throws: What the server throws.
    package func run(_ server: @escaping @Sendable (Logger) async throws -> Void) async throws {
        // With the caller's task-local values, from which the server learns of a graceful stop.
        let task = Task {
            let (released, end) = AsyncStream.makeStream(of: Void.self)
            let result: Result<Void, any Error>
            do {
                try await Self.serve(server, end)
                result = .success(())
            } catch {
                result = .failure(error)
            }
            await Self.wait(for: released)
            try result.get()
        }
        self.task.withLock { $0 = task }
        try await withTaskCancellationHandler {
            try await task.value
        } onCancel: {
            task.cancel()
        }
    }

    /// Returns when the server has ended, after it was told to stop gracefully; a cancelled wait cancels the server.
    package func drain() async {
        guard let task = self.task.withLock({ $0 }) else { return }
        await withTaskCancellationHandler {
            _ = await task.result
        } onCancel: {
            task.cancel()
        }
    }

    /// Keeps no logger once it has returned.
    private static func serve(
        _ server: @Sendable (Logger) async throws -> Void, _ end: AsyncStream<Void>.Continuation
    ) async throws {
        try await server(Logger(label: "http") { _ in SilentHandler(lifetime: Lifetime(end)) })
    }

    /// Waits also in a task that is cancelled.
    private static func wait(for released: AsyncStream<Void>) async {
        await Task.detached {
            await withTaskGroup(of: Void.self) { group in
                group.addTask { for await _ in released {} }
                group.addTask { try? await Task.sleep(for: Self.patience) }
                await group.next()
                group.cancelAll()
            }
        }.value
    }
}

/// Ends with the last one that has it.
private final class Lifetime: Sendable {
    private let end: AsyncStream<Void>.Continuation

    init(_ end: AsyncStream<Void>.Continuation) { self.end = end }

    deinit { self.end.finish() }
}

/// Writes nothing, and has a lifetime.
private struct SilentHandler: LogHandler {
    let lifetime: Lifetime
    var metadata = Logger.Metadata()
    var logLevel = Logger.Level.critical

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { self.metadata[key] }
        set { self.metadata[key] = newValue }
    }

    func log(event: LogEvent) {}
}
