// SPDX-License-Identifier: Apache-2.0

package import Common
import Hummingbird
import HummingbirdCore
package import Logging
package import NIOCore

/// A service-center for one machine: the part of API v4 that clients use, in memory.
///
/// For development and tests. What is registered ends with the process, and nobody needs to log in.
package actor LocalRegistryComponent: Component {
    private let address: ListenAddress
    private let version: String
    private let loops: any EventLoopGroup
    private let logger: Logger
    private let onServing: @Sendable (_ port: Int) async -> Void

    /// A registry on `address`.
    ///
    /// - Parameter version: What it calls its own version.
    /// - Parameter onServing: Called with the port when it accepts requests.
    package init(
        address: ListenAddress, version: String, loops: any EventLoopGroup, logger: Logger,
        onServing: @escaping @Sendable (_ port: Int) async -> Void = { _ in }
    ) {
        self.address = address
        self.version = version
        self.loops = loops
        self.logger = logger
        self.onServing = onServing
    }

    package func run() async throws {
        let store = RegistryStore()
        let routes = RegistryRoutes(store: store, address: self.address.description, version: self.version)
        var quiet = self.logger
        quiet.logLevel = .critical  // its ways of starting and stopping are not news
        let onServing = self.onServing
        let application = Application(
            router: routes.makeRouter(), server: HTTPServerBuilder { WatchChannel(responder: $0, store: store) },
            configuration: ApplicationConfiguration(
                address: .hostname(self.address.host, port: self.address.port), serverName: nil),
            onServerRunning: { await onServing($0.localAddress?.port ?? 0) },
            eventLoopGroupProvider: .shared(self.loops), logger: quiet)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await application.run() }
            group.addTask { try await store.expire() }
            try await group.next()
            group.cancelAll()
        }
    }
}
