// SPDX-License-Identifier: Apache-2.0

import Common
import Synchronization
import Testing

@testable import AdminAPI

/// Rates and shares out of counts, with a clock of the test's.
@Suite struct TrafficMonitorTests {
    private final class Clock: Sendable {
        private let passed = Mutex(Duration.zero)
        private let start = ContinuousClock.now

        var now: ContinuousClock.Instant { self.start + self.passed.withLock { $0 } }
        func advance(_ duration: Duration) { self.passed.withLock { $0 += duration } }
    }

    private final class Inspections: Sendable {
        let list = Mutex<[ServiceInspection]>([])

        /// Says that the service has one rule, whose targets were chosen so often.
        func set(_ name: String, hits: [Int], breaker: TrafficDocument.Breaker? = nil) {
            let targets = hits.map { (tags: ["version": "1"], weight: 50, hits: $0) }
            self.list.withLock {
                $0 = [
                    ServiceInspection(
                        name: name, breaker: breaker, instances: [],
                        routes: [.init(precedence: 1, match: "all", targets: targets)])
                ]
            }
        }
    }

    private let clock = Clock()
    private let inspections = Inspections()
    private let metrics = MetricsRegistry(startTime: 0, own: .service("web", app: "shop", version: "1"))

    private func monitor() -> TrafficMonitor {
        let (clock, inspections) = (self.clock, self.inspections)
        return TrafficMonitor(
            metrics: self.metrics, inspect: { inspections.list.withLock { $0 } }, clock: { clock.now })
    }

    private func counters(_ service: String, version: String = "1") -> RequestCounters {
        self.metrics.requestCounters(.service(service, app: "shop", version: version))
    }

    private func record(_ counters: RequestCounters?, _ count: Int, status: Int = 200, milliseconds: Int = 10) {
        for _ in 0..<count {
            counters?.record(status: status, nanoseconds: milliseconds * 1_000_000, isTimed: true)
        }
    }

    @Test("rates are per second since the oldest reading, totals since the start")
    func rates() throws {
        let cart = self.counters("cart")
        self.record(cart, 100)
        let monitor = self.monitor()
        self.record(cart, 30)
        self.record(cart, 10, status: 503, milliseconds: 20)
        self.clock.advance(.seconds(4))
        let recent = monitor.recent()
        #expect(recent.seconds == 4)
        let service = try #require(recent.services.first)
        #expect(service.name == "cart" && recent.services.count == 1)
        #expect(service.flow.requestRate == 10 && service.flow.errorRate == 2.5)
        #expect(service.flow.requests == 140 && service.flow.failures == 10)
        // 30 in the bucket 5 ms to 10 ms, 10 in that of 10 ms to 25 ms: only those of the window.
        #expect(service.flow.mean.map { abs($0 - 0.0125) < 1e-9 } == true)
        #expect(service.flow.p50.map { abs($0 - (0.005 + 0.005 * 20 / 30)) < 1e-9 } == true)
        #expect(service.flow.p90.map { abs($0 - (0.01 + 0.015 * 6 / 10)) < 1e-9 } == true)
    }

    @Test("without requests in the window there is no latency, and the service is still known")
    func idle() throws {
        self.record(self.counters("cart"), 5)
        let monitor = self.monitor()
        self.clock.advance(.seconds(1))
        let flow = try #require(monitor.recent().services.first).flow
        #expect(flow.requestRate == 0 && flow.requests == 5)
        #expect(flow.mean == nil && flow.p50 == nil && flow.p90 == nil && flow.p99 == nil)
    }

    @Test("the window is the last ten readings")
    func window() {
        let cart = self.counters("cart")
        let monitor = self.monitor()
        // A hundred in the first second, then one a second.
        self.record(cart, 100)
        for second in 1...20 {
            self.clock.advance(.seconds(1))
            monitor.look()
            self.record(cart, 1)
            let recent = monitor.recent()
            let expected = second < 10 ? Double(second) : 9
            #expect(recent.seconds == expected)
            let requests = second < 10 ? 100 + second : 10
            #expect(recent.services.first?.flow.requestRate == Double(requests) / expected)
        }
    }

    @Test("versions of a service are one, and the busiest service comes first")
    func services() {
        let monitor = self.monitor()
        self.record(self.counters("cart", version: "1"), 3)
        self.record(self.counters("cart", version: "2"), 4)
        self.record(self.counters("stock"), 9)
        self.record(self.counters("a"), 1)
        self.record(self.counters("b"), 1)
        _ = self.counters("never")
        self.clock.advance(.seconds(1))
        let services = monitor.recent().services
        #expect(services.map(\.name) == ["stock", "cart", "a", "b"])
        #expect(services.map(\.flow.requests) == [9, 7, 1, 1])
    }

    @Test("incoming traffic is that of the own service, and of each caller")
    func incoming() throws {
        let monitor = self.monitor()
        self.record(self.metrics.requestCounters(self.metrics.ownLabels), 8, status: 404)
        self.record(self.metrics.callerCounters("shop"), 6)
        self.record(self.metrics.callerCounters("admin"), 2, status: 500)
        _ = self.metrics.callerCounters("never")
        self.clock.advance(.seconds(2))
        let recent = monitor.recent()
        #expect(recent.own.requestRate == 4 && recent.own.errorRate == 4 && recent.services.isEmpty)
        #expect(recent.callers.map(\.name) == ["shop", "admin"])
        #expect(recent.callers.map(\.flow.requestRate) == [3, 1] && recent.callers[1].flow.failures == 2)
    }

    @Test("reasons and answers in place of calls are those of the window")
    func reasons() throws {
        let cart = self.counters("cart")
        self.record(cart, 1)
        cart.record(.circuitOpen)
        cart.fallbacks.add(2)
        let monitor = self.monitor()
        self.clock.advance(.seconds(1))
        #expect(try #require(monitor.recent().services.first).details.reasons.isEmpty)
        cart.record(.circuitOpen)
        cart.record(.circuitOpen)
        cart.record(.upstreamTimeout)
        cart.fallbacks.add(3)
        let recent = monitor.recent()
        #expect(recent.services.first?.details.reasons == ["circuit_open": 2, "upstream_timeout": 1])
        #expect(recent.fallbacks["cart"] == 3)
    }

    @Test("shares are of the requests that a rule took in the window")
    func shares() throws {
        self.inspections.set("cart", hits: [100, 0])
        let monitor = self.monitor()
        self.clock.advance(.seconds(2))
        func targets() throws -> [TrafficDocument.Target] {
            try #require(monitor.recent().services.first?.details.routes.first).targets
        }
        #expect(try targets().map(\.share) == [nil, nil] && targets().map(\.requestRate) == [0, 0])
        self.inspections.set("cart", hits: [106, 2])
        #expect(try targets().map(\.share) == [0.75, 0.25] && targets().map(\.requestRate) == [3, 1])
        #expect(
            try targets().map(\.weight) == [50, 50] && targets().map(\.tags) == [["version": "1"], ["version": "1"]])
    }

    @Test("other rules than before begin at nothing")
    func otherRules() throws {
        self.inspections.set("cart", hits: [100])
        let monitor = self.monitor()
        self.clock.advance(.seconds(1))
        self.inspections.set("cart", hits: [50, 60])
        let targets = try #require(monitor.recent().services.first?.details.routes.first).targets
        #expect(targets.map(\.requestRate) == [50, 60] && targets.first?.share == 50.0 / 110)
        // The same number of targets, counted anew, is no negative rate.
        self.inspections.set("cart", hits: [7])
        #expect(try #require(monitor.recent().services.first?.details.routes.first).targets.map(\.requestRate) == [0])
    }

    @Test("a service that is known and was never called has what is known of it")
    func known() throws {
        let breaker = TrafficDocument.Breaker(
            enabled: true, state: "open", errorPercentage: 60, retryAfter: 3, inFlight: 0, limit: 10)
        self.inspections.set("cart", hits: [0], breaker: breaker)
        let service = try #require(self.monitor().recent().services.first)
        #expect(service.name == "cart" && service.flow.requests == 0 && service.details.breaker?.state == "open")
    }
}
