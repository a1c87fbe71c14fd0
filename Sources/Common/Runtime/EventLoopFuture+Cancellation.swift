// SPDX-License-Identifier: Apache-2.0

package import NIOCore
import Synchronization

extension EventLoopFuture where Value: Sendable {
    /// Waits as `get()` does, but no longer than the task is wanted.
    ///
    /// - Parameter late: Called with a value that comes after the task was cancelled, and that nobody else gets: a channel
    ///   is to be closed.
    /// - Throws: `CancellationError` as soon as the task is cancelled, or the failure of the future.
    package func getCancellable(late: @escaping @Sendable (Value) -> Void = { _ in }) async throws -> Value {
        let wait = FutureWait<Value>()
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                wait.begin(continuation)
                self.whenComplete { result in
                    if !wait.end(result), case .success(let value) = result { late(value) }
                }
            }
        } onCancel: {
            wait.end(.failure(CancellationError()))
        }
    }
}

/// A task that waits for a future, or for its own cancellation: whatever comes first.
private final class FutureWait<Value: Sendable>: Sendable {
    private enum State {
        case idle
        case waiting(CheckedContinuation<Value, any Error>)
        case over
    }

    private let state = Mutex(State.idle)

    func begin(_ continuation: CheckedContinuation<Value, any Error>) {
        let isCancelled = self.state.withLock { state -> Bool in
            if case .over = state { return true }
            state = .waiting(continuation)
            return false
        }
        if isCancelled { continuation.resume(throwing: CancellationError()) }
    }

    /// - Returns: Whether this is what the task gets.
    @discardableResult
    func end(_ result: Result<Value, any Error>) -> Bool {
        let (continuation, isFirst) = self.state.withLock { state -> (CheckedContinuation<Value, any Error>?, Bool) in
            defer { state = .over }
            switch state {
            case .idle: return (nil, true)
            case .waiting(let continuation): return (continuation, true)
            case .over: return (nil, false)
            }
        }
        continuation?.resume(with: result)
        return isFirst
    }
}
