// SPDX-License-Identifier: Apache-2.0

import Common
import Testing

@Suite struct PrometheusTextTests {
    private func text(_ families: [MetricFamily], _ format: PrometheusText.Format = .openMetrics) -> String {
        String(decoding: PrometheusText.render(families, format), as: UTF8.self)
    }

    @Test("OpenMetrics: counters end in _total and their families do not; there is an end")
    func openMetrics() {
        var things = MetricFamily("mesher_things_total", help: "Things.", kind: .counter)
        things.add(3, MetricLabels(["kind": "a"]))
        var status = MetricFamily("status_4xx", help: "status_4xx", kind: .counter)
        status.add(1)
        var latency = MetricFamily("latency_seconds", help: "Time.", kind: .summary)
        latency.add(0.5, extra: "quantile=\"0.9\"")
        latency.add(2, suffix: "_sum")
        latency.add(4, suffix: "_count")
        let gauge = MetricFamily("up", help: "Whether.", 1)
        #expect(
            self.text([things, status, latency, gauge]) == """
                # HELP mesher_things Things.
                # TYPE mesher_things counter
                mesher_things_total{kind="a"} 3
                # HELP status_4xx status_4xx
                # TYPE status_4xx unknown
                status_4xx 1
                # HELP latency_seconds Time.
                # TYPE latency_seconds summary
                latency_seconds{quantile="0.9"} 0.5
                latency_seconds_sum 2
                latency_seconds_count 4
                # HELP up Whether.
                # TYPE up gauge
                up 1
                # EOF

                """)
        #expect(self.text([]) == "# EOF\n" && self.text([], .prometheus).isEmpty)
    }

    @Test("the older format has the same families under their own names, and no end")
    func prometheus() {
        var things = MetricFamily("mesher_things_total", help: "Things.", kind: .counter)
        things.add(3)
        var status = MetricFamily("status_4xx", help: "status_4xx", kind: .counter)
        status.add(1)
        #expect(
            self.text([things, status], .prometheus) == """
                # HELP mesher_things_total Things.
                # TYPE mesher_things_total counter
                mesher_things_total 3
                # HELP status_4xx status_4xx
                # TYPE status_4xx counter
                status_4xx 1

                """)
    }

    @Test("buckets of a histogram count all that were as fast or faster")
    func histogram() {
        var counts = [Int](repeating: 0, count: LatencyHistogram.count)
        (counts[0], counts[2], counts[14], counts[15]) = (2, 3, 1, 4)
        var family = MetricFamily("d_seconds", help: "D.", kind: .histogram)
        family.add(counts, seconds: 50.25, MetricLabels(["a": "b"]))
        let bounds = [
            ("0.00025", 2), ("0.0005", 2), ("0.001", 5), ("0.0025", 5), ("0.005", 5), ("0.01", 5), ("0.025", 5),
            ("0.05", 5), ("0.1", 5), ("0.25", 5), ("0.5", 5), ("1", 5), ("2.5", 5), ("5", 5), ("10", 6), ("+Inf", 10),
        ]
        let buckets = bounds.map { "d_seconds_bucket{a=\"b\",le=\"\($0)\"} \($1)\n" }.joined()
        #expect(
            self.text([family], .prometheus)
                == "# HELP d_seconds D.\n# TYPE d_seconds histogram\n\(buckets)d_seconds_sum{a=\"b\"} 50.25\n"
                + "d_seconds_count{a=\"b\"} 10\n")
    }

    @Test("what would end a line or a quoted value is escaped; quotes of a help text in OpenMetrics only")
    func escaping() {
        var family = MetricFamily("a", help: "b \\ \"c\"\nd", kind: .gauge)
        family.add(1, MetricLabels(["x": "q\"\\\né\r"]))
        let sample = "a{x=\"q\\\"\\\\\\né\r\"} 1\n"
        #expect(self.text([family]) == "# HELP a b \\\\ \\\"c\\\"\\nd\n# TYPE a gauge\n\(sample)# EOF\n")
        #expect(self.text([family], .prometheus) == "# HELP a b \\\\ \"c\"\\nd\n# TYPE a gauge\n\(sample)")
    }

    @Test("labels stand in the order of their names, further ones behind them")
    func labels() {
        var family = MetricFamily("a", help: "", kind: .gauge)
        family.add(1, MetricLabels(["z": "1", "b": "2"]), extra: "reason=\"x\"")
        #expect(self.text([family], .prometheus).hasSuffix("\na{b=\"2\",z=\"1\",reason=\"x\"} 1\n"))
    }

    @Test(
        "numbers",
        arguments: [
            (0, "0"), (7, "7"), (-3, "-3"), (0.5, "0.5"), (-0.25, "-0.25"), (1e15, "1000000000000000"),
            (1_795_824_754.5, "1795824754.5"), (.infinity, "+Inf"), (-.infinity, "-Inf"), (.nan, "NaN"),
        ] as [(Double, String)])
    func numbers(value: Double, expected: String) {
        #expect(PrometheusText.number(value) == expected)
        #expect(self.text([MetricFamily("a", help: "", value)], .prometheus).hasSuffix("\na \(expected)\n"))
    }

    @Test(
        "a client that asks for OpenMetrics gets it",
        arguments: [
            (nil, false), ("", false), ("text/plain", false), ("*/*", false),
            ("application/openmetrics-text", true),
            ("application/openmetrics-text; version=1.0.0,text/plain;q=0.5", true),
            ("text/plain;version=0.0.4;q=0.3, application/openmetrics-text;version=1.0.0;q=0.5", true),
        ] as [(String?, Bool)])
    func accept(accept: String?, isOpenMetrics: Bool) {
        let format = PrometheusText.Format(accept: accept)
        #expect(
            format.contentType
                == (isOpenMetrics
                    ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
                    : "text/plain; version=0.0.4; charset=utf-8"))
    }
}
