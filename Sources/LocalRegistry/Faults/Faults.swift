// SPDX-License-Identifier: Apache-2.0

import Common
import Synchronization

/// The faults that tests have asked for.
final class Faults: Sendable {
    private let plan = Mutex(FaultPlan())
    let accounts = Accounts()

    /// Replaces everything that was asked for.
    func set(_ plan: FaultPlan) {
        self.accounts.set(plan.accounts ?? [:], tokenLife: plan.tokenLife?.duration)
        self.plan.withLock { $0 = plan }
    }

    /// What is asked for, with what is left of it and the requests so far.
    var current: FaultPlan { self.plan.withLock { $0 } }

    /// What becomes of a request; it counts as one.
    func take(_ method: String, _ target: String) -> FaultPlan.Rule? {
        self.plan.withLock { plan in
            guard let index = Self.index(of: method, target, in: plan), var rule = plan.rules?[index] else {
                return nil
            }
            if let left = rule.count { rule.count = left - 1 }
            rule.hits = (rule.hits ?? 0) + 1
            plan.rules?[index] = rule
            return rule
        }
    }

    /// What would become of a request.
    func peek(_ method: String, _ target: String) -> FaultPlan.Rule? {
        self.plan.withLock { plan in Self.index(of: method, target, in: plan).flatMap { plan.rules?[$0] } }
    }

    private static func index(of method: String, _ target: String, in plan: FaultPlan) -> Int? {
        plan.rules?.firstIndex { $0.count != 0 && $0.fits(method, target) }
    }
}
