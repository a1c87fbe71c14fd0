// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// How things stand with the registry: a slot that the registry bridge writes and others read.
package final class RegistryStatus: Sendable {
    /// One moment.
    package struct Value: Sendable, Equatable {
        /// Whether it answered when it was asked last.
        package var isReachable = false
        /// Why it did not.
        package var failure: String?
        /// Whether it pushes changes now.
        package var isWatching = false
        /// Services that traffic uses.
        package var services = 0
        /// Those of them that the registry has not confirmed lately: read from disk, or it is away.
        package var staleServices = 0
        /// Instances that have vanished from its answers, too many at once to be believed yet.
        package var heldInstances = 0

        /// Nothing was asked yet.
        package init() {}
    }

    private let value = Mutex(Value())

    /// Nothing was asked yet.
    package init() {}

    /// How things stand now.
    package var current: Value { self.value.withLock { $0 } }

    /// Changes what others read.
    package func update(_ body: (inout Value) -> Void) { self.value.withLock { body(&$0) } }
}
