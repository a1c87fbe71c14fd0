// SPDX-License-Identifier: Apache-2.0
// request path

import Common
import NIOCore
import Proxy

/// Delays and fails calls on purpose: `fault-inject`.
struct FaultStage: Stage {
    static let name = "fault-inject"

    func onRequest(_ exchange: inout Exchange) -> Verdict {
        guard let fault = exchange.target?.policy.fault else { return .proceed }
        let worker = exchange.worker
        if let delay = fault.delay, !exchange.hasDelayed {
            exchange.hasDelayed = true
            if Self.hits(fault.delayPercent, &worker.random) {
                exchange.noted.insert(.delayed)
                return .again(worker.eventLoop.scheduleTask(in: TimeAmount(delay)) {}.futureResult)
            }
        }
        if let status = fault.abortStatus, Self.hits(fault.abortPercent, &worker.random) {
            return .reject(ProxyError(.faultInjected, "injecting abort", status: status))
        }
        return .proceed
    }

    private static func hits(_ percent: Int, _ random: inout FastRandom) -> Bool {
        percent >= 100 || Int.random(in: 0..<100, using: &random) < percent
    }
}
