// SPDX-License-Identifier: Apache-2.0

import Common
import Foundation
import HTTPTypes
import Logging
import NIOPosix
import TestSupport
import Testing

@testable import Injector

/// What the injector answers, without a socket.
@Suite struct WebhookRoutesTests {
    private let state: InjectorState
    private let routes: WebhookRoutes

    init() throws {
        let registry = MetricsRegistry(startTime: 0, own: MetricLabels())
        self.state = InjectorState(
            try testPolicy(), metrics: InjectorMetrics(registry),
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        self.routes = WebhookRoutes(self.state, timers: MultiThreadedEventLoopGroup.singleton)
    }

    private func review(_ sample: SamplePod) throws -> String {
        let request: [String: Any] = [
            "uid": "u", "kind": ["group": "", "version": "v1", "kind": "Pod"], "operation": "CREATE",
            "namespace": "shop", "object": sample.object,
        ]
        let review: [String: Any] = [
            "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request,
        ]
        return String(decoding: try SamplePod.bytes(review), as: UTF8.self)
    }

    private let json: HTTPFields = [.contentType: "application/json"]

    @Test("reviews are counted by what becomes of them, and why")
    func counts() async throws {
        for (sample, times) in [(SamplePod(), 2), (SamplePod(inject: nil), 1)] {
            for _ in 0..<times {
                let answer = try await self.routes.webhook.ask(
                    .post, "/inject?timeout=5s", self.json, body: try self.review(sample))
                #expect(answer.status == 200 && answer.type == "application/json")
            }
        }
        #expect(try await self.routes.webhook.ask(.post, "/inject", self.json, body: "{").status == 400)
        #expect(try await self.routes.webhook.ask(.post, "/inject", body: "{}").status == 415)
        let text = try await self.routes.health.ask(.get, "/metrics").text
        for line in [
            "mesher_injector_requests_total{reason=\"asked\",result=\"injected\"} 2",
            "mesher_injector_requests_total{reason=\"not_asked\",result=\"skipped\"} 1",
            "mesher_injector_requests_total{reason=\"status_400\",result=\"error\"} 1",
            "mesher_injector_requests_total{reason=\"status_415\",result=\"error\"} 1",
            "mesher_injector_duration_seconds_count 5",
        ] {
            #expect(text.contains("\(line)\n"), "\(line)")
        }
    }

    @Test("it is ready while it serves and does not stop")
    func readiness() async throws {
        func ready() async throws -> String { try await self.routes.health.ask(.get, "/readyz").text }
        #expect(try await ready() == "not ready: listeners\n")
        self.state.readiness.set(.listeners)
        #expect(try await ready() == "ready\n")
        self.state.readiness.beginDraining()
        #expect(try await ready() == "not ready: draining\n")
        #expect(try await self.routes.webhook.ask(.get, "/livez").status == 200)
    }

    @Test("another template holds from the next pod on")
    func template() throws {
        let other = try testTemplate("containers: [{name: sidecar-mesher, image: other}]\n")
        let before = self.state.policy
        self.state.take(other)
        #expect(before.template.digest != other.digest && self.state.policy.template.digest == other.digest)
        let injected = try Injected(SamplePod(), policy: self.state.policy)
        #expect(injected.sidecar?["image"] as? String == "other")
        #expect(injected.annotations[Wish.injector.key] == "9.9/\(other.digest)")
        // What is known of the cluster stays.
        #expect(
            try Injected(SamplePod(), namespace: "servicecomb", policy: self.state.policy).decision.reason.rule == 4)
    }
}
