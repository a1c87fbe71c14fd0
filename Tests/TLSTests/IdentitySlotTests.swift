// SPDX-License-Identifier: Apache-2.0

import Common
import Foundation
import TestSupport
import Testing

@testable import TLS

@Suite("the identity in use")
struct IdentitySlotTests {
    private let tag = TLSTag("mesh", .consumer, verifiesPeer: true)

    private func identity(_ name: String, key: TLSSecret.Part = TestCertificate.key) -> MeshIdentity {
        MeshIdentity(
            name: name, expiry: Date(timeIntervalSince1970: TimeInterval(TestCertificate.expiry)),
            secret: TLSSecret(authorities: TestCertificate.chain, chain: TestCertificate.chain, key: key))
    }

    @Test("material waits for the first identity, and is renewed by each later one")
    func follows() throws {
        let slot = IdentitySlot()
        let early = slot.material(self.tag)
        #expect(slot.current == nil)
        #expect(early.context(.either) == nil)
        try slot.publish(self.identity("a"))
        let first = try #require(early.context(.either))
        #expect(early.expiry == TestCertificate.expiry)
        let late = slot.material(self.tag)
        #expect(late.context(.http1) != nil)
        try slot.publish(self.identity("b"))
        #expect(slot.current?.name == "b")
        #expect(early.context(.either) !== first)
    }

    @Test("an identity that is of no use leaves the old one in its place, everywhere")
    func useless() throws {
        let slot = IdentitySlot()
        let material = slot.material(self.tag)
        try slot.publish(self.identity("a"))
        let first = try #require(material.context(.either))
        #expect(throws: ConfigProblem.self) { try slot.publish(self.identity("b", key: TestCertificate.otherKey)) }
        #expect(slot.current?.name == "a")
        #expect(material.context(.either) === first)
        #expect(!material.hasFailed)
    }

    @Test("what nobody holds is not renewed")
    func forgets() throws {
        let slot = IdentitySlot()
        weak var material: TLSMaterial?
        do {
            let held = slot.material(self.tag)
            material = held
            #expect(material != nil)
            _ = held
        }
        #expect(material == nil)
        try slot.publish(self.identity("a"))
        #expect(slot.current?.name == "a")
    }
}
