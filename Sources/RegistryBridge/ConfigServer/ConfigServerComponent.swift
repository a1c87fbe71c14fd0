// SPDX-License-Identifier: Apache-2.0

package import Common
package import Logging
package import NIOCore
import NIOHTTP1
package import TLS

/// Follows the settings that a configuration server has for this sidecar, and passes them on when they change.
///
/// That the server is away is state, not failure: the last settings stand.
package actor ConfigServerComponent: Component {
    private let config: ConfigServerConfig
    private let scope: ConfigServerScope
    private let login: ServiceCenterClient?
    private let tls: ControlTLS?
    private let pace: Reconnect.Pace
    private let inbox: Mailbox<ConfigMessage>
    private let status: ConfigServerStatus
    private let loops: any EventLoopGroup
    private let logger: Logger
    private var sent: [String: String]?

    /// A component that tells `inbox`.
    ///
    /// - Parameter login: The registry whose accounts the server may know too.
    /// - Parameter tls: How to speak TLS to it; `nil` when its addresses are `http`.
    /// - Parameter pace: How fast it is tried again.
    package init(
        _ config: ConfigServerConfig, scope: ConfigServerScope, login: ServiceCenterClient?,
        tls: ControlTLS?, inbox: Mailbox<ConfigMessage>, status: ConfigServerStatus, pace: Reconnect.Pace = .usual,
        loops: any EventLoopGroup, logger: Logger
    ) {
        self.config = config
        self.scope = scope
        self.login = login
        self.tls = tls
        self.pace = pace
        self.inbox = inbox
        self.status = status
        self.loops = loops
        self.logger = logger
    }

    package func run() async throws {
        let headers = self.config.kind == .kie ? [:] : ConfigCenterSource.headers(self.config, self.scope)
        let client = ConfigServerClient(
            self.config.addresses, headers: headers, login: self.login, tls: self.tls, pace: self.pace,
            loops: self.loops)
        let server: any ConfigServer
        switch self.config.kind {
        case .kie: server = KieSource(self.config, scope: self.scope, client: client)
        case .configCenter:
            server = ConfigCenterSource(
                self.config, scope: self.scope, client: client, loops: self.loops, logger: self.logger)
        }
        await server.follow { await self.take($0) }
        await client.close()
    }

    private func take(_ report: ConfigServerReport) async {
        switch report {
        case .failed(let failure):
            if self.status.current.failure == nil {
                self.logger.warning(
                    "the configuration server cannot be asked, the last settings stand",
                    metadata: ["error": "\(failure)"])
            }
            self.status.update {
                $0.isReachable = false
                $0.failure = failure
            }
        case .settings(let settings, let server):
            if self.status.current.failure != nil { self.logger.notice("the configuration server can be asked again") }
            self.status.update {
                $0.isReachable = true
                $0.failure = nil
                $0.settings = settings.count
            }
            guard settings != self.sent else { return }
            self.sent = settings
            let message = ConfigMessage.remoteChanged(ConfigSource(remote: settings, from: server))
            // A message that is in stays in, since a full mailbox drops the newest.
            while !self.inbox.send(message), !Task.isCancelled { try? await Task.sleep(for: .milliseconds(50)) }
        }
    }
}
