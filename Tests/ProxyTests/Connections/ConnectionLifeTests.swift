// SPDX-License-Identifier: Apache-2.0

import Common
import NIOCore
import NIOEmbedded
import TLS
import Testing

@testable import Proxy

/// How long the connections of a cluster are used, and what is spoken on them.
@Suite struct ConnectionLifeTests {
    private func answer(_ upstream: FakeUpstream) { upstream.answer(["HTTP/1.1 200 OK"]) }

    @Test("a connection that has had its requests is closed, and counted", arguments: ["{}", "{connections: 9}"])
    func requests(limits: String) throws {
        let bench = try ClusterBench(limits, more: ", connections: {requests: 2}")
        bench.begin()
        let upstream = bench.loops[0].connect(0)
        self.answer(upstream)
        bench.begin()
        #expect(bench.loops[0].dialled.count == 1)
        self.answer(upstream)
        #expect(!upstream.isOpen)
        #expect(bench.loops[0].hits(.connectionLife) == 1)
        bench.begin()
        #expect(bench.loops[0].dialled.count == 2)
    }

    @Test("whoever waits for a place gets that of a connection that has had its requests")
    func waiting() throws {
        let bench = try ClusterBench("{connections: 1}", more: ", connections: {requests: 1}")
        let clients = [bench.begin(), bench.begin()]
        self.answer(bench.loops[0].connect(0))
        self.answer(bench.loops[0].connect(1))
        #expect(clients.map(\.ends) == [1, 1])
        #expect(bench.counts == [0, 0])
    }

    @Test("a connection waits no longer than its age allows, and takes no request after that")
    func age() throws {
        let bench = try ClusterBench("{}", more: ", connections: {age: 10s}")
        bench.begin()
        let upstream = bench.loops[0].connect(0)
        bench.loops[0].loop.advanceTime(by: .seconds(4))
        self.answer(upstream)
        #expect(upstream.idleLimit == .seconds(6))
        bench.begin()
        bench.loops[0].loop.advanceTime(by: .seconds(6))
        self.answer(upstream)
        #expect(!upstream.isOpen)
    }

    @Test("a cluster says how long a connection waits; zero is for ever", arguments: [("3s", 3), ("0", 31_536_000)])
    func idle(text: String, seconds: Int64) throws {
        let bench = try ClusterBench("{}", more: ", connections: {idle: \(text)}")
        bench.begin()
        let upstream = bench.loops[0].connect(0)
        self.answer(upstream)
        #expect(upstream.idleLimit == .seconds(seconds))
    }

    @Test(
        "what is said of idle connections holds when the listener's time changes, until the cluster says something else"
    )
    func idleOfChangedClusters() throws {
        let bench = try ClusterBench("{}", more: ", connections: {idle: 60s}")
        let loop = bench.loops[0]
        bench.begin()
        let upstream = loop.connect(0)
        self.answer(upstream)
        loop.worker.apply(ProxySettings())
        #expect(upstream.idleLimit == .seconds(60))
        try bench.configure("{}", more: ", connections: {idle: 0s}")
        bench.begin()
        bench.settle()
        #expect(loop.dialled.count == 2 && upstream.idleLimit == .seconds(15))
    }

    @Test("a connection whose age is over before it is made takes one request")
    func oldAtOnce() throws {
        let bench = try ClusterBench("{}", more: ", protocol: http2, connections: {age: 10us}")
        let client = bench.begin()
        bench.loops[0].loop.advanceTime(by: .seconds(1))
        let shared = bench.loops[0].connectShared(0, most: 1)
        shared.stream(0).answer(["HTTP/1.1 200 OK"])
        #expect(client.ends == 1 && bench.loops[0].dialled.count == 1)
    }

    @Test("requests have what holds now")
    func changes() throws {
        let bench = try ClusterBench("{connections: 9}")
        bench.begin()
        let upstream = bench.loops[0].connect(0)
        self.answer(upstream)
        try bench.configure("{connections: 9}", more: ", connections: {requests: 1}")
        bench.begin()
        self.answer(bench.loops[0].connect(1))
        bench.begin()
        #expect(bench.loops[0].dialled.count == 3)
    }

    @Test("HTTP/2 is spoken for requests that came by it, where a cluster follows its clients")
    func protocols() throws {
        let bench = try ClusterBench("{connections: 9}", more: ", protocol: client")
        bench.begin()
        bench.begin(isHTTP2: true)
        let dials = bench.loops[0].connector.dials
        #expect(dials.map(\.group.isStreamsOnly) == [false, true])
        let shared = bench.loops[0].connectShared(1, most: nil)
        self.answer(bench.loops[0].connect(0))
        // Each has its own kind.
        bench.begin(isHTTP2: true)
        bench.begin()
        #expect(shared.streams.count == 2)
        #expect(bench.loops[0].dialled.count == 2)
    }

    @Test("calls that find no room on connections of one request each do not wait for each other's connection")
    func streamsOfTheirOwn() throws {
        let bench = try ClusterBench("{}", more: ", protocol: http2, connections: {requests: 2}")
        for _ in 0..<5 { bench.begin() }
        #expect(bench.loops[0].dialled.count == 3)
        let limited = try ClusterBench("{connections: 2}", more: ", protocol: http2, connections: {requests: 1}")
        for _ in 0..<5 { limited.begin() }
        #expect(limited.loops[0].dialled.count == 2 && limited.counts == [2, 4])
    }

    @Test("HTTP/1.1 stays HTTP/1.1 where a cluster follows its clients, whatever TLS would agree on")
    func plainOverTLS() throws {
        let scope = try #require(
            ConnectionScope(
                Cluster(
                    name: "c", .fixed([ClusterEntry("rest://10.0.0.1:80")]),
                    settings: {
                        var settings = ClusterSettings()
                        settings.followsClient = true
                        return settings
                    }()), nil, TLSContexts()))
        #expect([false, true].map { scope.key(of: 0, isHTTP2: $0).isHTTP2 } == [false, true])
    }

    @Test("connections that were forgotten are not found again")
    func forgotten() throws {
        let bench = try ClusterBench("{connections: 9}")
        bench.begin()
        let upstream = bench.loops[0].connect(0)
        self.answer(upstream)
        let group = bench.loops[0].connector.dials[0].group
        #expect(bench.loops[0].worker.pool.idleCount == 1)
        upstream.close()
        #expect(group.isForgotten)
        bench.begin()
        let other = bench.loops[0].connector.dials[1].group
        #expect(other !== group)
        #expect(bench.loops[0].worker.pool.groups[other.key] === other)
    }
}
