// SPDX-License-Identifier: Apache-2.0

import Common
import CoreMetrics
import Mesher
import Testing

/// What libraries count through swift-metrics.
@Suite struct LibraryMetricsTests {
    private let metrics = LibraryMetrics()

    /// The exposition, without the lines of comment.
    private func lines() -> [String] {
        let families = self.metrics.families().sorted { $0.name < $1.name }
        return String(decoding: PrometheusText.render(families), as: UTF8.self)
            .split(separator: "\n").filter { !$0.hasPrefix("#") }.map { String($0) }
    }

    private func kinds() -> [String: MetricFamily.Kind] {
        Dictionary(self.metrics.families().map { ($0.name, $0.kind) }) { first, _ in first }
    }

    @Test("nothing is there before something is counted")
    func empty() {
        _ = self.metrics.makeCounter(label: "a", dimensions: [])
        #expect(self.metrics.families().isEmpty)
    }

    @Test("counters of one name and the same dimensions are one, whoever holds them")
    func counters() {
        let one = self.metrics.makeCounter(label: "hb.requests", dimensions: [("uri", "/a"), ("b", "1")])
        let same = self.metrics.makeCounter(label: "hb.requests", dimensions: [("b", "1"), ("uri", "/a")])
        let other = self.metrics.makeCounter(label: "hb.requests", dimensions: [("uri", "/\"b\"")])
        one.increment(by: 2)
        same.increment(by: 3)
        other.increment(by: 1)
        #expect(
            self.lines() == [#"hb_requests_total{b="1",uri="/a"} 5"#, #"hb_requests_total{uri="/\"b\""} 1"#])
        #expect(self.kinds() == ["hb_requests_total": .counter])
        one.reset()
        #expect(self.lines().first == #"hb_requests_total{b="1",uri="/a"} 0"#)
        // Who lets one go does not take it out of the exposition.
        self.metrics.destroyCounter(one)
        #expect(self.lines().count == 2)
    }

    @Test("timers are summed up in seconds")
    func timers() {
        let timer = self.metrics.makeTimer(label: "dns.time", dimensions: [])
        timer.recordNanoseconds(1_500_000_000)
        timer.recordNanoseconds(250_000_000)
        #expect(self.lines() == ["dns_time_seconds_sum 1.75", "dns_time_seconds_count 2"])
        #expect(self.kinds() == ["dns_time_seconds": .summary])
    }

    @Test("a gauge has the last value, a distribution the sum")
    func recorders() {
        let gauge = self.metrics.makeRecorder(label: "open", dimensions: [], aggregate: false)
        let distribution = self.metrics.makeRecorder(label: "sizes", dimensions: [], aggregate: true)
        for recorder in [gauge, distribution] {
            recorder.record(Int64(7))
            recorder.record(-2.5)
        }
        #expect(self.lines() == ["open -2.5", "sizes_sum 4.5", "sizes_count 2"])
        #expect(self.kinds() == ["open": .gauge, "sizes": .summary])
    }

    @Test(
        "names become such as the format allows, and no suffix comes twice",
        arguments: [
            ("a.b-c d", "a_b_c_d_total"), ("requests_total", "requests_total"), ("größe", "gr__e_total"),
            ("a\"}\n", "a____total"), ("5xx", "_5xx_total"), ("", "__total"), ("A_1", "A_1_total"),
        ])
    func names(label: String, name: String) {
        self.metrics.makeCounter(label: label, dimensions: []).increment(by: 1)
        #expect(self.metrics.families().map(\.name) == [name])
    }

    @Test("names of dimensions too; of two that become the same the later counts")
    func dimensions() {
        let dimensions = [("http.method", "GET"), ("http-method", "PUT"), ("1st", "x")]
        self.metrics.makeCounter(label: "a", dimensions: dimensions).increment(by: 1)
        #expect(self.lines() == [#"a_total{_1st="x",http_method="PUT"} 1"#])
    }

    @Test("beyond a thousand series nothing new is kept, and the known ones go on")
    func capacity() {
        for number in 0..<LibraryMetrics.capacity + 50 {
            self.metrics.makeCounter(label: "a", dimensions: [("n", "\(number)")]).increment(by: 1)
        }
        self.metrics.makeTimer(label: "late", dimensions: []).recordNanoseconds(1)
        self.metrics.makeCounter(label: "a", dimensions: [("n", "0")]).increment(by: 1)
        let families = self.metrics.families()
        #expect(families.map(\.name) == ["a_total"] && families.first?.samples.count == LibraryMetrics.capacity)
        #expect(self.lines().first == #"a_total{n="0"} 2"#)
    }
}
