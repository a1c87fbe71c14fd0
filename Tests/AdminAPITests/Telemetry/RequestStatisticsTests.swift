// SPDX-License-Identifier: Apache-2.0

import Common
import NIOCore
import Testing

@testable import AdminAPI

@Suite struct RequestStatisticsTests {
    private func statistics() -> RequestStatistics {
        var own = ServiceIdentity(name: "web", version: "1.0", app: "shop")
        (own.hostName, own.environment) = ("host", "testing")
        return RequestStatistics(own)
    }

    private func count(_ records: ExchangeRecords, in statistics: RequestStatistics) {
        for record in records.records { statistics.count(record, of: records) }
    }

    /// The samples of a family: path, method, further label and suffix, with the value.
    private func samples(_ name: String, _ statistics: RequestStatistics) throws -> [String: Double] {
        let family = try #require(statistics.families().first { $0.name == name })
        let pairs = family.samples.map { sample in
            let labels = [sample.labels["API"] ?? "", sample.labels["method"] ?? "", sample.extra + sample.suffix]
            return (labels.filter { !$0.isEmpty }.joined(separator: " "), sample.value)
        }
        return Dictionary(pairs) { _, _ in -1 }
    }

    @Test("the framework's families, by path without its query, and method")
    func families() throws {
        let statistics = self.statistics()
        #expect(statistics.families().map(\.samples.count) == [0, 0, 0])
        for (method, target, status) in [
            ("GET", "/a?x=1", 200), ("GET", "/a?x=2", 404), ("POST", "/a", 500), ("POST", "/a", 503),
            ("POST", "/a", 500),
            ("BREW", "/a", 200), ("DANCE", "/a", 599),
        ] {
            self.count(ended(method: method, target: target) { $0.status = status }, in: statistics)
        }
        #expect(try self.samples("scb_request_count", statistics) == ["/a GET": 2, "/a POST": 3, "/a other": 2])
        #expect(
            try self.samples("scb_error_response_count", statistics)
                == ["/a POST code=\"500\"": 2, "/a POST code=\"503\"": 1, "/a other code=\"599\"": 1])
        let labels = try #require(statistics.families().first?.samples.first?.labels)
        #expect(
            labels.text == "API=\"/a\",app=\"shop\",env=\"testing\",instance=\"host\",method=\"GET\",service=\"web\""
                + ",version=\"1.0\"")
    }

    @Test("quantiles are of what was seen, in milliseconds")
    func quantiles() throws {
        let statistics = self.statistics()
        for milliseconds: Int64 in (0...100).reversed() {
            self.count(ended(target: "/a") { $0.duration = .milliseconds(milliseconds) }, in: statistics)
        }
        #expect(
            try self.samples("scb_request_process_duration", statistics) == [
                "/a GET quantile=\"0.5\"": 50, "/a GET quantile=\"0.9\"": 90, "/a GET quantile=\"0.99\"": 99,
                "/a GET _sum": 5050, "/a GET _count": 101,
            ])
    }

    @Test("only the last 500 durations are looked at, and all of them summed up")
    func recent() throws {
        let statistics = self.statistics()
        for number in 0..<1500 {
            self.count(ended(target: "/a") { $0.duration = .milliseconds(number < 1000 ? 7 : 3) }, in: statistics)
        }
        let samples = try self.samples("scb_request_process_duration", statistics)
        #expect(samples["/a GET quantile=\"0.99\""] == 3 && samples["/a GET _count"] == 1500)
        #expect(samples["/a GET _sum"] == 8500)
    }

    @Test("beyond a hundred all new paths count as one, and the known ones as themselves")
    func capacity() throws {
        let statistics = self.statistics()
        for number in 0..<150 { self.count(ended(target: "/\(number)"), in: statistics) }
        self.count(ended(target: "/0"), in: statistics)
        let counts = try self.samples("scb_request_count", statistics)
        #expect(counts.count == 101 && counts["other other"] == 50 && counts["/0 GET"] == 2 && counts["/99 GET"] == 1)
        #expect(counts["/100 GET"] == nil)
    }

    @Test("a path is cut, so that nobody can make the labels long")
    func longPath() throws {
        let statistics = self.statistics()
        self.count(ended(target: "/" + String(repeating: "a", count: 300)), in: statistics)
        self.count(ended(target: "/" + String(repeating: "a", count: 400)), in: statistics)
        #expect(
            try self.samples("scb_request_count", statistics) == ["/" + String(repeating: "a", count: 99) + " GET": 2])
    }
}
