// SPDX-License-Identifier: Apache-2.0

package import Common
package import Logging
import Synchronization

/// What the parts of an injector share.
package final class InjectorState: Sendable {
    /// What is counted.
    package let metrics: InjectorMetrics
    /// Whether reviews are served.
    package let readiness: Readiness
    /// Where it says what it does.
    package let logger: Logger
    private let current: Mutex<InjectionPolicy>

    /// An injector that decides by `policy`.
    ///
    /// - Parameter waitsFor: What it needs besides, to be ready.
    package init(
        _ policy: InjectionPolicy, metrics: InjectorMetrics, logger: Logger,
        waitsFor conditions: Set<Readiness.Condition> = []
    ) {
        self.readiness = Readiness(conditions.union([.listeners]))
        self.current = Mutex(policy)
        self.metrics = metrics
        self.logger = logger
    }

    /// What decides; a request asks once.
    package var policy: InjectionPolicy { self.current.withLock { $0 } }

    /// Has another template hold from the next request on.
    func take(_ template: SidecarTemplate) {
        self.current.withLock { $0 = $0.with(template) }
    }

    /// Has another version of the API server hold from the next request on.
    ///
    /// - Returns: Whether it is another one.
    func take(_ version: Version) -> Bool {
        self.current.withLock { policy in
            if policy.cluster.version == version { return false }
            policy = policy.with(version)
            return true
        }
    }
}
