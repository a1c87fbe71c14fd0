// SPDX-License-Identifier: Apache-2.0

import Common
import NIOCore
import TestSupport
import Testing

@testable import Proxy

/// Connections of real sockets that are closed in the very event that has made them.
@Suite(.timeLimit(.minutes(1))) struct ClosedAtOnceTests {
    @Test("the end of such a connection is counted like every other", arguments: [false, true])
    func counted(isHTTP2: Bool) async throws {
        let origin = try await TestOrigin.start { _ in "" }
        let listener = try await TestListener.open(workers: 1)
        let endpoint = try Endpoint("rest://127.0.0.1:\(origin.port)")
        let closed = try await listener.workers.gather { worker -> EventLoopFuture<Void> in
            let closed = worker.eventLoop.makePromise(of: Void.self)
            let key = ConnectionPool.Key(endpoint: ObjectIdentifier(endpoint), service: nil)
            let group = ConnectionPool.Group(key, endpoint, "cart", nil, missing: nil, nil, worker.pool, worker)
            group.count = 1
            worker.event {
                worker.pool.dial(group, isHTTP2 ? .http2 : .http1, ProxySettings()) { result in
                    switch result {
                    case .success(.single(let connection)): connection.close()
                    case .success(.shared(let connection)): connection.retire()
                    case .failure(let error): return closed.fail(error)
                    }
                    closed.succeed(())
                }
            }
            return closed.futureResult
        }
        for future in closed { try await future.get() }
        #expect(await eventually { endpoint.traffic.all.reduce(0) { $0 + $1.connections.current } == 0 })
        try await listener.close()
        await origin.stop()
    }
}
