// SPDX-License-Identifier: Apache-2.0

import Common
import HTTPTypes
import Hummingbird
import Logging
import NIOCore
import NIOEmbedded
import Synchronization

@testable import AdminAPI

/// An answer of the admin API, its body read to the end.
struct Answer {
    let status: Int
    let headers: HTTPFields
    let body: [UInt8]

    var text: String { String(decoding: self.body, as: UTF8.self) }
    var type: String? { self.headers[.contentType] }
}

extension AdminTable {
    /// Asks without a socket.
    func ask(
        _ method: HTTPRequest.Method, _ path: String, host: String? = "localhost:30102", _ headers: HTTPFields = [:],
        body: String = ""
    ) async throws -> Answer {
        let head = HTTPRequest(method: method, scheme: "http", authority: host, path: path, headerFields: headers)
        let request = Request(head: head, body: .init(buffer: ByteBuffer(string: body)))
        let context = BasicRequestContext(
            source: .init(channel: EmbeddedChannel(), logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }))
        let response = try await self.respond(to: request, context: context)
        let written = Mutex<[UInt8]>([])
        let sink = Sink { bytes in written.withLock { $0 += bytes } }
        try await response.body.write(sink)
        return Answer(status: response.status.code, headers: response.headers, body: written.withLock { $0 })
    }

    private struct Sink: ResponseBodyWriter {
        let take: @Sendable ([UInt8]) -> Void

        mutating func write(_ buffer: ByteBuffer) async throws { self.take(Array(buffer.readableBytesView)) }
        consuming func finish(_ trailingHeaders: HTTPFields?) async throws {}
    }
}

/// What a sidecar has that nobody has sent a request to.
struct AdminSupport {
    let state: AdminState
    let metrics = MetricsRegistry(startTime: 0, own: .service("web", app: "shop", version: "1.0"))
    let readiness = Readiness([.registry])

    /// - Parameter yaml: What is configured, beside the service's name.
    init(
        _ yaml: String = "", configState: ConfigState? = nil, directory: ServiceDirectory = .empty,
        registrationFailure: String? = nil, inspections: [ServiceInspection] = []
    ) throws {
        var source = ConfigSource(.files)
        source.add(try ConfigTree(yaml: yaml, source: "f"))
        source.add("service_description.name", .text("web", ConfigLocation("f")))
        source.add("service_description.hostname", .text("machine", ConfigLocation("f")))
        var reader = ConfigReader(ConfigStore([source]))
        let config = MesherConfig(&reader)
        let level = Level()
        self.state = AdminState(
            config, build: BuildInfo(executableDirectory: "/nonexistent"), readiness: self.readiness,
            health: LocalHealth(), registry: nil, configServer: ConfigServerStatus(), configState: configState,
            metrics: self.metrics, overload: Overload(),
            monitor: TrafficMonitor(metrics: self.metrics, inspect: { inspections }),
            telemetry: Telemetry(config, logs: config.logs, metrics: self.metrics),
            logLevel: .init(get: { level.get() }, set: { level.set($0) }),
            views: .init(
                directory: { directory }, routes: { config.rules.routes }, loops: { [] }, resident: { 1 << 20 },
                mailboxes: { [] }, registrationFailure: { registrationFailure },
                explain: { _ in throw MesherError.interrupted(component: "test") }),
            listeners: [], startTime: 0)
    }

    private final class Level: Sendable {
        private let level = Mutex(Logger.Level.info)

        func get() -> Logger.Level { self.level.withLock { $0 } }
        func set(_ level: Logger.Level) { self.level.withLock { $0 = level } }
    }

    /// What answers.
    var table: AdminTable { AdminRoutes(state: self.state).table }
}
