// SPDX-License-Identifier: Apache-2.0

import Common
import IstioMessages
import SwiftProtobuf

extension HeldCluster {
    /// How an endpoint is chosen: by the first of the policies that is known, where there are any.
    ///
    /// - Source: Envoy's `load_balancing_policy`, which counts more than `lb_policy`.
    static func strategy(_ message: XDSCluster, _ gaps: inout [String]) -> BalancingPolicy.Strategy {
        if message.hasLoadBalancingPolicy {
            let configs = message.loadBalancingPolicy.policies.map(\.typedExtensionConfig)
            if let known = configs.lazy.compactMap({ Self.strategy(of: $0.typedConfig.typeURL) }).first { return known }
            let names = configs.map(\.name).joined(separator: ", ")
            gaps.append("load_balancing_policy names none that is known (\(names)): endpoints are called in turn")
            return .roundRobin
        }
        switch message.lbPolicy {
        case .roundRobin, .clusterProvided, .originalDstLb: return .roundRobin
        case .leastRequest: return .leastRequest
        case .random: return .random
        case .ringHash: return .ringHash
        case .maglev: return .maglev
        default:
            gaps.append("lb_policy \(message.lbPolicy) is unknown: endpoints are called in turn")
            return .roundRobin
        }
    }

    private static func strategy(of typeURL: String) -> BalancingPolicy.Strategy? {
        switch typeURL.split(separator: ".").last {
        case "RoundRobin", "ClusterProvided": .roundRobin
        case "LeastRequest": .leastRequest
        case "Random": .random
        case "RingHash": .ringHash
        case "Maglev": .maglev
        default: nil
        }
    }

    /// What takes the place of the number of retries at a time.
    static func budget(
        _ message: XDSCircuitBreakers.Thresholds.RetryBudget
    ) throws(ResourceMistake) -> ClusterRetryBudget {
        let percent = message.hasBudgetPercent ? message.budgetPercent.value : 20
        guard (0...100).contains(percent) else { throw ResourceMistake("budget_percent \(percent)") }
        let least = message.hasMinRetryConcurrency ? message.minRetryConcurrency.value : 3
        return ClusterRetryBudget(percent: percent, least: Int(least))
    }
}
