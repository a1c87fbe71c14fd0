// SPDX-License-Identifier: Apache-2.0
// request path

import Common

extension Exchange {
    /// What every request goes through between its codec and the first stage, whatever the protocol.
    ///
    /// - Returns: The answer to a request that no stage is to see.
    mutating func preflight(_ plan: TrafficPlan) -> LocalReply? {
        if self.worker.overload.refusesRequests { return LocalReply(ProxyError(.overloaded)) }
        // CONNECT names its target as an absolute one does.
        if self.request.method == .connect { self.request.flags.insert(.absoluteTarget) }
        if let reply = self.takeFirstReply(direction: plan.direction) { return reply }
        self.prepareForForwarding(byHost: plan.routesByHost)
        return nil
    }
}
