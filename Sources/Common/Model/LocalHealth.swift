// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// The health of the local application, as its checks see it: a slot that the health agent writes and others read.
package final class LocalHealth: Sendable {
    /// How one check stands.
    package struct Check: Sendable, Equatable {
        /// `protocol:port`.
        package let name: String
        /// Whether it succeeded last time.
        package let isHealthy: Bool
        /// Why it did not.
        package let failure: String?

        /// A result.
        package init(name: String, isHealthy: Bool, failure: String? = nil) {
            self.name = name
            self.isHealthy = isHealthy
            self.failure = failure
        }
    }

    private let checks = Mutex<[Int: Check]>([:])

    /// No check has run.
    package init() {}

    /// Stores the result of the check at `index` of the configuration.
    ///
    /// - Returns: Whether all checks together changed from healthy to unhealthy or back.
    package func set(_ check: Check, at index: Int) -> Bool {
        self.checks.withLock { checks in
            let before = checks.values.allSatisfy(\.isHealthy)
            checks[index] = check
            return before != checks.values.allSatisfy(\.isHealthy)
        }
    }

    /// Whether all checks that have run succeeded last time.
    package var isHealthy: Bool { self.checks.withLock { $0.values.allSatisfy(\.isHealthy) } }

    /// All results, in the order of the configuration.
    package var all: [Check] { self.checks.withLock { $0.sorted { $0.key < $1.key }.map(\.value) } }
}
