// SPDX-License-Identifier: Apache-2.0

import Common
import Foundation
import SwiftASN1
import Testing
@_spi(FixedExpiryValidationTime) import X509

@testable import Injector

@Suite("certificates of the injector's own making")
struct OwnCertificatesTests {
    private static let day = TimeInterval(86_400)
    private let start = Date(timeIntervalSince1970: 1_800_000_000)
    private let plan = CertificatePlan(
        service: "svc", namespace: "mesh", authorityLife: .seconds(3600 * 24 * 100),
        certificateLife: .seconds(3600 * 24 * 30))

    private func after(_ days: Double) -> Date { self.start.addingTimeInterval(days * Self.day) }

    private func verify(_ own: OwnCertificates, at now: Date, by authorities: [Certificate]) async -> Bool {
        var verifier = Verifier(rootCertificates: CertificateStore(authorities)) {
            RFC5280Policy(fixedExpiryValidationTime: now)
        }
        let result = await verifier.validate(leaf: own.certificate, intermediates: CertificateStore([]))
        if case .validCertificate = result { return true }
        return false
    }

    @Test("a new certificate is vouched for, says what it is for, and outlives no authority")
    func new() async throws {
        let own = try OwnCertificates(self.plan, at: self.start)
        #expect(await self.verify(own, at: self.start, by: own.authorities))
        #expect(await self.verify(own, at: self.after(29.9), by: own.authorities))
        #expect(await !self.verify(own, at: self.after(30.1), by: own.authorities))
        let names = try #require(try own.certificate.extensions.subjectAlternativeNames)
        #expect(
            Array(names) == [
                .dnsName("svc.mesh.svc"), .dnsName("svc.mesh"), .dnsName("svc"), .dnsName("localhost"),
                .ipAddress(ASN1OctetString(contentBytes: [127, 0, 0, 1])),
                .ipAddress(ASN1OctetString(contentBytes: ArraySlice([UInt8](repeating: 0, count: 15) + [1]))),
            ])
        #expect(own.authorities.count == 1 && own.certificate.notValidBefore < self.start)
        #expect(try own.authority.root.subject != OwnCertificates(self.plan, at: self.start).authority.root.subject)
        let short = CertificatePlan(
            service: "svc", namespace: "mesh", authorityLife: .seconds(60),
            certificateLife: .seconds(3600))
        let capped = try OwnCertificates(short, at: self.start)
        #expect(capped.certificate.notValidAfter == capped.authority.root.notValidAfter)
    }

    @Test("what a Secret keeps is the same when it is read again; half of it is nothing")
    func secret() throws {
        var own = try OwnCertificates(self.plan, at: self.start)
        try own.replaceAuthority(self.plan, at: self.start)
        let data = Dictionary(uniqueKeysWithValues: own.data.map { ($0.0, Array($0.1.utf8)) })
        #expect(data.keys.sorted() == ["ca-next.key", "ca.crt", "ca.key", "tls.crt", "tls.key"])
        let read = try #require(OwnCertificates(data))
        #expect(read.authorities == own.authorities && read.certificate == own.certificate)
        #expect(read.next?.root == own.next?.root && read.authority.root == own.authority.root)
        for name in data.keys where name != "ca-next.key" {
            #expect(OwnCertificates(data.filter { $0.key != name }) == nil, "without \(name)")
            #expect(OwnCertificates(data.merging([name: Array("nonsense".utf8)]) { $1 }) == nil, "\(name)")
        }
        let other = try OwnCertificates(self.plan, at: self.start).data.map { ($0.0, Array($0.1.utf8)) }
        for (name, value) in other { #expect(OwnCertificates(data.merging([name: value]) { $1 }) == nil, "\(name)") }
        #expect(OwnCertificates([:]) == nil)
    }

    @Test("the certificate is renewed when two thirds are over, or when it has other names")
    func renewal() async throws {
        var own = try OwnCertificates(self.plan, at: self.start)
        let first = own.certificate
        #expect(try own.renew(self.plan, at: self.after(19.9), isKnown: true) == [] && own.certificate == first)
        #expect(try own.renew(self.plan, at: self.after(20.1), isKnown: false) == [.certificate])
        #expect(own.certificate != first && own.certificate.publicKey != first.publicKey)
        #expect(await self.verify(own, at: self.after(50), by: own.authorities))
        #expect(try own.renew(self.plan, at: self.after(20.2), isKnown: true) == [])
        let renamed = CertificatePlan(
            service: "other", namespace: "mesh", authorityLife: self.plan.authorityLife,
            certificateLife: self.plan.certificateLife)
        #expect(try own.renew(renamed, at: self.after(20.3), isKnown: true) == [.certificate])
    }

    @Test("another authority is published before it signs, and the old one until it ends")
    func rotation() async throws {
        var own = try OwnCertificates(self.plan, at: self.start)
        let old = own.authority.root
        _ = try own.renew(self.plan, at: self.after(60), isKnown: true)
        let before = own.certificate
        #expect(try own.renew(self.plan, at: self.after(67), isKnown: true) == [.nextAuthority])
        #expect(own.authorities.count == 2 && own.authorities[0] == old && own.certificate == before)
        // As long as it is not known, the old one goes on signing.
        #expect(try own.renew(self.plan, at: self.after(81), isKnown: false) == [.certificate])
        #expect(await self.verify(own, at: self.after(81), by: [old]))
        #expect(try own.renew(self.plan, at: self.after(82), isKnown: true) == [.takeover, .certificate])
        #expect(own.authorities.count == 2 && own.authorities[1] == old && own.next == nil)
        #expect(await self.verify(own, at: self.after(82), by: [own.authority.root]))
        #expect(try own.renew(self.plan, at: self.after(83), isKnown: true) == [])
        #expect(try own.renew(self.plan, at: self.after(100.1), isKnown: true) == [.ended])
        #expect(own.authorities == [own.authority.root])
    }

    @Test("an authority that nobody could replace is used to its end, and then all is new")
    func end() throws {
        var own = try OwnCertificates(self.plan, at: self.start)
        var renewals = 0
        for hour in 0..<(100 * 24)
        where try !own.renew(self.plan, at: self.after(Double(hour) / 24), isKnown: false).isEmpty {
            renewals += 1
        }
        #expect(renewals < 10)
        #expect(try own.renew(self.plan, at: self.after(100.1), isKnown: false) == [.all])
        #expect(own.authorities.count == 1 && own.certificate.notValidAfter > self.after(130))
    }

    @Test("caBundle serves when it has all that are wanted, and nothing that makes no sense or has ended")
    func bundle() throws {
        let own = try OwnCertificates(self.plan, at: self.start)
        let other = try OwnCertificates(self.plan, at: self.after(-99)).authority.root
        func bundle(_ certificates: [Certificate], _ rest: String = "") -> CABundle {
            CABundle(Data((PEM.text(certificates) + rest).utf8).base64EncodedString())
        }
        let root = own.authority.root
        #expect(bundle([root]).serves([root], at: self.start))
        #expect(bundle([other, root]).serves([root], at: self.start))
        #expect(!bundle([other, root]).serves([root], at: self.after(2)), "the other one has ended")
        #expect(!bundle([other]).serves([root], at: self.start))
        #expect(
            !bundle([root], "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").serves(
                [root], at: self.start))
        for text in [nil, "", "%", "AAAA"] { #expect(!CABundle(text).serves([root], at: self.start)) }
        #expect(CABundle(nil).text == "empty" && CABundle("AAAA").text == "nonsense")
        #expect(bundle([root]).text.contains("mesher injector authority"))
    }

    @Test("authorities are known once all of them have been published for some time")
    func board() throws {
        let (board, now) = (AuthorityBoard(), ContinuousClock.now)
        let (one, two) = (
            try OwnCertificates(self.plan, at: self.start).authority.root,
            try OwnCertificates(self.plan, at: self.start).authority.root
        )
        board.want([one])
        let first = board.wanted.version
        board.found(first, isPublished: true, at: now)
        board.found(first, isPublished: true, at: now + .seconds(5))
        #expect(board.isKnown(for: .seconds(10), at: now + .seconds(10)))
        #expect(!board.isKnown(for: .seconds(10), at: now + .seconds(9)))
        board.want([one])
        #expect(board.wanted.version == first)
        board.want([one, two])
        #expect(board.wanted.version != first && !board.isKnown(for: .zero, at: now + .seconds(20)))
        board.found(first, isPublished: true, at: now + .seconds(20))
        #expect(!board.isKnown(for: .zero, at: now + .seconds(20)), "that was said of others")
        board.found(board.wanted.version, isPublished: true, at: now + .seconds(20))
        board.want([two, one])
        #expect(board.isKnown(for: .seconds(1), at: now + .seconds(21)), "they only changed places")
        board.found(board.wanted.version, isPublished: false, at: now + .seconds(22))
        #expect(!board.isKnown(for: .zero, at: now + .seconds(23)))
    }
}
