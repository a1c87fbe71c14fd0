// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// What one event loop says of itself, once a second.
package struct LoopReport: Sendable {
    /// How late the loop came to a timer, at most, in the second before, in seconds: what requests wait when it is busy.
    package var lag = 0.0
    /// Client connections.
    package var clientConnections = 0
    /// Those of them that speak HTTP/2.
    package var http2Connections = 0
    /// Connections to upstreams: idle, busy and connecting.
    package var upstreamConnections = 0
    /// Those of them that wait for a request.
    package var idleUpstreamConnections = 0
    /// Requests that wait for the registry.
    package var waiting = 0

    /// Nothing yet.
    package init() {}
}

/// Where one event loop leaves its newest report.
package final class LoopSlot: Sendable {
    private let report = Mutex(LoopReport())

    /// Empty.
    package init() {}

    /// Leaves a report.
    package func put(_ report: LoopReport) { self.report.withLock { $0 = report } }

    /// The newest report.
    package var current: LoopReport { self.report.withLock { $0 } }
}
