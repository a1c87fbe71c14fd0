// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// How many bytes of bodies may be held at a time; who comes when there is no room waits, in order.
package final class BodyBudget: Sendable {
    private struct Waiter {
        let id: Int
        let bytes: Int
        let continuation: CheckedContinuation<Bool, Never>
    }

    private struct State {
        var room: Int
        var lastID = 0
        var waiters: [Waiter] = []
    }

    private let state: Mutex<State>

    /// - Parameter bytes: Of all bodies together.
    package init(_ bytes: Int) { self.state = Mutex(State(room: bytes)) }

    /// How many wait.
    var waiting: Int { self.state.withLock { $0.waiters.count } }

    /// Waits for room, which is to be given back.
    ///
    /// - Parameter bytes: No more than there are at all.
    /// - Returns: `false` when there was none in time.
    package func take(_ bytes: Int, until deadline: ContinuousClock.Instant) async -> Bool {
        let id = self.state.withLock { state -> Int? in
            if state.waiters.isEmpty, state.room >= bytes {
                state.room -= bytes
                return nil
            }
            state.lastID += 1
            return state.lastID
        }
        guard let id else { return true }
        let timer = Task {
            try? await Task.sleep(until: deadline)
            self.giveUp(id)
        }
        defer { timer.cancel() }
        return await withCheckedContinuation { continuation in
            let answer = self.state.withLock { state -> Bool? in
                if state.waiters.isEmpty, state.room >= bytes {
                    state.room -= bytes
                    return true
                }
                // The timer may have found nobody.
                if ContinuousClock.now >= deadline { return false }
                state.waiters.append(Waiter(id: id, bytes: bytes, continuation: continuation))
                return nil
            }
            if let answer { continuation.resume(returning: answer) }
        }
    }

    /// Gives room back.
    package func give(_ bytes: Int) { self.serve { $0.room += bytes } }

    private func giveUp(_ id: Int) {
        var late: Waiter?
        self.serve { state in
            guard let index = state.waiters.firstIndex(where: { $0.id == id }) else { return }
            late = state.waiters.remove(at: index)
        }
        late?.continuation.resume(returning: false)
    }

    /// Changes something, and lets those in for whom there is room then.
    private func serve(_ change: (inout State) -> Void) {
        let served = self.state.withLock { state -> [Waiter] in
            change(&state)
            var served: [Waiter] = []
            while let first = state.waiters.first, state.room >= first.bytes {
                state.room -= first.bytes
                served.append(state.waiters.removeFirst())
            }
            return served
        }
        for waiter in served { waiter.continuation.resume(returning: true) }
    }
}
