// SPDX-License-Identifier: Apache-2.0

import Common
import Foundation
import HTTPTypes
import Hummingbird

/// The table of the admin API's endpoints.
///
/// - Source: the original's admin API: `/v1/mesher/version`, `/v1/mesher/health`, `/v1/mesher/metrics`; and the probes of
///   Kubernetes.
struct AdminRoutes: Sendable {
    let state: AdminState

    func makeRouter() -> Router<BasicRequestContext> {
        let router = Router(options: .autoGenerateHeadEndpoints)
        router.get("/healthz") { _, _ in Self.text("ok\n") }
        router.get("/readyz") { _, _ in self.readyz() }
        router.get("/v1/mesher/version") { _, _ in try Self.json(VersionBody(self.state.build)) }
        router.get("/v1/mesher/health") { _, _ in try Self.json(HealthBody(self.state)) }
        router.get("/v1/mesher/metrics") { _, _ in
            Self.text(PrometheusText.render(self.state.metrics.families()), type: PrometheusText.contentType)
        }
        router.post("/v1/mesher/explain") { request, _ in await self.explain(request) }
        return router
    }

    private func explain(_ request: Request) async -> Response {
        do {
            let body = try await request.body.collect(upTo: 256 * 1024)
            let question = try JSONDecoder().decode(ExplainQuestion.self, from: Data(body.readableBytesView))
            return try Self.json(try self.state.explain(question))
        } catch {
            return Self.text("no request to explain: \(error)\n", status: .badRequest)
        }
    }

    private func readyz() -> Response {
        let missing = self.state.readiness.missing
        guard !missing.isEmpty else { return Self.text("ready\n") }
        return Self.text("not ready: \(missing.joined(separator: ", "))\n", status: .serviceUnavailable)
    }

    private static func text(
        _ text: String, type: String = "text/plain; charset=utf-8", status: HTTPResponse.Status = .ok
    ) -> Response {
        Response(
            status: status, headers: [.contentType: type], body: ResponseBody(byteBuffer: ByteBuffer(string: text)))
    }

    private static func json(_ body: some Encodable) throws -> Response {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        let data = try encoder.encode(body)
        return Response(
            status: .ok, headers: [.contentType: "application/json"],
            body: ResponseBody(byteBuffer: ByteBuffer(bytes: data)))
    }
}

/// - Source: the original's version document; its fourth key names the framework, which this program does not have.
private struct VersionBody: Encodable {
    let version: String
    let commit: String
    let built: String
    let framework = ""

    enum CodingKeys: String, CodingKey {
        case version, commit, built
        case framework = "Go-Chassis"
    }

    init(_ build: BuildInfo) {
        self.version = build.version
        self.commit = build.commit
        self.built = build.built
    }
}

/// The health of the sidecar, not of the application: green as long as it can work.
private struct HealthBody: Encodable {
    let serviceName: String
    let version: String
    let status = "green"
    let connectedConfigCenterClient: Bool
    let connectedMonitoring = false
    let localHealthCheck: [Check]
    let registry: Registry?

    struct Check: Encodable {
        let name: String
        let healthy: Bool
        let error: String?
    }

    /// The registry, where it is one that can be away.
    struct Registry: Encodable {
        let reachable: Bool
        let watching: Bool
        let services: Int
        let staleServices: Int
        let heldInstances: Int
        let error: String?

        init(_ status: RegistryStatus.Value) {
            self.reachable = status.isReachable
            self.watching = status.isWatching
            self.services = status.services
            self.staleServices = status.staleServices
            self.heldInstances = status.heldInstances
            self.error = status.failure
        }
    }

    init(_ state: AdminState) {
        self.connectedConfigCenterClient = state.configServer.current.isReachable
        self.registry = state.registry.map { Registry($0.current) }
        self.serviceName = state.identity.name
        self.version = state.identity.version
        self.localHealthCheck = state.health.all.map { Check(name: $0.name, healthy: $0.isHealthy, error: $0.failure) }
    }
}
