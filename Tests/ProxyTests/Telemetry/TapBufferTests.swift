// SPDX-License-Identifier: Apache-2.0

import Common
import NIOCore
import Testing

@testable import Proxy

/// What watchers get of one event loop's requests.
@Suite struct TapBufferTests {
    /// A loop whose requests are answered at once.
    private final class Loop {
        let bench: Bench
        private var upstream: FakeUpstream?

        init(_ direction: Direction = .outgoing) throws { self.bench = try Bench([:], direction) }

        func ask(_ head: [String] = ["GET /a HTTP/1.1"], status: String = "200 OK") {
            let client = self.bench.begin(head)
            // Afterwards the pool has the connection, for the next one.
            let upstream = self.upstream ?? self.bench.connect()
            self.upstream = upstream
            upstream.answer(["HTTP/1.1 \(status)"])
            #expect(client.news().last == "ended")
        }

        func watch(_ filter: TapFilter) -> TapKey {
            let key = TapKey()
            self.bench.worker.telemetry.begin(TapBuffer(key, filter))
            return key
        }

        func fetch(_ key: TapKey) -> ExchangeRecords { self.bench.worker.telemetry.fetch(key) }

        func paths(_ key: TapKey) -> [String] {
            let portion = self.fetch(key)
            return portion.records.map { portion.string(portion.target($0)) }
        }
    }

    @Test("a watcher gets the requests since it came, each once")
    func watching() throws {
        let loop = try Loop()
        loop.ask(["GET /before HTTP/1.1"])
        let key = loop.watch(try TapFilter())
        #expect(loop.paths(key) == [])
        loop.ask(["GET /one HTTP/1.1"])
        loop.ask(["POST /two HTTP/1.1", "Content-Length: 0"], status: "503 Busy")
        let portion = loop.fetch(key)
        #expect(portion.records.map { portion.string(portion.target($0)) } == ["/one", "/two"])
        #expect(portion.records.map(\.status) == [200, 503] && portion.dropped == 0)
        #expect(portion.records.map { portion.string(portion.method($0)) } == ["GET", "POST"])
        #expect(
            portion.records.map(\.attempts) == [1, 1] && portion.records.map { $0.service?.name } == ["cart", "cart"])
        #expect(portion.records.map { $0.endpoint?.port } == [80, 80])
        #expect(loop.paths(key) == [])
        loop.bench.worker.telemetry.end(key)
        loop.ask(["GET /after HTTP/1.1"])
        #expect(loop.paths(key) == [])
    }

    @Test(
        "a filter takes what it names alone",
        arguments: [
            (nil, nil, nil, ["/a", "/ab/c?x=1", "/b"]), ("cart", nil, nil, ["/a", "/ab/c?x=1", "/b"]),
            ("crat", nil, nil, []), (nil, "5xx", nil, ["/b"]), (nil, "200,404", nil, ["/a", "/ab/c?x=1"]),
            (nil, nil, "/a", ["/a", "/ab/c?x=1"]), (nil, nil, "/ab/c", ["/ab/c?x=1"]), (nil, nil, "/ab/c/d", []),
            ("cart", "4xx", "/ab", ["/ab/c?x=1"]), ("cart", "4xx", "/b", []),
        ] as [(String?, String?, String?, [String])])
    func filters(service: String?, status: String?, path: String?, shown: [String]) throws {
        let loop = try Loop()
        let key = loop.watch(try TapFilter(service: service, status: status, path: path))
        loop.ask()
        loop.ask(["GET /ab/c?x=1 HTTP/1.1"], status: "404 Not Found")
        loop.ask(["GET /b HTTP/1.1"], status: "503 Busy")
        #expect(loop.paths(key) == shown)
    }

    @Test("incoming requests belong to the own service, and to their caller")
    func incoming() throws {
        let loop = try Loop(.incoming)
        var own = try TapFilter(service: "cart")
        let other = loop.watch(own)
        own.isOwnService = true
        let key = loop.watch(own)
        loop.ask()
        #expect(loop.paths(key) == ["/a"] && loop.paths(other) == [])
    }

    @Test("what does not fit is dropped and counted, for each watcher by itself")
    func bounded() throws {
        let loop = try Loop()
        let (slow, narrow) = (loop.watch(try TapFilter()), loop.watch(try TapFilter(status: "4xx")))
        let count = TapBuffer.capacity + 44
        for _ in 0..<count { loop.ask() }
        loop.ask(status: "404 Not Found")
        let portion = loop.fetch(slow)
        #expect(portion.records.count == TapBuffer.capacity && portion.dropped == 45)
        let other = loop.fetch(narrow)
        #expect(other.records.map(\.status) == [404] && other.dropped == 0)
        // There is room again.
        loop.ask()
        let next = loop.fetch(slow)
        #expect(next.records.count == 1 && next.dropped == 0)
    }

    @Test("of a long path the beginning is kept")
    func longPath() throws {
        let loop = try Loop()
        let key = loop.watch(try TapFilter())
        loop.ask(["GET /\(String(repeating: "a", count: 1000)) HTTP/1.1"])
        #expect(loop.paths(key).map(\.count) == [TapBuffer.longestPath])
    }

    @Test("what watchers see is no portion for the others")
    func apart() throws {
        let inbox = Mailbox<ExchangeRecords>("telemetry", capacity: 4, whenFull: .dropNewest)
        let buffer = TelemetryBuffer(inbox, metrics: MetricsRegistry(startTime: 0, own: MetricLabels()))
        let key = TapKey()
        buffer.begin(TapBuffer(key, try TapFilter()))
        let bench = try Bench()
        let client = bench.begin()
        client.event { driver in
            driver.exchange.status = 200
            buffer.ended(driver.exchange, [])
            buffer.ended(driver.exchange, .accessLog)
        }
        buffer.handOver()
        #expect(buffer.fetch(key).records.count == 2)
        #expect(inbox.waiting == 1)
    }
}
