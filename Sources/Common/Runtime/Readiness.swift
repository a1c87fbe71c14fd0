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
        var isStopping = false
        var lastWaiterID = 0
        /// Who waits for a condition, or, without one, for the drain.
        var waiters: [Int: (Condition?, CheckedContinuation<Void, Never>)] = [:]

        /// Those who wait for this, who wait no longer.
        mutating func woken(by condition: Condition?) -> [CheckedContinuation<Void, Never>] {
            let ids = self.waiters.filter { $0.value.0 == condition }.keys
            return ids.compactMap { self.waiters.removeValue(forKey: $0)?.1 }
        }
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
            return isMet ? state.woken(by: condition) : []
        }
        for continuation in woken { continuation.resume() }
    }

    /// From now on not ready, since the sidecar is leaving; load balancers look elsewhere.
    ///
    /// - Returns: Whether it was not leaving before.
    @discardableResult
    package func beginDraining() -> Bool {
        let woken: [CheckedContinuation<Void, Never>]? = self.state.withLock { state in
            guard state.drainingSince == nil else { return nil }
            state.drainingSince = .now
            return state.woken(by: nil)
        }
        for continuation in woken ?? [] { continuation.resume() }
        return woken != nil
    }

    /// The process is stopping, which is a drain as well.
    package func beginStopping() {
        self.state.withLock { $0.isStopping = true }
        self.beginDraining()
    }

    /// Whether the sidecar is leaving: it was taken out of service, or the process is stopping.
    package var isDraining: Bool { self.drainingSince != nil }
    /// Whether the process is stopping.
    package var isStopping: Bool { self.state.withLock { $0.isStopping } }
    /// Since when it is leaving; `nil` when it is not.
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
    package func wait(for condition: Condition) async { await self.wait(condition) { $0.isMet[condition] != false } }

    /// Returns when the sidecar is leaving or this task is cancelled.
    package func waitForDraining() async { await self.wait(nil) { $0.drainingSince != nil } }

    private func wait(_ condition: Condition?, until isDone: (State) -> Bool) async {
        let id = self.state.withLock { state in
            state.lastWaiterID += 1
            return state.lastWaiterID
        }
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let isOver = self.state.withLock { state in
                    if Task.isCancelled || isDone(state) { return true }
                    state.waiters[id] = (condition, continuation)
                    return false
                }
                if isOver { continuation.resume() }
            }
        } onCancel: {
            self.state.withLock { $0.waiters.removeValue(forKey: id)?.1 }?.resume()
        }
    }
}
