// SPDX-License-Identifier: Apache-2.0

package import Common
package import Logging
import NIOCore
import NIOEmbedded
package import Proxy

/// What a chain of stages makes of a request, without a socket.
package struct TestExchange {
    /// What became of a request.
    package struct Result {
        /// The service that was found.
        package var service: String?
        /// The port of the endpoint that was chosen.
        package var port: Int?
        /// The error that it was answered with.
        package var error: ProxyError?
        /// The fields as they would be forwarded, names in lower case.
        package var fields: [String: String] = [:]
    }

    private let worker: Worker
    private let loop: EmbeddedEventLoop
    private let snapshot: Snapshot<Mesh>
    private let rules: MeshRules

    /// Exchanges that see these services.
    ///
    /// - Parameter rules: What is ruled about their calls.
    /// - Parameter ask: Takes what a registry would be asked.
    /// - Parameter logger: Takes what is said; nobody when there is none.
    package init(
        _ directory: ServiceDirectory, _ rules: MeshRules = .plain, ask: (@Sendable (RegistryMessage) -> Bool)? = nil,
        logger: Logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
    ) {
        self.loop = EmbeddedEventLoop()
        self.rules = rules
        self.snapshot = Snapshot(Mesh(directory, rules), on: self.loop)
        self.worker = Worker(
            eventLoop: self.loop, loopCount: 1, mesh: self.snapshot,
            metrics: MetricsRegistry(startTime: 0, own: MetricLabels()),
            logger: logger, overload: Overload(), ask: ask)
    }

    /// Lets exchanges see other services from now on.
    package func publish(_ directory: ServiceDirectory) {
        self.snapshot.publish(Mesh(directory, self.rules))
        self.loop.run()
    }

    /// Lets time pass, and what was put off until then happen.
    package func pass(_ amount: Duration) { self.loop.advanceTime(by: TimeAmount(amount)) }

    /// A directory of services by name, each with the endpoints of its one instance.
    package static func directory(_ services: [String: [String]]) throws -> ServiceDirectory {
        var builder = ServiceDirectoryBuilder(upon: .empty, ownApp: "default")
        for (name, endpoints) in services.sorted(by: { $0.key < $1.key }) {
            var instances: [Instance] = []
            if !endpoints.isEmpty {
                let made = try endpoints.map { text in try builder.endpoint(text) }
                instances.append(
                    Instance(
                        id: name, version: "1.2", app: "default", status: .up, properties: [:], endpoints: made))
            }
            builder.add(name, instances)
        }
        return builder.build()
    }

    /// A directory of services by name, each with an instance at each of the endpoints.
    package static func directory(instances: [String: [String]]) throws -> ServiceDirectory {
        var builder = ServiceDirectoryBuilder(upon: .empty, ownApp: "default")
        for (name, endpoints) in instances.sorted(by: { $0.key < $1.key }) {
            let made = try endpoints.map { text in
                Instance(
                    id: text, version: "1.2", app: "default", status: .up, properties: [:],
                    endpoints: [try builder.endpoint(text)])
            }
            builder.add(name, made)
        }
        return builder.build()
    }

    /// An exchange that holds the head of a request.
    ///
    /// - Parameter head: Lines without their ends, first the request line.
    package func make(_ head: [String], peer: String? = nil) throws -> Exchange {
        var exchange = Exchange(worker: self.worker)
        var scanner = HeadScanner()
        let bytes = Array((head + ["", ""]).joined(separator: "\r\n").utf8)
        let result = scanner.scanRequest(
            bytes.rawSpan, limits: HeadLimits(), into: &exchange.request, &exchange.requestHeaders)
        guard result == .complete(length: bytes.count) else { throw Malformed(head: head) }
        exchange.peer = try peer.map { try SocketAddress(ipAddress: $0, port: 40000) }
        return exchange
    }

    /// Runs stages on a request.
    package func run(_ stages: [any Stage], _ head: [String]) throws -> Result {
        var exchange = try self.make(head)
        var result = Result()
        switch StageChain(stages).advance(&exchange) {
        case .forward: break
        case .fail(let error): result.error = error
        case .reply, .wait: throw Malformed(head: head)
        }
        result.service = exchange.service?.name
        result.port = exchange.endpoint?.port
        for (name, value) in exchange.requestHeaders.lines { result.fields[name.lowercased()] = value }
        return result
    }

    private struct Malformed: Error {
        let head: [String]
    }
}
