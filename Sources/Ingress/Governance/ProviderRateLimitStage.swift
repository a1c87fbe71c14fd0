// SPDX-License-Identifier: Apache-2.0
// request path

import Common
import Proxy

/// Refuses calls of the local application beyond so many a second for each caller: `ratelimiter-provider`.
struct ProviderRateLimitStage: Stage {
    static let name = "ratelimiter-provider"

    let policy: ProviderPolicy

    func onRequest(_ exchange: inout Exchange) -> Verdict {
        guard self.policy.hasLimits else { return .proceed }
        let source = exchange.resolveSource().service
        return RateLimiter.verdict(self.policy.limiter(for: source), at: exchange.worker.now)
    }
}
