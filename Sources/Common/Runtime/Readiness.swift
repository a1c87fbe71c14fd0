// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// The named conditions behind `/readyz`: the sidecar is ready when all that are expected are met.
///
/// ServiceLifecycle starts all components at once, so whoever needs another part first (registration needs the
/// listeners) waits for its condition here.
package final class Readiness: Sendable {
    /// Something that must be so before the sidecar is ready.
    package enum Condition: String, Sendable, CaseIterable {
        /// All configured listeners accept.
        case listeners
        /// The registry was read at least once, or its last answers were found on disk.
        case registry
        /// The file registry was read, where there is another registry besides.
        case registryFile = "registry file"
        /// There is a certificate to serve with.
        case certificate
    }

    private struct State {
        var isMet: [Condition: Bool]
        var drainingSince: ContinuousClock.Instant?
        var lastWaiterID = 0
        var waiters: [Int: (Condition, CheckedContinuation<Void, Never>)] = [:]
    }

    private let state: Mutex<State>

    /// None of `conditions` is met yet; others are not looked at.
    package init(_ conditions: Set<Condition>) {
        self.state = Mutex(State(isMet: Dictionary(uniqueKeysWithValues: conditions.map { ($0, false) })))
    }

    /// Reports that a condition is met, or no longer met.
    package func set(_ condition: Condition, _ isMet: Bool = true) {
        let woken = self.state.withLock { state in
            guard state.isMet[condition] != nil else { return [CheckedContinuation<Void, Never>]() }
            state.isMet[condition] = isMet
            guard isMet else { return [] }
            let ids = state.waiters.filter { $0.value.0 == condition }.keys
            return ids.compactMap { state.waiters.removeValue(forKey: $0)?.1 }
        }
        for continuation in woken { continuation.resume() }
    }

    /// From now on not ready, since the process is stopping; load balancers look elsewhere.
    package func beginDraining() { self.state.withLock { $0.drainingSince = $0.drainingSince ?? .now } }

    /// Whether the process is stopping.
    package var isDraining: Bool { self.drainingSince != nil }
    /// Since when it is stopping; `nil` when it is not.
    package var drainingSince: ContinuousClock.Instant? { self.state.withLock { $0.drainingSince } }

    /// Stops waiting for what others have to say.
    ///
    /// - Returns: What was missing of it.
    package func forgetRegistries() -> [Condition] {
        let missing = self.state.withLock { state in
            [Condition.registry, .registryFile].filter { state.isMet[$0] == false }
        }
        for condition in missing { self.set(condition) }
        return missing
    }

    /// What is missing, in a fixed order; empty when ready.
    package var missing: [String] {
        self.state.withLock { state in
            let unmet = Condition.allCases.filter { state.isMet[$0] == false }.map(\.rawValue)
            return state.drainingSince != nil ? unmet + ["draining"] : unmet
        }
    }

    /// Returns when the condition is met or this task is cancelled.
    package func wait(for condition: Condition) async {
        let id = self.state.withLock { state in
            state.lastWaiterID += 1
            return state.lastWaiterID
        }
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let isDone = self.state.withLock { state in
                    if Task.isCancelled || state.isMet[condition] != false { return true }
                    state.waiters[id] = (condition, continuation)
                    return false
                }
                if isDone { continuation.resume() }
            }
        } onCancel: {
            self.state.withLock { $0.waiters.removeValue(forKey: id)?.1 }?.resume()
        }
    }
}
