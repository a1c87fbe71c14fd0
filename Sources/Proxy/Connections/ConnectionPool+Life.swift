// SPDX-License-Identifier: Apache-2.0
// request path

import Common
import NIOCore

extension ConnectionPool.Group {
    /// How long one of its connections may wait for the next request; `nil` when there must be none.
    ///
    /// - Parameter usual: What holds where the cluster does not say it.
    /// - Parameter madeAt: When the connection began.
    /// - Parameter served: How many requests it has had.
    @inline(__always)
    func idleTime(_ usual: TimeAmount, since madeAt: NIODeadline, served: Int) -> TimeAmount? {
        guard let life = self.life else { return usual }
        return self.idleTime(usual, life, since: madeAt, served: served)
    }

    @inline(never)
    private func idleTime(
        _ usual: TimeAmount, _ life: ConnectionLife, since madeAt: NIODeadline, served: Int
    ) -> TimeAmount? {
        if let most = life.requests, served >= most { return nil }
        // Nobody sees to it any more.
        if self.scopes == 0 { return usual }
        let idle = life.idle.map { $0 == .zero ? Self.forever : TimeAmount($0) } ?? usual
        guard let age = life.age else { return idle }
        // Each takes one request, however long it takes to connect.
        let left = max(TimeAmount(age) - (self.worker.now - madeAt), served == 0 ? .milliseconds(1) : .zero)
        return left > .zero ? min(idle, left) : nil
    }

    /// A cluster that has its connections here is gone, or says something else of them.
    ///
    /// Those that are idle may have been meant to wait for long, or for ever.
    func scopeLeft() {
        self.scopes -= 1
        guard self.scopes == 0, self.life?.idle != nil, !self.isForgotten, self.worker.eventLoop.inEventLoop else {
            return
        }
        self.worker.eventLoop.assumeIsolated().execute {
            if self.scopes == 0 { self.worker.event { self.pool.limitIdle(self) } }
        }
    }

    /// As good as for ever.
    private static var forever: TimeAmount { .hours(24 * 365) }
}
