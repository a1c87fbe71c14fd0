// SPDX-License-Identifier: Apache-2.0

import Common
import FoundationEssentials
import Hummingbird
package import NIOCore
import Serving

/// A service to call in a first try: it greets whoever is named in the path, and tells what it was sent.
package actor DemoService: Component {
    private let name: String
    private let port: Int
    private let loops: any EventLoopGroup
    private let onServing: @Sendable () async -> Void
    private let server = OrderlyServer()

    /// A service on 127.0.0.1.
    ///
    /// - Parameter name: What it calls itself in its answers.
    /// - Parameter onServing: Called when it accepts requests.
    package init(
        name: String, port: Int, loops: any EventLoopGroup,
        onServing: @escaping @Sendable () async -> Void = {}
    ) {
        self.name = name
        self.port = port
        self.loops = loops
        self.onServing = onServing
    }

    package func run() async throws {
        let router = Router()
        let name = self.name
        router.get("/sayhello/{who}") { request, context in
            let who = try context.parameters.require("who")
            return "Hello \(who.percentDecoded ?? who), this is \(name).\n"
        }
        router.get("/health") { _, _ in "ok\n" }
        router.get("/headers") { request, _ in
            request.headers.map { "\($0.name): \($0.value)\n" }.joined()
        }
        let (port, loops, onServing) = (self.port, self.loops, self.onServing)
        let responder = router.buildResponder()
        try await self.server.run { quiet in
            let application = Application(
                responder: responder, server: .limited(ServerLimits(places: 256)),
                configuration: ApplicationConfiguration(address: .hostname("127.0.0.1", port: port), serverName: nil),
                onServerRunning: { _ in await onServing() }, eventLoopGroupProvider: .shared(loops), logger: quiet)
            try await application.run()
        }
    }

    package func drain() async { await self.server.drain() }
}
