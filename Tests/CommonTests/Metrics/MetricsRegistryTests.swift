// SPDX-License-Identifier: Apache-2.0

import Common
import Testing

/// What nobody can make grow without end.
@Suite struct MetricsRegistryTests {
    private func registry() -> MetricsRegistry {
        MetricsRegistry(startTime: 0, own: .service("web", app: "shop", version: "1"))
    }

    @Test("beyond 10,000 services all new ones count as other, and the known ones as themselves")
    func services() throws {
        let registry = self.registry()
        func label(_ number: Int) -> MetricLabels { MetricLabels(["service_name": "s\(number)"]) }
        for number in 0..<MetricsRegistry.mostLabels { _ = registry.requestCounters(label(number)) }
        registry.requestCounters(label(10_000)).record(status: 200, nanoseconds: 1, isTimed: true)
        registry.requestCounters(label(10_001)).record(status: 500, nanoseconds: 1, isTimed: true)
        registry.requestCounters(label(9_999)).record(status: 200, nanoseconds: 1, isTimed: true)
        let all = registry.requestTotals
        let counted = all.filter { $0.totals.requests > 0 }
        #expect(counted.map(\.labels["service_name"]) == ["other", "s9999"])
        #expect(counted.map(\.totals.requests) == [2, 1])
        #expect(all.count == MetricsRegistry.mostLabels + 1)
    }

    @Test("beyond 100 callers nobody new has counters; each loop has its own of a known one")
    func callers() throws {
        let registry = self.registry()
        for number in 0..<100 {
            let counters = try #require(registry.callerCounters("c\(number)"))
            counters.record(status: 200, nanoseconds: 1, isTimed: false)
        }
        #expect(registry.callerCounters("late") == nil)
        try #require(registry.callerCounters("c0")).record(status: 404, nanoseconds: 1, isTimed: false)
        try #require(registry.callerCounters("other")).record(status: 200, nanoseconds: 1, isTimed: false)
        try #require(registry.callerCounters("other")).record(status: 200, nanoseconds: 1, isTimed: false)
        let totals = Dictionary(registry.callerTotals.map { ($0.name, $0.totals) }) { first, _ in first }
        #expect(totals.count == 101 && totals["late"] == nil)
        #expect(totals["c0"]?.requests == 2 && totals["c0"]?.failures == 1 && totals["c1"]?.requests == 1)
        #expect(totals["other"]?.requests == 2)
    }

    @Test("made-up callers take the places of others for ten minutes after their last request, not for ever")
    func silentCallers() throws {
        let registry = self.registry()
        _ = registry.callerCounters("unknown")
        let shards = try (0..<100).map { try #require(registry.callerCounters("c\($0)")) }
        for each in shards { each.record(status: 200, nanoseconds: 1, isTimed: false) }
        let begin = ContinuousClock.now
        registry.forgetSilentCallers(at: begin)
        shards[7].record(status: 200, nanoseconds: 1, isTimed: false)
        registry.forgetSilentCallers(at: begin + .seconds(599))
        #expect(registry.callerGeneration == 0 && registry.callerCounters("shop") == nil)
        registry.forgetSilentCallers(at: begin + .seconds(600))
        #expect(registry.callerGeneration == 1 && shards[6].isRetired && !shards[7].isRetired)
        #expect(registry.callerCounters("shop") != nil)
        #expect(registry.callerTotals.map(\.name) == ["c7", "shop", "unknown"])
        registry.forgetSilentCallers(at: begin + .seconds(6000))
        registry.forgetSilentCallers(at: begin + .seconds(60_000))
        #expect(registry.callerGeneration == 1, "there are places left")
    }

    @Test("callers are told by name, those without a request not at all")
    func callerFamilies() throws {
        let registry = self.registry()
        try #require(registry.callerCounters("shop")).record(status: 503, nanoseconds: 1, isTimed: false)
        _ = registry.callerCounters("idle")
        let text = String(decoding: PrometheusText.render(registry.families()), as: UTF8.self)
        #expect(text.contains("\nmesher_caller_requests_total{caller=\"shop\"} 1\n"))
        #expect(text.contains("\nmesher_caller_failures_total{caller=\"shop\"} 1\n"))
        #expect(!text.contains("idle"))
    }

    @Test("what several loops have counted is added up")
    func totals() {
        let (one, two) = (RequestCounters(), RequestCounters())
        one.record(status: 200, nanoseconds: 3, isTimed: true)
        two.record(status: 599, nanoseconds: 4, isTimed: false)
        two.record(status: 451, nanoseconds: 5, isTimed: false)
        one.record(.circuitOpen)
        two.record(.circuitOpen)
        two.record(.internal)
        two.fallbacks.add(2)
        let totals = RequestTotals([one, two])
        #expect(totals.requests == 3 && totals.successes == 1 && totals.failures == 1)
        #expect(totals.status4xx == 1 && totals.status5xx == 0 && totals.fallbacks == 2)
        #expect(totals.timed == 1 && totals.latency == 3 && totals.duration == 12)
        #expect(totals.buckets == [3] + [Int](repeating: 0, count: 15))
        #expect(totals.reasons == ["circuit_open": 2, "internal": 1])
    }

    @Test("every reason has a counter of its own")
    func reasons() {
        let counters = RequestCounters()
        for (count, reason) in ProxyError.Reason.allCases.enumerated() {
            for _ in 0...count { counters.record(reason) }
        }
        for (count, reason) in ProxyError.Reason.allCases.enumerated() {
            #expect(counters.count(of: reason) == count + 1)
        }
    }
}
