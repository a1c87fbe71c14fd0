// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// How things stand with the configuration server: a slot that the registry bridge writes and others read.
package final class ConfigServerStatus: Sendable {
    /// One moment.
    package struct Value: Sendable, Equatable {
        /// Whether it answered when it was asked last.
        package var isReachable = false
        /// Why it did not.
        package var failure: String?
        /// How many settings it has for this sidecar.
        package var settings = 0

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
