// SPDX-License-Identifier: Apache-2.0

import Common
import Testing

@testable import Mesher

/// What `mesher top` draws.
@Suite struct TopScreenTests {
    private func flow(
        _ rate: Double = 0, errors: Double = 0, _ quantiles: (Double, Double, Double)? = nil
    ) -> TrafficDocument.Flow {
        TrafficDocument.Flow(
            requestRate: rate, errorRate: errors, p50: quantiles?.0, p90: quantiles?.1, mean: nil, p99: quantiles?.2,
            requests: 0, failures: 0)
    }

    private func service(
        _ name: String, _ flow: TrafficDocument.Flow, breaker: String? = nil,
        instances: [(ejected: Bool, up: Bool)] = []
    ) -> TrafficDocument.Service {
        let instances = instances.enumerated().map { index, instance in
            TrafficDocument.Instance(
                id: "\(index)", endpoint: "rest://10.0.0.5:1", version: "1", status: "UP", eligible: instance.up,
                ejected: instance.ejected, ejectedFor: nil, breaker: nil, connections: 0, idle: 0, attempts: 0,
                failures: 0)
        }
        let state = breaker.map {
            TrafficDocument.Breaker(
                enabled: true, state: $0, errorPercentage: 0, retryAfter: nil, inFlight: 0, limit: 0)
        }
        return TrafficDocument.Service(
            name: name, flow: flow, details: .init(reasons: [:], breaker: state, instances: instances, routes: []))
    }

    private func failure(_ method: String, _ service: String, _ path: String) -> TrafficDocument.Failure {
        TrafficDocument.Failure(
            time: 0, direction: "outgoing", service: service, method: method, path: path, status: 503,
            reason: "circuit_open", text: "calls have failed", endpoint: nil, traceId: nil, attempts: 1, milliseconds: 1
        )
    }

    private func document(
        name: String = "web", services: [TrafficDocument.Service] = [], callers: [TrafficDocument.Caller] = [],
        failures: [TrafficDocument.Failure] = [], _ change: (inout TrafficDocument) -> Void = { _ in }
    ) -> TrafficDocument {
        var document = TrafficDocument(
            time: 0, window: 10,
            own: .init(
                name: name, version: "1.0", app: "shop", build: "0.1.0", uptime: 3725, ready: true, missing: [],
                draining: false),
            listeners: [],
            process: .init(
                residentBytes: 40 << 20, clientConnections: 3, upstreamConnections: 2, idleUpstreamConnections: 1,
                loopLag: [0.0001, 0.0042], overload: "normal"),
            registry: nil, incoming: self.flow(), callers: callers, services: services, failures: failures)
        change(&document)
        return document
    }

    private func text(_ document: TrafficDocument, isTerminal: Bool = false) -> String {
        TopScreen(document, "127.0.0.1:30102").text(isTerminal: isTerminal)
    }

    /// The lines without the blanks at their ends.
    private func lines(_ text: String) -> [String] {
        text.split(separator: "\n", omittingEmptySubsequences: false).map { line in
            String(line.reversed().drop { $0 == " " }.reversed())
        }
    }

    @Test("what operators have decided is counted beside what is ejected")
    func operators() {
        var cart = self.service(
            "cart", self.flow(), instances: [(false, true), (false, true), (false, true), (true, true)])
        for (index, order) in [OperatorOrder.disabled, .draining, .disabled].enumerated() {
            cart.details.instances[index].operator = order
        }
        let text = self.text(self.document(services: [cart]))
        #expect(text.contains("4 instances, 1 ejected, 2 disabled, 1 draining\n"))
    }

    @Test("a document as a screen")
    func screen() {
        let document = self.document(
            services: [
                self.service(
                    "cart", self.flow(12.34, errors: 1.2, (0.0015, 0.01, 1.25)), breaker: "closed",
                    instances: [(false, true)]),
                self.service(
                    "stock", self.flow(0.04), breaker: "open", instances: [(true, true), (false, false), (false, true)]),
            ], callers: [.init(name: "shop", flow: self.flow(2, (0.1, 0.2, 0.3)))],
            failures: [self.failure("GET", "cart", "/items?x=1")])
        #expect(
            self.lines(self.text(document)) == [
                "web 1.0  ready  up 1h2m  (127.0.0.1:30102)",
                "memory 40 MiB  clients 3  upstreams 2  loop lag 4.2 ms  overload normal",
                "",
                "CALLED SERVICE     REQ/S     ERR/S     ERR %    P50 ms    P90 ms    P99 ms",
                "cart                12.3       1.2       9.7      1.50     10.00   1250.00  1 instance",
                "stock                0.0       0.0       0.0         -         -         -  "
                    + "3 instances, 1 ejected, 1 down, breaker open",
                "",
                "CALLER     REQ/S     ERR/S     ERR %    P50 ms    P90 ms    P99 ms",
                "shop         2.0       0.0       0.0    100.00    200.00    300.00",
                "",
                "LAST FAILURES",
                "  GET cart/items?x=1  503 circuit_open: calls have failed",
                "",
            ])
    }

    @Test("nothing yet")
    func nothing() {
        #expect(
            self.lines(self.text(self.document())).dropFirst(3) == [
                "CALLED SERVICE     REQ/S     ERR/S     ERR %    P50 ms    P90 ms    P99 ms", "  none yet", "",
            ])
    }

    @Test("a sidecar that is not ready, and one that ends")
    func states() {
        let waiting = self.document { ($0.own.ready, $0.own.missing) = (false, ["listeners", "registry"]) }
        #expect(self.text(waiting).hasPrefix("web 1.0  not ready: listeners, registry  up "))
        let ending = self.document { ($0.own.ready, $0.own.draining) = (false, true) }
        #expect(self.text(ending).hasPrefix("web 1.0  draining  up "))
    }

    @Test(
        "how long it has run",
        arguments: [(0, "0s"), (59.9, "59s"), (60, "1m0s"), (3599, "59m59s"), (3600, "1h0m"), (90_000, "1d1h")])
    func times(uptime: Double, expected: String) {
        #expect(self.text(self.document { $0.own.uptime = uptime }).hasPrefix("web 1.0  ready  up \(expected)  ("))
    }

    @Test("a terminal shows what fails in red from five in a hundred on, and heads in bold")
    func colours() {
        let document = self.document(
            services: [self.service("a", self.flow(100, errors: 4.9)), self.service("b", self.flow(100, errors: 5))])
        let lines = self.text(document, isTerminal: true).split(separator: "\n")
        #expect(lines.filter { $0.hasPrefix("\u{1b}[1mCALLED SERVICE") && $0.hasSuffix("\u{1b}[0m") }.count == 1)
        #expect(lines.contains { $0.hasPrefix("a ") })
        #expect(lines.contains { $0.hasPrefix("\u{1b}[31mb ") && $0.hasSuffix("\u{1b}[0m") })
        #expect(!self.text(document).contains("\u{1b}"))
    }

    @Test("no name drives the terminal", arguments: ["\u{1b}", "\n", "\r", "\u{0}", "\u{7f}", "\u{9b}", "\u{85}"])
    func controls(character: String) {
        let name = "a\(character)[31mb"
        let document = self.document(
            name: name, services: [self.service(name, self.flow())], callers: [.init(name: name, flow: self.flow())],
            failures: [self.failure(name, name, name)])
        let text = self.text(document)
        #expect(!text.replacing("\n", with: "").unicodeScalars.contains { $0.properties.generalCategory == .control })
        #expect(self.lines(text).count == 12 && text.ranges(of: "[31mb").count == 6)
    }

    @Test("long names are cut, and of many rows the first thirty are shown")
    func long() {
        let services = (0..<35).map { self.service("\($0)-" + String(repeating: "x", count: 60), self.flow()) }
        let lines = self.lines(self.text(self.document(services: services)))
        #expect(lines[4].hasPrefix("0-" + String(repeating: "x", count: 38) + "       0.0"))
        #expect(lines.count == 4 + 30 + 1 + 1 && lines[34] == "  and 5 more")
    }

    @Test("a window is not left: names give way to numbers, and what does not fit below is counted")
    func window() {
        let services = (0..<35).map { self.service("\($0)-" + String(repeating: "x", count: 60), self.flow()) }
        let screen = TopScreen(self.document(services: services), "127.0.0.1:30102")
        let lines = self.lines(screen.text(isTerminal: false, window: TopWindow(columns: 80, rows: 20)))
        #expect(lines.count == 20 && lines[19] == "" && lines[18] == "  and 17 more lines")
        #expect(lines[4].hasPrefix("0-" + String(repeating: "x", count: 18) + "       0.0"))
        #expect(lines[3].count == 80)
        let wide = self.lines(screen.text(isTerminal: false, window: TopWindow(columns: 200, rows: 100)))
        #expect(wide == self.lines(screen.text(isTerminal: false)))
        for rows in 1...3 {
            _ = screen.text(isTerminal: true, window: TopWindow(columns: 1, rows: rows))
        }
    }

    private func names(_ document: TrafficDocument, _ keys: String...) -> [String] {
        var view = TopView()
        for each in keys { _ = view.press(Array(each.utf8)) }
        let lines = self.lines(TopScreen(document, "127.0.0.1:30102", view).text(isTerminal: false))
        return lines.dropFirst(4).prefix { !$0.isEmpty }.map { String($0.prefix { $0 != " " }) }
    }

    @Test("rows are in the order of the column that was chosen, which is marked")
    func sorted() {
        let document = self.document(services: [
            self.service("b", self.flow(30, errors: 1, (0.3, 0.4, 0.5))),
            self.service("c", self.flow(20, errors: 9, (0.1, 0.2, 0.9))),
            self.service("a", self.flow(10, errors: 8, (0.2, 0.5, 0.6))),
            self.service("idle", self.flow()),
        ])
        let orders = ["bcai", "cabi", "acbi", "baci", "abci", "cabi", "abci"]
        for (count, order) in orders.enumerated() {
            let found = self.names(document, String(repeating: "s", count: count))
            #expect(found.map { String($0.prefix(1)) }.joined() == order, "\(count)")
        }
        var view = TopView()
        func head() -> String {
            self.lines(TopScreen(document, "x", view).text(isTerminal: false))[3]
        }
        #expect(head() == "CALLED SERVICE    >REQ/S     ERR/S     ERR %    P50 ms    P90 ms    P99 ms")
        for _ in 0..<6 { _ = view.press([UInt8(ascii: "s")]) }
        #expect(head().hasPrefix(">CALLED SERVICE     REQ/S "))
    }

    @Test("a filter is for services, callers and failures")
    func filtered() {
        let document = self.document(
            services: [self.service("cart", self.flow(1)), self.service("stock", self.flow(2))],
            callers: [.init(name: "shop", flow: self.flow(1)), .init(name: "carter", flow: self.flow(1))],
            failures: [self.failure("GET", "stock", "/a"), self.failure("GET", "cart", "/b")])
        var view = TopView()
        _ = view.press(Array("/CAR\r".utf8))
        let text = TopScreen(document, "x", view).text(isTerminal: false)
        #expect(text.contains("\ncart ") && text.contains("\ncarter ") && text.contains("GET cart/b"))
        #expect(!text.contains("stock") && !text.contains("shop "))
        _ = view.press(Array("/none\r".utf8))
        let nothing = self.lines(TopScreen(document, "x", view).text(isTerminal: false))
        #expect(nothing[4] == "  no name like this" && !nothing.contains("LAST FAILURES"))
    }

    @Test("the newest five failures are shown")
    func failures() {
        let failures = (0..<8).map { self.failure("GET", "cart", "/\($0)") }
        let lines = self.lines(self.text(self.document(failures: failures)))
        #expect(lines.filter { $0.hasPrefix("  GET cart/") }.count == 5 && lines[7].hasPrefix("  GET cart/0 "))
    }
}
