// SPDX-License-Identifier: Apache-2.0

import Common
import NIOCore
import Testing

@testable import Proxy

/// Connections that many requests share.
@Suite struct SharedPoolTests {
    private static let failed = ["reply 502 connect_failed", "ended"]
    private static let endpoints = ["grpc://10.0.0.1:80"]

    private func answer(_ stream: FakeUpstream?, _ client: FakeClient) {
        stream?.answer(["HTTP/1.1 200 OK"])
        #expect(client.news() == ["response 200 end", "ended"])
    }

    @Test("one connection for all that wait, in their order")
    func inOrder() throws {
        let bench = try Bench(endpoints: Self.endpoints)
        let clients = (0..<3).map { bench.begin(["GET /\($0) HTTP/1.1"]) }
        #expect(bench.connector.dials.count == 1)
        #expect(bench.worker.pool.waitingCount == 3)
        let shared = bench.connectShared()
        #expect(shared.isStarted)
        #expect(shared.streams.map { $0.news() } == (0..<3).map { ["request /\($0) end"] })
        #expect(bench.worker.pool.waitingCount == 0)
        for (stream, client) in zip(shared.streams, clients) { self.answer(stream, client) }
    }

    @Test("those that wait and whose ticket is over are passed over")
    func ticketsThatAreOver() throws {
        let bench = try Bench(endpoints: Self.endpoints)
        let clients = (0..<4).map { bench.begin(["GET /\($0) HTTP/1.1"]) }
        clients[0].event { $0.clientGone() }
        clients[2].event { $0.clientGone() }
        #expect(bench.worker.pool.waitingCount == 2)
        let shared = bench.connectShared { $0.most = 1 }
        #expect(shared.streams.map { $0.news() } == [["request /1 end"]])
        #expect(bench.worker.pool.waitingCount == 1)
        // A second connection was dialled for whoever waits still.
        #expect(bench.connector.dials.count == 2)
        shared.most = nil
        shared.isAvailable = true
        bench.worker.event { bench.worker.pool.settingsReceived(shared) }
        #expect(shared.streams.map { $0.news() } == [[], ["request /3 end"]])
    }

    @Test("nobody dials for those alone whose ticket is over")
    func allOver() throws {
        let bench = try Bench(endpoints: Self.endpoints)
        for client in [bench.begin(), bench.begin()] { client.event { $0.clientGone() } }
        let shared = bench.connectShared { $0.isAvailable = false }
        #expect(shared.streams.isEmpty)
        #expect(bench.connector.dials.count == 1)
    }

    @Test("a failure to connect is told to everybody who waits, once")
    func connectFails() throws {
        let bench = try Bench(endpoints: Self.endpoints)
        let clients = (0..<3).map { _ in bench.begin() }
        clients[1].event { $0.clientGone() }
        _ = clients[1].news()
        bench.refuse()
        #expect(clients.map { $0.news() } == [Self.failed, [], Self.failed])
        #expect(bench.worker.pool.count == 0)
        bench.begin()
        #expect(bench.connector.dials.count == 2)
        #expect(bench.connector.dials[1].group !== bench.connector.dials[0].group)
    }

    @Test("those that try again when it fails wait for the next connection together")
    func triedAgain() throws {
        let bench = try Bench(endpoints: Self.endpoints, waits: [.zero, .zero])
        let clients = (0..<2).map { _ in bench.begin() }
        bench.refuse()
        #expect(clients.map { $0.news() } == [[], []])
        #expect(bench.connector.dials.count == 2)
        #expect(bench.worker.pool.count == 1)
        let shared = bench.connectShared()
        #expect(shared.streams.count == 2)
        for (stream, client) in zip(shared.streams, clients) { self.answer(stream, client) }
    }

    @Test("others wait while a connection has not said how much it takes, and no longer")
    func pending() throws {
        let bench = try Bench(endpoints: Self.endpoints)
        bench.begin()
        let shared = bench.connectShared { shared in
            shared.most = 1
            shared.isPending = true
            shared.hasSettings = false
        }
        let client = bench.begin()
        #expect(bench.connector.dials.count == 1)
        shared.isPending = false
        bench.worker.event { bench.worker.pool.settingsReceived(shared) }
        #expect(bench.connector.dials.count == 2)
        let other = bench.connectShared()
        self.answer(other.streams.first, client)
    }

    @Test("a connection that takes no more requests is not chosen, and who waited for it waits for another one")
    func retired() throws {
        let bench = try Bench(endpoints: Self.endpoints)
        let first = bench.begin()
        let shared = bench.connectShared { shared in
            shared.most = 1
            shared.isPending = true
        }
        let second = bench.begin()
        // GOAWAY: what is under way on it goes on.
        bench.worker.event {
            shared.retire()
            bench.worker.pool.retired(shared)
        }
        #expect(bench.connector.dials.count == 2)
        self.answer(shared.streams.first, first)
        let other = bench.connectShared()
        self.answer(other.streams.first, second)
        let third = bench.begin()
        #expect(shared.streams.count == 1)
        self.answer(other.streams.last, third)
        #expect(bench.worker.pool.count == 2)
        bench.worker.event { bench.worker.pool.closed(shared) }
        #expect(bench.worker.pool.count == 1)
    }

    @Test("one that has ended without a word is remembered, until one says its settings")
    func silent() throws {
        let bench = try Bench(endpoints: Self.endpoints)
        bench.begin()
        let shared = bench.connectShared { $0.hasSettings = false }
        #expect(!shared.group.hasBeenSilent)
        bench.worker.event { bench.worker.pool.retired(shared) }
        #expect(shared.group.hasBeenSilent)
        bench.begin()
        let other = bench.connectShared()
        #expect(other.group === shared.group)
        bench.worker.event { bench.worker.pool.settingsReceived(other) }
        #expect(!shared.group.hasBeenSilent)
    }

    @Test("gRPC over a connection that has not agreed on HTTP/2 fails, and the connection is closed")
    func single() throws {
        let bench = try Bench(endpoints: Self.endpoints)
        let clients = [bench.begin(), bench.begin()]
        let upstream = bench.connect()
        #expect(clients.map { $0.news() } == [Self.failed, Self.failed])
        #expect(!upstream.isOpen)
        #expect(upstream.news() == [])
        #expect(bench.worker.pool.idleCount == 0)
        #expect(bench.worker.pool.count == 0)
    }

    @Test("a connection that was closed before anybody could use it fails those that wait")
    func closedAlready() throws {
        let bench = try Bench(endpoints: Self.endpoints)
        let clients = [bench.begin(), bench.begin()]
        let shared = bench.connectShared { shared in
            shared.isOpen = false
            shared.isAvailable = false
            bench.worker.event { bench.worker.pool.closed(shared) }
        }
        #expect(clients.map { $0.news() } == [Self.failed, Self.failed])
        #expect(!shared.isStarted)
        #expect(shared.streams.isEmpty)
        #expect(bench.worker.pool.count == 0)
        bench.begin()
        #expect(bench.connector.dials.count == 2)
        #expect(bench.connector.dials[1].group !== bench.connector.dials[0].group)
    }

    @Test("at a stop, connections on which nothing is in flight retire")
    func stop() throws {
        let bench = try Bench(endpoints: Self.endpoints)
        bench.begin()
        let shared = bench.connectShared { $0.isUnused = false }
        bench.worker.event { bench.worker.pool.limitIdle(to: 0) }
        #expect(!shared.isRetired)
        shared.isUnused = true
        bench.worker.event { bench.worker.pool.limitIdle(to: 0) }
        #expect(shared.isRetired)
    }
}
