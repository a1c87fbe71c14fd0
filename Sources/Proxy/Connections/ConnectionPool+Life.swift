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
        let idle = life.idle.map { $0 == .zero ? Self.forever : TimeAmount($0) } ?? usual
        guard let age = life.age else { return idle }
        let left = TimeAmount(age) - (self.worker.now - madeAt)
        return left > .zero ? min(idle, left) : nil
    }

    /// As good as for ever.
    private static var forever: TimeAmount { .hours(24 * 365) }
}
