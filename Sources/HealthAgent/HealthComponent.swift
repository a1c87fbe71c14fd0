// SPDX-License-Identifier: Apache-2.0

package import Common
package import Logging
package import NIOCore

/// Watches the local application: one child task for each configured check.
package actor HealthComponent: Component {
    private let checks: [HealthCheckConfig]
    private let health: LocalHealth
    private let loops: any EventLoopGroup
    private let logger: Logger

    /// A component that writes its results to `health`.
    package init(
        _ checks: [HealthCheckConfig], health: LocalHealth, loops: any EventLoopGroup, logger: Logger
    ) {
        self.checks = checks
        self.health = health
        self.loops = loops
        self.logger = logger
    }

    package func run() async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            for (index, check) in self.checks.enumerated() {
                group.addTask { try await self.watch(check, at: index) }
            }
            // Without checks there is nothing to do, which is no reason to end.
            group.addTask { try await Task.sleep(for: .seconds(365 * 24 * 3600)) }
            try await group.next()
            group.cancelAll()
        }
    }

    private func watch(_ check: HealthCheckConfig, at index: Int) async throws {
        let probe: any Probe = TCPProbe(
            port: check.port, timeout: min(check.interval, .seconds(10)), loops: self.loops)
        while !Task.isCancelled {
            let failure = await probe.check()
            let result = LocalHealth.Check(name: "tcp:\(check.port)", isHealthy: failure == nil, failure: failure)
            if self.health.set(result, at: index) {
                self.logger.notice(
                    "health of the local application changed",
                    metadata: ["healthy": "\(self.health.isHealthy)", "reason": "\(failure ?? "")"])
            }
            try await Task.sleep(for: check.interval)
        }
    }
}
