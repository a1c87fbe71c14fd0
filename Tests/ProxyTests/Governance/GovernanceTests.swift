// SPDX-License-Identifier: Apache-2.0

import Common
import TestSupport
import Testing

@testable import Proxy

/// What governs calls, while event loops go from one set of rules to the next.
@Suite struct GovernanceTests {
    private func rules(_ limit: Int, upon previous: MeshRules? = nil) throws -> MeshRules {
        MeshRules(
            try TestSidecar.config(["cse.isolation.Consumer.maxConcurrentRequests": "\(limit)"]), upon: previous)
    }

    @Test("a loop that is still at older rules changes nothing of what holds")
    func older() throws {
        let governance = Governance()
        let first = try self.rules(5)
        let second = try self.rules(7, upon: first)
        let policy = governance.policy(for: "cart", under: first)
        #expect(policy.circuit.limit == 5)
        let newer = governance.policy(for: "cart", under: second)
        #expect(newer.circuit === policy.circuit && newer.circuit.limit == 7)
        #expect(governance.policy(for: "cart", under: first).resilience.maxConcurrent == 5)
        #expect(newer.circuit.limit == 7)
        #expect(governance.policy(for: "cart", under: second) === newer)
    }
}
