// SPDX-License-Identifier: Apache-2.0

package import Common
import Logging
import NIOCore
import NIOEmbedded
@testable package import Proxy

/// One request at the beginning of its chain, without sockets.
package enum TestExchange {
    /// Calls `body` with the exchange of a request whose head is `lines`.
    ///
    /// - Parameter lines: The request line and the fields, without line ends.
    package static func with<Result>(
        _ lines: [String], directory: ServiceDirectory = .empty, peer: String? = nil,
        _ body: (inout Exchange) throws -> Result
    ) throws -> Result {
        let loop = EmbeddedEventLoop()
        let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        let worker = Worker(
            eventLoop: loop, loopCount: 1, directory: Snapshot(directory, on: loop),
            metrics: MetricsRegistry(startTime: 0, own: MetricLabels()), logger: logger)
        var exchange = Exchange(worker: worker)
        exchange.peer = try peer.map { try SocketAddress(ipAddress: $0, port: 40_000) }
        let head = Array((lines + ["", ""]).joined(separator: "\r\n").utf8)
        var scanner = HeadScanner()
        let result = exchange.scanRequest(head.rawSpan, &scanner, limits: HeadLimits())
        guard case .complete = result else { preconditionFailure("not a complete head: \(lines)") }
        return try body(&exchange)
    }

    /// A directory of services, each with its instances: `rest://10.0.0.1:80`, version 1.0.0, application shop, up.
    package static func directory(_ services: [String: [String]]) throws -> ServiceDirectory {
        var builder = ServiceDirectoryBuilder(upon: .empty, ownApp: "shop")
        for (name, endpoints) in services.sorted(by: { $0.key < $1.key }) {
            builder.add(
                name,
                try endpoints.map { text in
                    Instance(
                        id: text, version: "1.0.0", app: "shop", status: .up, properties: [:],
                        endpoints: [try builder.endpoint(text)])
                })
        }
        return builder.build()
    }
}
