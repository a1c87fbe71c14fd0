// SPDX-License-Identifier: Apache-2.0

import AsyncHTTPClient
package import Common
package import Logging
package import NIOCore
import Serving

/// Watches the local application: one child task for each configured check.
package actor HealthComponent: Component {
    private let checks: [HealthCheckConfig]
    private let health: LocalHealth
    private let registrar: Mailbox<RegistrarMessage>?
    private let loops: any EventLoopGroup
    private let logger: Logger

    /// A component that writes its results to `health`.
    ///
    /// - Parameter registrar: Told of every change.
    package init(
        _ checks: [HealthCheckConfig], health: LocalHealth, registrar: Mailbox<RegistrarMessage>? = nil,
        loops: any EventLoopGroup, logger: Logger
    ) {
        self.checks = checks
        self.health = health
        self.registrar = registrar
        self.loops = loops
        self.logger = logger
    }

    package func run() async throws {
        var configuration = HTTPClient.Configuration(redirectConfiguration: .disallow)
        configuration.httpVersion = .http1Only
        // No longer than a probe waits. The library tries again until then, which an application that is just starting needs.
        let longest = self.checks.map { Self.timeout(of: $0) }.max() ?? .seconds(10)
        configuration.timeout.connect = TimeAmount(longest)
        let client = HTTPClient(eventLoopGroupProvider: .shared(self.loops), configuration: configuration)
        let result: Result<Void, any Error>
        do {
            try await self.watchAll(client)
            result = .success(())
        } catch {
            result = .failure(error)
        }
        await client.close()
        try result.get()
    }

    private func watchAll(_ client: HTTPClient) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            for (index, check) in self.checks.enumerated() {
                group.addTask { try await self.watch(check, at: index, client) }
            }
            // Without checks there is nothing to do, which is no reason to end.
            group.addTask { try await Task.sleep(for: .seconds(365 * 24 * 3600)) }
            try await group.next()
            group.cancelAll()
        }
    }

    private func watch(_ check: HealthCheckConfig, at index: Int, _ client: HTTPClient) async throws {
        let probe = self.probe(check, client)
        var state = ProbeState(failureThreshold: check.failureThreshold, successThreshold: check.successThreshold)
        while !Task.isCancelled {
            let failure = await probe.check()
            // A check that was cut off says nothing of the application.
            try Task.checkCancellation()
            state.record(isGood: failure == nil)
            let result = LocalHealth.Check(
                name: check.name, isHealthy: state.isHealthy, failure: state.isHealthy ? nil : failure)
            if self.health.set(result, at: index) {
                self.registrar?.send(.localHealthChanged)
                self.logger.notice(
                    "health of the local application changed",
                    metadata: ["healthy": "\(self.health.isHealthy)", "reason": "\(failure ?? "")"])
            }
            try await Task.sleep(for: check.interval)
        }
    }

    /// How long a check may take.
    private static func timeout(of check: HealthCheckConfig) -> Duration { min(check.interval, .seconds(10)) }

    /// The table of probes: a method of checking, and what does it.
    private func probe(_ check: HealthCheckConfig, _ client: HTTPClient) -> any Probe {
        let timeout = Self.timeout(of: check)
        return switch check.method {
        case .tcp: TCPProbe(port: check.port, timeout: timeout, loops: self.loops)
        case .rest(let path, let expectation):
            RESTProbe(port: check.port, path: path, expectation: expectation, timeout: timeout, client: client)
        case .grpc(let service):
            GRPCProbe(port: check.port, service: service, timeout: timeout, loops: self.loops)
        }
    }
}
