// SPDX-License-Identifier: Apache-2.0

import Common
import FoundationEssentials
import HTTPTypes
import Hummingbird
import Logging
import Serving

/// The table of the admin API's endpoints.
///
/// - Source: the original's admin API for `version`, `health`, `metrics`, `routeRule` and `/profile`; the probes of
///   Kubernetes; the rest is ours.
struct AdminRoutes: Sendable {
    let state: AdminState

    /// What answers requests.
    var table: EndpointTable {
        let own = [self.state.identity.name, self.state.identity.hostName, ProcessInfo.processInfo.hostName]
        return EndpointTable(
            endpoints: self.all, hosts: HostNames(own + self.state.admin.hosts, key: "mesher.admin.hosts"))
    }

    /// All endpoints; those that find something come before those that change it.
    private var all: [ServedEndpoint] {
        self.probes + self.original + self.ours + self.changes + self.others
            + [
                ServedEndpoint(.get, "/openapi.json", "This API as an OpenAPI document.") { _ in
                    try ServedAnswer.json(OpenAPIDocument(self.all, self.state.build))
                }
            ]
    }

    private var probes: [ServedEndpoint] {
        [
            ServedEndpoint(.get, "/healthz", "Whether the process lives.", content: "text/plain") { _ in
                ServedAnswer.text("ok\n")
            },
            ServedEndpoint(.get, "/readyz", "Whether it can serve; 503 with what is missing.", content: "text/plain") {
                _ in self.readyz()
            },
        ]
    }

    private var original: [ServedEndpoint] {
        [
            ServedEndpoint(.get, "/v1/mesher/version", "Which build this is.") { _ in
                ServedAnswer.bytes(OrderedJSON.version(self.state.build).bytes, type: "application/json")
            },
            ServedEndpoint(.get, "/v1/mesher/health", "Whether the sidecar is well; 500 when it is not.") { _ in
                ServedAnswer.bytes(
                    OrderedJSON.health(self.state).bytes, type: "application/json",
                    status: self.state.registrationFailure() == nil ? .ok : .internalServerError)
            },
            ServedEndpoint(
                .get, "/v1/mesher/metrics", "All metrics; OpenMetrics where Accept names it.", content: "text/plain"
            ) { self.metrics($0) },
            ServedEndpoint(
                .get, "/v1/mesher/routeRule", "The route rules of all services.", content: "text/vnd.yaml"
            ) { _ in
                let rules = OrderedJSON.object([("routeRule", self.state.rules().body)])
                return ServedAnswer.bytes(rules.bytes, type: "text/vnd.yaml")
            },
            ServedEndpoint(
                .get, "/v1/mesher/routeRule/{service}", "The route rules of one service; 404 without any.",
                content: "text/vnd.yaml"
            ) { call in try self.routeRule(call.parameters["service"] ?? "") },
        ]
    }

    private var ours: [ServedEndpoint] {
        [
            ServedEndpoint(.get, "/", "The page.", content: "text/html") { _ in
                var page = ServedAnswer.bytes(Page.bytes, type: "text/html; charset=utf-8")
                // Nobody may lay it under something else.
                page.headers[.contentSecurityPolicy] = "frame-ancestors 'none'"
                return page
            },
            ServedEndpoint(.get, "/v1/mesher/traffic", "What traffic is like right now.") { _ in
                try ServedAnswer.json(self.state.document())
            },
            ServedEndpoint(
                .get, "/v1/mesher/traffic/stream", "The same once a second, as server-sent events.",
                content: "text/event-stream"
            ) { try TrafficStream.response(self.state, isHead: $0.request.method == .head) },
            ServedEndpoint(
                .get, "/v1/mesher/tap", "Requests as they end, a line of JSON each.", content: TapStream.type,
                queries: TapStream.queries, isGuarded: !self.state.admin.token.isEmpty
            ) { call in
                if !self.state.admin.token.isEmpty { try self.demandToken(call.request) }
                return try TapStream.response(self.state, call.request)
            },
            ServedEndpoint(.get, "/v1/mesher/services", "Services: instances, ejections, breakers, connections.") { _ in
                try ServedAnswer.json(ServicesBody(self.state))
            },
            ServedEndpoint(.get, "/v1/mesher/certificates", "The certificates that this sidecar shows to others.") {
                _ in
                try ServedAnswer.json(["certificates": self.state.views.certificates()])
            },
            ServedEndpoint(.get, "/v1/mesher/config", "What is configured, and where each value comes from.") { _ in
                ServedAnswer.buffer(try self.state.configDocument.buffer(self.state), type: "application/json")
            },
            ServedEndpoint(.get, "/v1/mesher/log-level", "What is logged.") { _ in
                try ServedAnswer.json(["level": String(describing: self.state.logLevel.get().logName)])
            },
            ServedEndpoint(
                .put, "/v1/mesher/log-level", "Changes it until the next restart; needs the token.", isGuarded: true
            ) { try await self.setLogLevel($0) },
            ServedEndpoint(.post, "/v1/mesher/explain", "What would become of a request.") {
                try await self.explain($0.request)
            },
        ]
    }

    /// Where the framework of the original has them.
    private var others: [ServedEndpoint] {
        var endpoints: [ServedEndpoint] = []
        if let path = self.state.admin.metricsPath {
            endpoints.append(
                ServedEndpoint(.get, path, "All metrics.", content: "text/plain") { self.metrics($0) })
        }
        if let path = self.state.admin.profilePath {
            endpoints += [
                ServedEndpoint(.get, path, "Route rules and known instances.") { _ in
                    let all = OrderedJSON.object([
                        ("routeRule", self.state.rules().body),
                        ("discovery", .discovery(self.state.directory())),
                    ])
                    return ServedAnswer.bytes(all.bytes, type: "application/json")
                },
                ServedEndpoint(.get, "\(path)/route-rule", "Route rules.") { _ in
                    ServedAnswer.bytes(self.state.rules().body.bytes, type: "application/json")
                },
                ServedEndpoint(.get, "\(path)/discovery", "Known instances.") { _ in
                    ServedAnswer.bytes(OrderedJSON.discovery(self.state.directory()).bytes, type: "application/json")
                },
            ]
        }
        return endpoints
    }

    // MARK: Answers

    private func readyz() -> Response {
        let missing = self.state.readiness.missing
        guard !missing.isEmpty else { return ServedAnswer.text("ready\n") }
        return ServedAnswer.text("not ready: \(missing.joined(separator: ", "))\n", status: .serviceUnavailable)
    }

    private func metrics(_ call: ServedEndpoint.Call) -> Response {
        let format = PrometheusText.Format(accept: call.request.headers[.accept])
        return ServedAnswer.bytes(
            PrometheusText.render(self.state.metrics.families(), format), type: format.contentType)
    }

    private func routeRule(_ service: String) throws -> Response {
        guard let rules = self.state.rules()[service] else {
            return try ServedAnswer.json("\(service) routeRule not found", status: .notFound)
        }
        return ServedAnswer.bytes(rules.bytes, type: "text/vnd.yaml")
    }

    private func explain(_ request: Request) async throws -> Response {
        do {
            let body = try await request.body.collect(upTo: 256 * 1024)
            let question = try JSONDecoder().decode(ExplainQuestion.self, from: Data(body.readableBytesView))
            return try ServedAnswer.json(try self.state.explain(question))
        } catch {
            throw Refusal(.badRequest, "no request to explain: \(error)")
        }
    }

    private struct LevelBody: Codable { let level: String }

    private func setLogLevel(_ call: ServedEndpoint.Call) async throws -> Response {
        try self.demandToken(call.request)
        let body = try? await call.request.body.collect(upTo: 1024)
        let data = Data(body?.readableBytesView ?? ByteBuffer().readableBytesView)
        let text =
            (try? JSONDecoder().decode(LevelBody.self, from: data))?.level
            ?? String(decoding: data, as: UTF8.self).trimmed
        guard let level = Logger.Level(logName: text) else {
            throw Refusal(
                .badRequest, "no level: send {\"level\":\"DEBUG\"}, or one of INFO, WARN, ERROR and FATAL")
        }
        self.state.logLevel.set(level)
        return try ServedAnswer.json(LevelBody(level: String(describing: level.logName)))
    }

    /// - Source: promise T6: changes need a token, and so do single requests where there is one.
    func demandToken(_ request: Request) throws(Refusal) {
        let token = self.state.admin.token
        guard !token.isEmpty else {
            throw Refusal(.forbidden, "nothing can be changed here: mesher.admin.token is not set")
        }
        guard let given = request.headers[.authorization], Self.isEqual(given, "Bearer \(token)") else {
            throw Refusal(.unauthorized, "send the token: Authorization: Bearer <mesher.admin.token>")
        }
    }

    /// In a time that does not tell how much of it is right.
    private static func isEqual(_ left: String, _ right: String) -> Bool {
        let (left, right) = (Array(left.utf8), Array(right.utf8))
        var difference = left.count ^ right.count
        for index in right.indices { difference |= Int(right[index] ^ (index < left.count ? left[index] : 0)) }
        return difference == 0
    }
}
