// SPDX-License-Identifier: Apache-2.0
// request path

import Common
import Proxy

/// Refuses calls of a service beyond so many a second: `ratelimiter-consumer`.
struct RateLimitStage: Stage {
    static let name = "ratelimiter-consumer"

    func onRequest(_ exchange: inout Exchange) -> Verdict {
        RateLimiter.verdict(exchange.target?.policy.limiter, at: exchange.worker.now)
    }
}
