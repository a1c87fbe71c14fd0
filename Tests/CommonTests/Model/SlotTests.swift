// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import Common

/// The places that services have in arrays of what is known of them.
@Suite struct SlotTests {
    private func service(_ name: String, _ kind: Service.Kind = .service) -> Service {
        Service(name: name, instances: [], ownApp: "", kind: kind)
    }

    @Test("services of one name and kind have one place, others have others")
    func same() {
        let first = self.service("slots.cart")
        #expect(self.service("slots.cart").slot == first.slot)
        let others = [self.service("slots.stock"), self.service("slots.cart", .virtualHost)]
        #expect(Set(others.map(\.slot) + [first.slot]).count == 3)
    }

    @Test("a name keeps its place as long as one of its services is held, also over generations")
    func generations() {
        var held = self.service("slots.long")
        let slot = held.slot
        for number in 0..<100 {
            let other = self.service("slots.other\(number)")
            held = self.service("slots.long")
            #expect(held.slot == slot && other.slot != slot)
        }
    }

    @Test("places are used again: names that come and go need no more than there are at a time")
    func churn() {
        var slots: Set<Int> = []
        for round in 0..<1_000 {
            let services = (0..<3).map { self.service("slots.churn\(round).\($0)") }
            #expect(Set(services.map(\.slot)).count == 3)
            slots.formUnion(services.map(\.slot))
        }
        // Other tests take and give back some meanwhile.
        #expect(slots.count < 1_000)
    }
}
