// SPDX-License-Identifier: Apache-2.0

import Common
import Logging

/// Asks the API server every hour which version it is, so that sidecars are native ones where all nodes can do that.
///
/// - Source: nodes may be three minor versions behind.
package actor VersionComponent: Component {
    private static let interval = Duration.seconds(3600)

    private let client: ClusterClient
    private let state: InjectorState
    private var told = ClusterTrouble()

    /// A component that asks for nothing yet.
    package init(client: ClusterClient, state: InjectorState) {
        self.client = client
        self.state = state
    }

    package func run() async throws {
        var server = Reconnect()
        while !Task.isCancelled {
            var pause = Self.interval
            do throws(ClusterFailure) {
                let version = try await self.client.version()
                server.answered(at: .now)
                self.told.forget()
                if self.state.take(version) {
                    self.state.logger.notice("version of the API server", metadata: ["version": "\(version)"])
                }
            } catch {
                if Task.isCancelled { return }
                pause = server.failed(at: .now, retryAfter: error.retryAfter)
                self.told.tell(error, "the version of the API server is not known", self.state.logger)
            }
            try await Task.sleep(for: pause)
        }
    }
}
