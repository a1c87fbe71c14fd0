// SPDX-License-Identifier: Apache-2.0

import Common
import Testing

@Suite struct MetricsTests {
    @Test("counts in the original's families, over all loops, and times only what is timed")
    func families() {
        let registry = MetricsRegistry(startTime: 12.5, own: .service("web", app: "shop", version: "1"))
        let labels = MetricLabels.service("cart", app: "shop", version: "2.0")
        let (one, two) = (registry.requestCounters(labels), registry.requestCounters(labels))
        one.record(status: 200, nanoseconds: 1_500_000_000, isTimed: true)
        one.record(status: 404, nanoseconds: 1_000_000, isTimed: false)
        two.record(status: 503, nanoseconds: 500_000_000, isTimed: true)
        two.record(status: 302, nanoseconds: 600_000_000, isTimed: false)
        one.record(.circuitOpen)
        two.record(.circuitOpen)
        two.record(.upstreamTimeout)
        registry.counter("mesher_things", help: "Things.").add(3)
        registry.addCollector {
            var family = MetricFamily("mesher_odd", help: "a \\ b\nc", kind: .gauge)
            family.add(0.5, MetricLabels(["x": "q\"\\\n"]))
            return [family, MetricFamily("mesher_empty", help: "", kind: .gauge)]
        }
        let text = String(decoding: PrometheusText.render(registry.families()), as: UTF8.self)
        let inside = "app=\"shop\",service_name=\"cart\",version=\"2.0\""
        let cart = "{\(inside)}"
        let bounds = [
            ("0.00025", 0), ("0.0005", 0), ("0.001", 1), ("0.0025", 1), ("0.005", 1), ("0.01", 1), ("0.025", 1),
            ("0.05", 1), ("0.1", 1), ("0.25", 1), ("0.5", 2), ("1", 3), ("2.5", 4), ("5", 4), ("10", 4), ("+Inf", 4),
        ]
        let buckets = bounds.map { "mesher_request_duration_seconds_bucket{\(inside),le=\"\($0)\"} \($1)" }
        #expect(
            text == """
                # HELP failures_total failures_total
                # TYPE failures_total counter
                failures_total\(cart) 2
                # HELP mesher_odd a \\\\ b\\nc
                # TYPE mesher_odd gauge
                mesher_odd{x="q\\"\\\\\\n"} 0.5
                # HELP mesher_request_duration_seconds From the complete head of a request to the end of its answer, \
                by called service.
                # TYPE mesher_request_duration_seconds histogram
                \(buckets.joined(separator: "\n"))
                mesher_request_duration_seconds_sum\(cart) 2.601
                mesher_request_duration_seconds_count\(cart) 4
                # HELP mesher_request_errors_total Requests that mesher answered or ended itself, by called service \
                and reason.
                # TYPE mesher_request_errors_total counter
                mesher_request_errors_total{\(inside),reason="circuit_open"} 2
                mesher_request_errors_total{\(inside),reason="upstream_timeout"} 1
                # HELP mesher_things_total Things.
                # TYPE mesher_things_total counter
                mesher_things_total 3
                # HELP request_latency_seconds request_latency_seconds
                # TYPE request_latency_seconds summary
                request_latency_seconds_sum\(cart) 2
                request_latency_seconds_count\(cart) 2
                # HELP requests_total requests_total
                # TYPE requests_total counter
                requests_total\(cart) 4
                # HELP start_time_seconds start_time_seconds
                # TYPE start_time_seconds gauge
                start_time_seconds{app="shop",service_name="web",version="1"} 12.5
                # HELP status_4xx status_4xx
                # TYPE status_4xx counter
                status_4xx\(cart) 1
                # HELP status_5xx status_5xx
                # TYPE status_5xx counter
                status_5xx\(cart) 1
                # HELP successes_total successes_total
                # TYPE successes_total counter
                successes_total\(cart) 1

                """)
    }
}

@Suite struct ProxyErrorTests {
    /// The whole table, so that a change of any cell shows in review.
    @Test("reasons have the statuses that are documented")
    func table() {
        let rows = ProxyError.Reason.allCases.map {
            "\($0.rawValue) \($0.status) \($0.grpcStatus) \($0.blame.rawValue) \($0.isRetriable ? "retry" : "-")"
        }
        #expect(
            rows == [
                "bad_request 400 3 client -", "header_too_large 431 3 client -", "request_timeout 408 4 client -",
                "destination_unresolved 400 3 client -", "destination_refused 403 7 client -",
                "method_refused 405 12 client -", "loop 508 2 client -", "unauthenticated 401 16 client -",
                "rate_limited 429 8 mesher -", "fault_injected 500 2 mesher -", "circuit_open 503 14 mesher -",
                "bulkhead_full 503 14 mesher -", "overloaded 503 14 mesher -", "not_ready 503 14 mesher -",
                "no_rule 404 12 mesher -", "no_endpoint 502 14 mesher -", "no_local_port 502 14 mesher -",
                "connect_failed 502 14 upstream retry", "upstream_reset 502 14 upstream retry",
                "upstream_timeout 504 4 upstream retry", "bad_upstream_response 502 14 upstream -",
                "client_gone 499 1 client -", "internal 500 2 mesher -",
            ])
    }

    @Test("an error may bring its own text and status")
    func overrides() {
        #expect(ProxyError(.badRequest).body == "bad request")
        #expect(ProxyError(.headerTooLarge, "x", status: 414).status == 414)
    }
}
