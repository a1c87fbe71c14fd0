// SPDX-License-Identifier: Apache-2.0

import Common
import NIOCore

@testable import Proxy

/// Keeps what was dialled until a test says what becomes of it.
final class FakeConnector: UpstreamConnector {
    struct Dial {
        let group: ConnectionPool.Group
        let kind: ConnectionKind
        let then: (Result<DialledConnection, any Error>) -> Void
    }

    private(set) var dials: [Dial] = []

    func dial(
        _ group: ConnectionPool.Group, _ kind: ConnectionKind, _ worker: Worker, _ settings: ProxySettings,
        then: @escaping (Result<DialledConnection, any Error>) -> Void
    ) {
        self.dials.append(Dial(group: group, kind: kind, then: then))
    }
}

/// A connection that many requests share; its streams are fakes.
final class FakeShared: SharedConnection {
    let group: ConnectionPool.Group
    var isOpen = true
    var isAvailable = true
    var isPending = false
    var isUnused = true
    var hasSettings = true
    private(set) var isGivenUp = false
    var served: Int { self.streams.count }
    private(set) var isRetired = false
    private(set) var isStarted = false
    private(set) var streams: [FakeUpstream] = []
    /// Requests that it takes; no limit when there is none.
    var most: Int?
    private let worker: Worker

    init(_ worker: Worker, _ group: ConnectionPool.Group) {
        self.worker = worker
        self.group = group
    }

    /// A stream by its number; one that nobody uses when there is none.
    func stream(_ index: Int) -> FakeUpstream {
        self.streams.indices.contains(index)
            ? self.streams[index] : FakeUpstream(self.worker, self.group, isStream: true)
    }

    func start() { self.isStarted = true }

    func makeStream() -> any Upstream {
        let stream = FakeUpstream(self.worker, self.group, isStream: true)
        self.streams.append(stream)
        if let most = self.most, self.streams.count >= most { self.isAvailable = false }
        return stream
    }

    func retire() {
        self.isRetired = true
        self.isGivenUp = true
        self.isAvailable = false
        self.isPending = false
    }

    func limitIdle(_ amount: TimeAmount) {}
}
