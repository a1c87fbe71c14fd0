// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// A value for each event loop, made when that loop asks first, and all of them for whoever reads.
///
/// The loops ask when they meet something new, never per request. What a shard holds must be readable from any thread,
/// such as a ``Counter``.
package final class Sharded<Shard: Sendable>: Sendable {
    private let shards = Mutex<[Int: Shard]>([:])
    private let make: @Sendable () -> Shard

    /// Without shards.
    package init(_ make: @escaping @Sendable () -> Shard) { self.make = make }

    /// The shard of one loop.
    ///
    /// - Parameter loop: Its number, from 0 on.
    package func shard(of loop: Int) -> Shard {
        self.shards.withLock { shards in
            if let shard = shards[loop] { return shard }
            let shard = self.make()
            shards[loop] = shard
            return shard
        }
    }

    /// The shards that there are, in no order.
    package var all: [Shard] { self.shards.withLock { Array($0.values) } }
}

/// What one event loop has sent to one endpoint, and how many connections it has there.
package final class EndpointShard: Sendable {
    /// Requests sent, each attempt for itself.
    package let attempts = Counter()
    /// Attempts that failed.
    package let failures = Counter()
    /// Connections: idle, busy and connecting.
    package let connections = Counter()
    /// Connections that wait for a request.
    package let idle = Counter()

    /// Nothing yet.
    package init() {}
}
