// SPDX-License-Identifier: Apache-2.0

package import Common
import Hummingbird
import HummingbirdCore
import Logging
package import NIOCore
import Serving

/// The page of `mesher dev`: all sidecars of the process at one address.
package actor DevComponent: Component {
    /// A service with its sidecar.
    package struct Service: Sendable {
        fileprivate let name: String
        fileprivate let application: String?
        fileprivate let proxy: String
        fileprivate let admin: String
        fileprivate let setup: [(language: String, text: String)]
        fileprivate let script: String
        fileprivate let traffic: (@Sendable () -> TrafficDocument)?

        /// - Parameter application: Where the process listens; `nil` where it does not.
        /// - Parameter proxy: `ip:port` for outgoing requests.
        /// - Parameter admin: `ip:port` of its sidecar's admin API.
        /// - Parameter setup: What the process is started with, by language.
        /// - Parameter script: All of that, for a shell.
        /// - Parameter traffic: Tells what its traffic is like right now.
        package init(
            name: String, application: String?, proxy: String, admin: String, setup: [(language: String, text: String)],
            script: String, traffic: (@Sendable () -> TrafficDocument)?
        ) {
            self.name = name
            self.application = application
            self.proxy = proxy
            self.admin = admin
            self.setup = setup
            self.script = script
            self.traffic = traffic
        }
    }

    /// How long what is being answered may go on when the process stops.
    package static let drainLimit = Duration.seconds(1)

    private let address: ListenAddress
    private let file: String
    private let services: [Service]
    private let hosts: [String]
    private let loops: any EventLoopGroup
    private let server = OrderlyServer()

    /// - Parameter file: The path of the file that describes the services.
    /// - Parameter hosts: Names under which it may be asked for, beside addresses and `localhost`.
    package init(
        address: ListenAddress, file: String, services: [Service], hosts: [String], loops: any EventLoopGroup
    ) {
        self.address = address
        self.file = file
        self.services = services
        self.hosts = hosts
        self.loops = loops
    }

    package func run() async throws {
        let (address, loops) = (self.address, self.loops)
        let table = EndpointTable(
            endpoints: self.endpoints, hosts: HostNames(self.hosts, key: "mesher.admin.hosts"),
            index: "/v1/dev/services")
        try await self.server.run { quiet in
            let application = Application(
                responder: table, server: .limited(ServerLimits(places: 64)),
                configuration: ApplicationConfiguration(
                    address: .hostname(address.host, port: address.port), serverName: nil),
                eventLoopGroupProvider: .shared(loops), logger: quiet)
            try await application.run()
        }
    }

    package func drain() async { await self.server.drain() }

    private var endpoints: [ServedEndpoint] {
        let (file, services) = (self.file, self.services)
        return [
            ServedEndpoint(.get, "/", "The page.", content: "text/html") { _ in
                var page = ServedAnswer.bytes(PackageResources.dev_html, type: "text/html; charset=utf-8")
                page.headers[.contentSecurityPolicy] = "frame-ancestors 'none'"
                return page
            },
            ServedEndpoint(.get, "/v1/dev/services", "All services, and what their traffic is like.") { _ in
                try ServedAnswer.json(Document(file: file, services: services.map { Document.Entry($0) }))
            },
            ServedEndpoint(
                .get, "/env/{service}", "What a service has to be started with, for a shell.", content: "text/plain"
            ) { call in
                let name = call.parameters["service"] ?? ""
                guard let service = services.first(where: { $0.name == name }) else {
                    throw Refusal(
                        .notFound, "no service \(name); write one of \(services.map(\.name).joined(separator: ", "))")
                }
                return ServedAnswer.text(service.script)
            },
        ]
    }

    /// What the page shows.
    private struct Document: Encodable {
        struct Entry: Encodable {
            let name: String
            let application: String?
            let proxy: String
            let admin: String
            let setup: [[String: String]]
            let traffic: TrafficDocument?

            init(_ service: Service) {
                self.name = service.name
                self.application = service.application
                self.proxy = service.proxy
                self.admin = service.admin
                self.setup = service.setup.map { ["language": $0.language, "text": $0.text] }
                self.traffic = service.traffic?()
            }
        }

        let file: String
        let services: [Entry]
    }
}
