// SPDX-License-Identifier: Apache-2.0

package import Common
import Hummingbird
package import Logging
package import NIOCore

/// Serves operators, on an event loop of its own: what they ask never delays traffic, and traffic never delays them.
package actor AdminComponent: Component {
    private let address: ListenAddress
    private let state: AdminState
    private let loops: any EventLoopGroup
    private let logger: Logger

    /// A component that listens on `address`, on `loops` that serve no traffic.
    package init(address: ListenAddress, state: AdminState, loops: any EventLoopGroup, logger: Logger) {
        self.address = address
        self.state = state
        self.loops = loops
        self.logger = logger
    }

    package func run() async throws {
        var quiet = self.logger
        quiet.logLevel = .critical  // the server's ways of starting and stopping are not news
        let application = Application(
            router: AdminRoutes(state: self.state).makeRouter(),
            configuration: ApplicationConfiguration(
                address: .hostname(self.address.host, port: self.address.port), serverName: nil),
            eventLoopGroupProvider: .shared(self.loops), logger: quiet)
        self.logger.info("admin API serves", metadata: ["address": "\(self.address)"])
        try await application.run()
    }
}
