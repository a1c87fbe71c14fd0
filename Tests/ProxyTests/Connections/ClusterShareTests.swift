// SPDX-License-Identifier: Apache-2.0

import Common
import NIOCore
import NIOEmbedded
import Testing

@testable import Proxy

/// Connections of a cluster that limits them, and those that wait for one.
@Suite struct ClusterShareTests {
    private static let crowded = ["reply 503 bulkhead_full", "ended"]
    private static let answered = ["response 200 end", "ended"]

    private func answer(_ upstream: FakeUpstream) { upstream.answer(["HTTP/1.1 200 OK"]) }

    @Test("whoever comes beyond the limit waits, in order, and gets the connection that becomes free")
    func inOrder() throws {
        let bench = try ClusterBench("{connections: 1, pending: 2}")
        let clients = ["/1a", "/1b", "/1c"].map { bench.begin($0) }
        #expect(bench.counts == [1, 2])
        // No more may wait, and none is told anything else.
        #expect(bench.begin("/1d").news() == Self.crowded)
        let upstream = bench.loops[0].connect(0)
        for (client, path) in zip(clients, ["/1a", "/1b", "/1c"]) {
            #expect(upstream.news().filter { $0.hasPrefix("request") } == ["request \(path) end"])
            self.answer(upstream)
            #expect(client.news() == Self.answered)
        }
        #expect(bench.counts == [1, 0])
        #expect(bench.loops[0].dialled == ["10.0.0.1"])
        // It is idle, and is used at once.
        bench.begin("/1e")
        #expect(upstream.news() == ["idle", "request /1e end"])
    }

    @Test("a client that leaves gives its place in the queue back")
    func leaving() throws {
        let bench = try ClusterBench("{connections: 1, pending: 1}")
        bench.begin("/1a")
        let second = bench.begin("/1b")
        second.event { $0.clientGone() }
        #expect(bench.counts == [1, 0])
        let third = bench.begin("/1c")
        #expect(third.news() == [] && bench.counts == [1, 1])
        let upstream = bench.loops[0].connect(0)
        self.answer(upstream)
        self.answer(upstream)
        #expect(third.news() == Self.answered && bench.counts == [1, 0])
    }

    @Test("a connection that closes, or is not made, leaves its place to the next one")
    func closing() throws {
        let bench = try ClusterBench("{connections: 1}")
        let clients = ["/1a", "/1b", "/1c"].map { bench.begin($0) }
        bench.loops[0].refuse(0)
        #expect(clients[0].news() == ["reply 502 connect_failed", "ended"])
        #expect(bench.loops[0].dialled.count == 2 && bench.counts == [1, 1])
        bench.loops[0].connect(1).fail()
        #expect(clients[1].news() == ["reply 502 upstream_reset", "ended"])
        #expect(bench.loops[0].dialled.count == 3 && bench.counts == [1, 0])
        let upstream = bench.loops[0].connect(2)
        self.answer(upstream)
        #expect(clients[2].news() == Self.answered)
        upstream.close()
        #expect(bench.counts == [0, 0] && bench.loops[0].worker.pool.count == 0)
        #expect(bench.tickets?.isInUse == false)
    }

    @Test("who gets a connection that is lost, and waits again, waits no longer than one who got none")
    func lost() throws {
        let bench = try ClusterBench("{connections: 1}")
        let clients = ["/1a", "/1b", "/1c"].map { bench.begin($0) }
        let loop = bench.loops[0]
        let upstream = loop.connect(0)
        loop.loop.advanceTime(by: .seconds(20))
        // Its place goes to the second one, which finds it closed, and to the third then.
        upstream.fail()
        let dial = loop.connector.dials[1]
        let dead = FakeUpstream(loop.worker, dial.group)
        dead.isLost = true
        dial.then(.success(.single(dead)))
        loop.worker.event { dead.close() }
        #expect(loop.dialled.count == 3)
        #expect(clients[1].news() == [])
        loop.loop.advanceTime(by: .seconds(9))
        #expect(clients[1].news() == [])
        loop.loop.advanceTime(by: .seconds(2))
        #expect(clients[1].news() == Self.crowded)
    }

    @Test("an idle connection to another endpoint makes room")
    func otherEndpoint() throws {
        let bench = try ClusterBench("{connections: 2}")
        let first = (bench.begin("/1"), bench.begin("/1"))
        let upstreams = [bench.loops[0].connect(0), bench.loops[0].connect(1)]
        self.answer(upstreams[0])
        #expect(first.0.news() == Self.answered)
        let second = bench.begin("/2")
        #expect(upstreams.map(\.isOpen) == [false, true])
        #expect(bench.loops[0].dialled == ["10.0.0.1", "10.0.0.1", "10.0.0.2"])
        let other = bench.loops[0].connect(2)
        self.answer(other)
        #expect(second.news() == Self.answered && bench.counts == [2, 0])
    }

    @Test("an endpoint without a connection comes before others that have one")
    func endpointWithoutAny() throws {
        let bench = try ClusterBench("{connections: 2}")
        bench.begin("/1")
        bench.begin("/2")
        let upstreams = [bench.loops[0].connect(0), bench.loops[0].connect(1)]
        let waiting = [bench.begin("/1a"), bench.begin("/1b"), bench.begin("/3")]
        // The one for the first endpoint serves those that wait there, the other makes room.
        self.answer(upstreams[1])
        #expect(bench.loops[0].dialled == ["10.0.0.1", "10.0.0.2", "10.0.0.3"])
        self.answer(upstreams[0])
        #expect(upstreams[0].news().last == "request /1a end")
        self.answer(bench.loops[0].connect(2))
        #expect(waiting[2].news() == Self.answered)
    }

    @Test("whoever waits in vain is answered within its time, and no instance is blamed")
    func inVain() throws {
        let bench = try ClusterBench("{connections: 1}")
        bench.begin("/1a")
        _ = bench.loops[0].connect(0)
        let second = bench.begin("/1b")
        let limit = ProxySettings().firstByte
        bench.loops[0].loop.advanceTime(by: limit - .milliseconds(1))
        #expect(second.news() == [])
        bench.loops[0].loop.advanceTime(by: .milliseconds(501))
        #expect(second.news() == Self.crowded)
        #expect(bench.counts == [0, 0])
    }

    @Test("nor is one whose connection was begun when most of that time was over")
    func tooLate() throws {
        let bench = try ClusterBench("{connections: 1}")
        bench.begin("/1a")
        let first = bench.loops[0].connect(0)
        let second = bench.begin("/1b")
        bench.loops[0].loop.advanceTime(by: ProxySettings().firstByte - .milliseconds(10))
        first.fail()
        #expect(bench.loops[0].dialled.count == 2 && bench.counts == [1, 0])
        bench.loops[0].loop.advanceTime(by: .milliseconds(510))
        #expect(second.news() == Self.crowded && bench.counts == [1, 0])
        // It is there for the next one.
        let late = bench.loops[0].connect(1)
        let third = bench.begin("/1c")
        self.answer(late)
        #expect(third.news() == Self.answered)
    }

    @Test("a limit that is raised holds from the next request on, for those that wait as well")
    func raised() throws {
        let bench = try ClusterBench("{connections: 1}")
        bench.begin("/1a")
        bench.begin("/1b")
        try bench.configure("{connections: 3}")
        bench.begin("/1c")
        #expect(bench.loops[0].dialled.count == 3 && bench.counts == [3, 0])
    }

    // MARK: HTTP/2

    @Test("streams are shared, connections are counted, and who waits for a stream gets one that ends")
    func streams() throws {
        let bench = try ClusterBench("{connections: 1, pending: 2}", more: ", protocol: http2")
        let clients = ["/1a", "/1b", "/1c"].map { bench.begin($0) }
        #expect(bench.begin("/1d").news() == Self.crowded)
        let shared = bench.loops[0].connectShared(0, most: 1)
        #expect(shared.streams.map { $0.news() } == [["request /1a end"]] && bench.counts == [1, 2])
        self.answer(shared.streams[0])
        #expect(clients[0].news() == Self.answered)
        shared.most = 2
        shared.isAvailable = true
        bench.loops[0].worker.event { shared.group.serveLater() }
        #expect(shared.streams.last?.news() == ["request /1b end"])
        #expect(bench.loops[0].dialled.count == 1 && bench.counts == [1, 1])
        // It takes no more: the next one is for who waits still, as soon as it has left.
        bench.loops[0].worker.event {
            shared.retire()
            bench.loops[0].worker.pool.retired(shared)
        }
        #expect(bench.loops[0].dialled.count == 1)
        bench.loops[0].worker.event { bench.loops[0].worker.pool.closed(shared) }
        #expect(bench.loops[0].dialled.count == 2)
        let other = bench.loops[0].connectShared(1, most: nil)
        #expect(other.streams.map { $0.news() } == [["request /1c end"]] && bench.counts == [1, 0])
    }

    // MARK: Several loops

    @Test("an idle connection of one loop makes room for another loop")
    func idleElsewhere() throws {
        let bench = try ClusterBench("{connections: 2}", loops: 2)
        let first = [bench.begin("/1", on: 0), bench.begin("/1", on: 0)]
        let upstreams = [bench.loops[0].connect(0), bench.loops[0].connect(1)]
        upstreams.forEach(self.answer)
        #expect(first.map { $0.news() } == [Self.answered, Self.answered])
        let second = bench.begin("/1", on: 1)
        #expect(bench.loops[1].dialled == [] && bench.counts == [2, 1])
        bench.settle()
        #expect(upstreams.count(where: \.isOpen) == 1)
        self.answer(bench.loops[1].connect(0))
        #expect(second.news() == Self.answered && bench.counts == [2, 0])
    }

    @Test("no loop keeps all connections for those that wait there, and each gets its turn")
    func busyElsewhere() throws {
        let bench = try ClusterBench("{connections: 1}", loops: 3)
        let clients = (0..<9).map { bench.begin("/1", on: $0 % 3) }
        bench.settle()
        #expect(bench.counts == [1, 8])
        var order: [Int] = []
        var dialled = [0, 0, 0]
        for _ in 0..<30 {
            for loop in 0..<3 where dialled[loop] < bench.loops[loop].connector.dials.count {
                let upstream = bench.loops[loop].connect(dialled[loop])
                dialled[loop] += 1
                order.append(loop)
                self.answer(upstream)
            }
            bench.settle()
        }
        #expect(clients.map { $0.news() }.allSatisfy { $0 == Self.answered })
        #expect(order == [0, 1, 2, 0, 1, 2, 0, 1, 2])
        #expect(bench.counts == [1, 0])
    }

    @Test("a place that was kept for a loop goes on when nobody waits there any more")
    func leftElsewhere() throws {
        let bench = try ClusterBench("{connections: 1}", loops: 2)
        bench.begin("/1", on: 0)
        let second = bench.begin("/1", on: 1)
        bench.settle()
        let third = bench.begin("/1", on: 0)
        self.answer(bench.loops[0].connect(0))
        second.event { $0.clientGone() }
        bench.settle()
        #expect(bench.loops[1].dialled == [])
        self.answer(bench.loops[0].connect(1))
        #expect(third.news() == Self.answered && bench.counts == [1, 0])
    }

    @Test("a shared connection that is never idle is let go for a loop that has none")
    func sharedElsewhere() throws {
        let bench = try ClusterBench("{connections: 1}", loops: 2, more: ", protocol: http2")
        bench.begin("/1", on: 0)
        let shared = bench.loops[0].connectShared(0, most: nil)
        let second = bench.begin("/1", on: 1)
        bench.settle()
        #expect(shared.isRetired && bench.loops[1].dialled == [])
        bench.loops[0].worker.event { bench.loops[0].worker.pool.closed(shared) }
        bench.settle()
        let other = bench.loops[1].connectShared(0, most: nil)
        self.answer(other.streams[0])
        #expect(second.news() == Self.answered)
    }
}
