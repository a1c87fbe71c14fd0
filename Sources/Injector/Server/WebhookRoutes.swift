// SPDX-License-Identifier: Apache-2.0

import Common
import HTTPTypes
import Hummingbird
import Logging
import NIOCore
import Serving

/// What the injector answers.
struct WebhookRoutes: Sendable {
    private let state: InjectorState
    private let body: ReviewBody

    /// - Parameter timers: Their loops keep the time of bodies.
    init(_ state: InjectorState, timers: any EventLoopGroup) {
        self.state = state
        self.body = ReviewBody(budget: BodyBudget(ReviewBody.together), timers: timers)
    }

    /// The paths of probes.
    static let probes: Set<String> = ["/healthz", "/livez", "/readyz"]
    /// How long a client waits that does not say so, and how long nobody is kept waiting beyond.
    static let patience = Duration.seconds(10)

    /// What the API server asks: over TLS.
    var webhook: EndpointTable {
        let paths = ["/webhookmutation", "/inject"]
        return self.table(
            paths.map { path in
                ServedEndpoint(.post, path, "Reviews a pod.") { call in try await self.review(call.request) }
            } + self.probeEndpoints)
    }

    /// What kubelet and Prometheus ask, in clear.
    var health: EndpointTable {
        let metrics = ServedEndpoint(.get, "/metrics", "What is counted.", content: "text/plain") { call in
            let format = PrometheusText.Format(accept: call.request.headers[.accept])
            return ServedAnswer.bytes(self.state.metrics.text(format), type: format.contentType)
        }
        return self.table(self.probeEndpoints + [metrics])
    }

    private func table(_ endpoints: [ServedEndpoint]) -> EndpointTable {
        EndpointTable(endpoints: endpoints, hosts: nil, index: "mesher injector --help")
    }

    private var probeEndpoints: [ServedEndpoint] {
        ["/healthz", "/livez"].map { path in
            ServedEndpoint(.get, path, "Whether the process lives.", content: "text/plain") { _ in
                ServedAnswer.text("ok\n")
            }
        } + [
            ServedEndpoint(.get, "/readyz", "Whether pods can be reviewed.", content: "text/plain") { _ in
                let missing = self.state.readiness.missing.joined(separator: ", ")
                return missing.isEmpty
                    ? ServedAnswer.text("ready\n")
                    : ServedAnswer.text("not ready: \(missing)\n", status: .serviceUnavailable)
            }
        ]
    }

    // MARK: Reviews

    private func review(_ request: Request) async throws -> Response {
        let start = ContinuousClock.now
        do {
            try Self.checkType(request)
            return try await self.body.with(of: request, until: start + Self.timeout(request)) { bytes in
                self.answer(try Self.read(bytes), since: start)
            }
        } catch let refusal as Refusal {
            self.state.metrics.record(
                InjectorMetrics.error, "status_\(refusal.status.code)", since: start)
            self.state.logger.notice(
                "review refused", metadata: ["status": "\(refusal.status.code)", "problem": "\(refusal.text)"])
            throw refusal
        } catch {
            self.state.metrics.record(InjectorMetrics.error, "client_gone", since: start)
            throw error
        }
    }

    private static func checkType(_ request: Request) throws {
        let type = request.headers[.contentType] ?? ""
        guard type.prefix(while: { $0 != ";" }).trimmed.lowercased() == "application/json" else {
            throw Refusal(.unsupportedMediaType, "the content type is no application/json")
        }
    }

    /// How long the client waits, as it says.
    private static func timeout(_ request: Request) -> Duration {
        guard let text = request.uri.queryParameters["timeout"], let wanted = DurationText.read(String(text)),
            wanted > .zero
        else { return Self.patience }
        return min(wanted, Self.patience)
    }

    private static func read(_ bytes: [UInt8]) throws -> AdmissionReview {
        do throws(AdmissionReview.Malformed) {
            return try AdmissionReview(bytes)
        } catch {
            throw Refusal(.badRequest, error.problem)
        }
    }

    private func answer(_ review: AdmissionReview, since start: ContinuousClock.Instant) -> Response {
        let policy = self.state.policy
        let decision = review.decision(policy)
        let answer = review.answer(decision, template: policy.template.digest)
        self.state.metrics.record(decision.result.rawValue, decision.reason.rawValue, since: start)
        self.log(review, decision)
        return ServedAnswer.bytes(answer.bytes, type: "application/json")
    }

    /// One line, without anything of the pod that could be a secret.
    private func log(_ review: AdmissionReview, _ decision: Decision) {
        var metadata: Logger.Metadata = [
            "namespace": "\(review.namespace)", "pod": "\(review.pod?.name ?? "")", "uid": "\(review.uid)",
            "result": "\(decision.result.rawValue)", "rule": "\(decision.reason.rule)",
            "reason": "\(decision.reason.rawValue)",
        ]
        if let owner = review.pod?.owner { metadata["owner"] = "\(owner.kind)/\(owner.name)" }
        if review.isDryRun { metadata["dryRun"] = "true" }
        if !decision.message.isEmpty { metadata["message"] = "\(decision.message)" }
        self.state.logger.notice("pod reviewed", metadata: metadata)
    }
}

/// Answers out of a table, and asks clients to go elsewhere once the injector is stopping.
struct WebhookResponder: HTTPResponder {
    let table: EndpointTable
    let readiness: Readiness

    func respond(to request: Request, context: BasicRequestContext) async throws -> Response {
        var response = try await self.table.respond(to: request, context: context)
        if self.readiness.isDraining { response.headers[.connection] = "close" }
        return response
    }
}
