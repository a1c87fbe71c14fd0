// SPDX-License-Identifier: Apache-2.0

import Common
import Foundation
import Hummingbird
package import Logging
package import NIOCore

/// A service to call in a first try: it greets whoever is named in the path, and tells what it was sent.
package actor DemoService: Component {
    private let name: String
    private let port: Int
    private let loops: any EventLoopGroup
    private let logger: Logger
    private let onServing: @Sendable () async -> Void

    /// A service on 127.0.0.1.
    ///
    /// - Parameter name: What it calls itself in its answers.
    /// - Parameter onServing: Called when it accepts requests.
    package init(
        name: String, port: Int, loops: any EventLoopGroup, logger: Logger,
        onServing: @escaping @Sendable () async -> Void = {}
    ) {
        self.name = name
        self.port = port
        self.loops = loops
        self.logger = logger
        self.onServing = onServing
    }

    package func run() async throws {
        let router = Router()
        let name = self.name
        router.get("/sayhello/{who}") { request, context in
            let who = try context.parameters.require("who")
            return "Hello \(who.removingPercentEncoding ?? who), this is \(name).\n"
        }
        router.get("/health") { _, _ in "ok\n" }
        router.get("/headers") { request, _ in
            request.headers.map { "\($0.name): \($0.value)\n" }.joined()
        }
        var quiet = self.logger
        quiet.logLevel = .critical  // its ways of starting and stopping are not news
        let application = Application(
            router: router,
            configuration: ApplicationConfiguration(address: .hostname("127.0.0.1", port: self.port), serverName: nil),
            onServerRunning: { _ in await self.onServing() }, eventLoopGroupProvider: .shared(self.loops), logger: quiet
        )
        try await application.run()
    }
}
