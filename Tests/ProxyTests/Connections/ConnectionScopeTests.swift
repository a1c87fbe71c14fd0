// SPDX-License-Identifier: Apache-2.0

import Common
import TLS
import Testing

@testable import Proxy

/// What a cluster says of the connections to it.
@Suite struct ConnectionScopeTests {
    private static let entries = [
        ClusterEntry("rest://10.0.0.1:80"), ClusterEntry("rest://10.0.0.2:80", isPlain: true),
    ]

    private func scope(
        _ entries: [ClusterEntry] = [ClusterEntry("rest://10.0.0.1:80")], _ tickets: ClusterTickets? = nil,
        _ change: (inout ClusterSettings) -> Void
    ) -> ConnectionScope? {
        var settings = ClusterSettings()
        change(&settings)
        return ConnectionScope(Cluster(name: "c", .fixed(entries), settings: settings), tickets, TLSContexts())
    }

    @Test("there is none for a cluster that says nothing of its connections")
    func nothing() {
        #expect(ConnectionScope(nil, nil, TLSContexts()) == nil)
        #expect(self.scope { $0.maxRequests = 5 } == nil)
        #expect(self.scope(Self.entries) { _ in } != nil)
    }

    @Test("clusters that differ in what they speak, or in what counts them, share no connection")
    func keys() throws {
        let tickets = ClusterTickets()
        let settings: [(inout ClusterSettings) -> Void] = [
            { $0.tls = .off }, { $0.tls = .on }, { $0.tls = .tag("a") }, { $0.tls = .tag("b") },
            { ($0.tls, $0.serverName) = (.tag("a"), "x") }, { ($0.tls, $0.serverName) = (.tag("a"), "y") },
            { $0.maxConnections = 5 },
        ]
        let keys = try settings.map { try #require(self.scope([], tickets, $0)).key(of: 0, isHTTP2: false) }
        #expect(Set(keys).count == settings.count)
        let again = try settings.map { try #require(self.scope([], tickets, $0)).key(of: 0, isHTTP2: false) }
        #expect(again == keys)
        // Another limit is the same connections.
        #expect(try #require(self.scope([], tickets) { $0.maxConnections = 6 }).key(of: 0, isHTTP2: false) == keys[6])
        #expect(
            try #require(self.scope([], ClusterTickets()) { $0.maxConnections = 5 }).key(of: 0, isHTTP2: false)
                != keys[6])
    }

    @Test("an endpoint may do without TLS, and where it has to be there and is not something is missing")
    func endpoints() throws {
        let scope = try #require(self.scope(Self.entries) { $0.tls = .tag("far.rest.Consumer") })
        let found = (0..<2).map { scope.tls(scope.key(of: $0, isHTTP2: false), usual: nil, tag: "usual").missing }
        #expect(found == ["far.rest.Consumer", nil])
        let on = try #require(self.scope { $0.tls = .on })
        #expect(on.tls(on.key(of: 0, isHTTP2: false), usual: nil, tag: "usual").missing == "usual")
        let limited = try #require(self.scope([], ClusterTickets()) { $0.maxConnections = 5 })
        #expect(limited.tls(limited.key(of: 0, isHTTP2: false), usual: nil, tag: "usual").missing == nil)
    }
}
