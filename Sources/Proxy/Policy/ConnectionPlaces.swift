// SPDX-License-Identifier: Apache-2.0
// request path

import Synchronization

/// The places of a cluster's connections, which all event loops share.
///
/// A loop that has somebody who waits says so, and is woken when a place is given back; one that has no connection at all
/// is handed the next place, so that others who are faster cannot keep it from any. What is said and what is given back
/// is in one order for all, so that nobody waits beside a place that is free.
package final class ConnectionPlaces: Sendable {
    /// What a loop lacks.
    package enum Need: Sendable {
        case none
        /// Somebody waits there.
        case waiting
        /// The same, and it has no connection that could become free.
        case starving
    }

    private struct Loop {
        let id: Int
        let wake: @Sendable () -> Void
        var need = Need.none
        /// Orders those that starve.
        var since = 0
        /// Places that others have given up for it.
        var granted = 0
    }

    private struct State {
        var loops: [Loop] = []
        var number = 0
    }

    private let taken = Atomic<Int>(0)
    private let waiting = Atomic<Int>(0)
    private let starving = Atomic<Int>(0)
    private let state = Mutex(State())

    /// None is taken.
    package init() {}

    /// How many are taken.
    package var count: Int { self.taken.load(ordering: .relaxed) }
    /// Loops where somebody waits, those that starve among them.
    package var waitingLoops: Int { self.waiting.load(ordering: .relaxed) }
    /// Loops that starve.
    package var starvingLoops: Int { self.starving.load(ordering: .relaxed) }
    /// Whether somebody waits on any loop.
    package var isWanted: Bool { self.waitingLoops > 0 }

    /// Takes part from now on.
    ///
    /// - Parameter wake: Called on any thread; the loop is to look what there is for it, and what it can do without.
    /// - Returns: What the loop is known by.
    package func join(_ wake: @escaping @Sendable () -> Void) -> Int {
        self.state.withLock { state in
            state.number += 1
            state.loops.append(Loop(id: state.number, wake: wake))
            return state.number
        }
    }

    /// Takes part no longer.
    package func leave(_ id: Int) {
        self.tell(id, .none)
        let granted = self.takeGranted(id)
        self.state.withLock { state in state.loops.removeAll { $0.id == id } }
        for _ in 0..<granted { self.giveBack(id) }
    }

    /// Takes a place, unless there are as many as `most`: never refused while one is free.
    package func take(most: Int) -> Bool {
        var found = self.taken.load(ordering: .sequentiallyConsistent)
        while found < most {
            let (isMine, other) = self.taken.weakCompareExchange(
                expected: found, desired: found + 1, ordering: .sequentiallyConsistent)
            if isMine { return true }
            found = other
        }
        return false
    }

    /// Gives a place back: to a loop that has none, or to all.
    ///
    /// - Parameter id: Who gives it back.
    package func giveBack(_ id: Int) {
        if self.starving.load(ordering: .sequentiallyConsistent) > 0, let wake = self.hand(by: id) { return wake() }
        self.taken.subtract(1, ordering: .sequentiallyConsistent)
        if self.waiting.load(ordering: .sequentiallyConsistent) > 0 { self.wake(besides: id) { $0.need != .none } }
    }

    /// Keeps the place for the loop that has starved longest.
    private func hand(by id: Int) -> (@Sendable () -> Void)? {
        self.state.withLock { state in
            let starving = state.loops.indices.filter { state.loops[$0].id != id && state.loops[$0].need == .starving }
            guard let index = starving.min(by: { state.loops[$0].since < state.loops[$1].since }) else { return nil }
            state.loops[index].granted += 1
            // It has one now.
            state.loops[index].need = .waiting
            self.starving.subtract(1, ordering: .sequentiallyConsistent)
            return state.loops[index].wake
        }
    }

    /// The places that were kept for a loop, which are its own from now on.
    package func takeGranted(_ id: Int) -> Int {
        self.state.withLock { state in
            guard let index = state.loops.firstIndex(where: { $0.id == id }) else { return 0 }
            defer { state.loops[index].granted = 0 }
            return state.loops[index].granted
        }
    }

    /// Says what a loop lacks; one that lacks more than before wakes the others, which may have what they do not use.
    ///
    /// A place that was given back just before is not told of: the loop tries once more.
    package func tell(_ id: Int, _ need: Need) {
        self.state.withLock { state in
            guard let index = state.loops.firstIndex(where: { $0.id == id }) else { return }
            let old = state.loops[index].need
            state.number += 1
            state.loops[index].need = need
            if old != .starving { state.loops[index].since = state.number }
            self.waiting.add((need == .none ? 0 : 1) - (old == .none ? 0 : 1), ordering: .sequentiallyConsistent)
            self.starving.add(
                (need == .starving ? 1 : 0) - (old == .starving ? 1 : 0), ordering: .sequentiallyConsistent)
        }
        if need != .none { self.wake(besides: id) { _ in true } }
    }

    private func wake(besides id: Int, where isMeant: (Loop) -> Bool) {
        let wakes = self.state.withLock { state in
            state.loops.filter { $0.id != id && isMeant($0) }.map(\.wake)
        }
        for wake in wakes { wake() }
    }
}
