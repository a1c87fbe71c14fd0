// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import Proxy

@Suite struct ActiveFaultsTests {
    @Test("so many have a place, and one is free again when nobody has it any more")
    func places() throws {
        let faults = ActiveFaults()
        var first = faults.take(most: 2)
        let second = faults.take(most: 2)
        #expect(first != nil && second != nil && faults.taken == 2)
        #expect(faults.take(most: 2) == nil && faults.taken == 2)
        first = nil
        #expect(faults.taken == 1)
        withExtendedLifetime((second, faults.take(most: 2))) { #expect(faults.taken == 2) }
        #expect(faults.take(most: 0) == nil)
    }
}
