// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// Holds answers back until it is opened.
package final class Gate: Sendable {
    private let state = Mutex<(isOpen: Bool, waiting: [CheckedContinuation<Void, Never>], arrived: Int)>(
        (false, [], 0))

    /// A closed one.
    package init() {}

    /// How many have come.
    package var arrived: Int { self.state.withLock { $0.arrived } }
    /// Returns once it is open.
    package func pass() async {
        await withCheckedContinuation { continuation in
            let isOpen = self.state.withLock { state in
                state.arrived += 1
                if !state.isOpen { state.waiting.append(continuation) }
                return state.isOpen
            }
            if isOpen { continuation.resume() }
        }
    }
    /// Lets all through, now and later.
    package func open() {
        let waiting = self.state.withLock { state in
            state.isOpen = true
            return state.waiting
        }
        for continuation in waiting { continuation.resume() }
    }
}
