// SPDX-License-Identifier: Apache-2.0

import Common
import Crypto
import Foundation
import SwiftASN1
import TLS
import TestSupport
import Testing
import X509

@testable import RegistryBridge

@Suite("the identity in a mesh")
struct IdentityTests {
    /// An authority for tests: its own root.
    private struct Authority {
        let key = Certificate.PrivateKey(P256.Signing.PrivateKey())
        let root: Certificate

        init() throws {
            let name = try DistinguishedName { CommonName("root") }
            self.root = try Self.certificate(
                self.key.publicKey, name, signer: (name, self.key), life: 3600,
                try Certificate.Extensions { Critical(BasicConstraints.isCertificateAuthority(maxPathLength: nil)) })
        }

        func sign(_ key: Certificate.PublicKey, _ uris: [String], life: TimeInterval = 600) throws -> String {
            let certificate = try Self.certificate(
                key, DistinguishedName(), signer: (self.root.subject, self.key), life: life,
                try Certificate.Extensions {
                    Critical(SubjectAlternativeNames(uris.map { .uniformResourceIdentifier($0) }))
                })
            return try certificate.serializeAsPEM().pemString
        }

        var pem: String { get throws { try self.root.serializeAsPEM().pemString } }

        private static func certificate(
            _ key: Certificate.PublicKey, _ subject: DistinguishedName,
            signer: (name: DistinguishedName, key: Certificate.PrivateKey), life: TimeInterval,
            _ extensions: Certificate.Extensions
        ) throws -> Certificate {
            try Certificate(
                version: .v3, serialNumber: .init(), publicKey: key, notValidBefore: Date(timeIntervalSinceNow: -1000),
                notValidAfter: Date(timeIntervalSinceNow: life), issuer: signer.name, subject: subject,
                signatureAlgorithm: .ecdsaWithSHA256, extensions: extensions, issuerPrivateKey: signer.key)
        }
    }

    private let name = WorkloadName(trustDomain: "cluster.local", namespace: "shop", serviceAccount: "web")

    @Test("a request names the workload, critically, and is signed by the key that it is for")
    func request() throws {
        let request = try CertificateSigningRequest(pemEncoded: CertificateDemand(self.name).request())
        #expect(request.publicKey.isValidSignature(request.signature, for: request))
        #expect(request.subject.isEmpty)
        let extensions = try #require(try request.attributes.extensionRequest).extensions
        let names = try #require(try extensions.subjectAlternativeNames)
        #expect(Array(names) == [.uniformResourceIdentifier("spiffe://cluster.local/ns/shop/sa/web")])
        #expect(extensions[oid: .X509ExtensionID.subjectAlternativeName]?.critical == true)
    }

    @Test("the answer becomes an identity, which TLS can be made of; each demand has a key of its own")
    func identity() async throws {
        let (authority, other, demand) = (try Authority(), try Authority(), CertificateDemand(self.name))
        let request = try CertificateSigningRequest(pemEncoded: demand.request())
        let chain = [try authority.sign(request.publicKey, ["\(self.name)"]), try authority.pem]
        let identity = try await demand.identity(chain, authorities: Array((try authority.pem + other.pem).utf8))
        #expect(identity.name == "spiffe://cluster.local/ns/shop/sa/web")
        #expect(abs(identity.expiry.timeIntervalSinceNow - 600) < 30)
        func count(_ part: TLSSecret.Part?) -> Int { CertificateChain.certificates(inPEM: part?.bytes ?? []).count }
        #expect(count(identity.secret.authorities) == 2)
        #expect(count(identity.secret.chain) == 1)
        let slot = IdentitySlot()
        try slot.publish(identity)
        #expect(slot.material(TLSTag("test", .consumer, verifiesPeer: true)).context(.http2) != nil)
        await #expect(throws: CertificateDemand.Useless.self) {
            try await CertificateDemand(self.name).identity(chain, authorities: [])
        }
    }

    @Test("what does not prove the name now is of no use")
    func useless() async throws {
        let (authority, other, demand) = (try Authority(), try Authority(), CertificateDemand(self.name))
        let key = try CertificateSigningRequest(pemEncoded: demand.request()).publicKey
        let (name, root) = ("\(self.name)", try authority.pem)
        let good = try authority.sign(key, [name])
        let cases: [(String, [String])] = [
            ("no certificate with its root", []), ("no certificate with its root", [good]),
            ("no certificate with its root", ["nonsense", root]), ("another key", [root, good]),
            ("does not prove", [good, try other.pem]),
            ("does not prove", [try authority.sign(key, ["\(name)-other"]), root]),
            ("does not prove", [try authority.sign(key, [name, "spiffe://a/ns/b/sa/c"]), root]),
            ("does not prove", [try authority.sign(key, []), root]),
            ("does not prove", [try authority.sign(key, [name], life: -10), root]),
        ]
        for (words, chain) in cases {
            do {
                _ = try await demand.identity(chain, authorities: [])
                Issue.record("taken: \(words)")
            } catch {
                #expect("\(error)".contains(words))
            }
        }
    }

    @Test(
        "a token says which account it is of",
        arguments: [
            (#"{"sub":"system:serviceaccount:shop:web"}"#, "web"),
            (#"{"sub":"x","kubernetes.io":{"namespace":"a","serviceaccount":{"name":"web2","uid":"1"}}}"#, "web2"),
            (#"{"sub":"user"}"#, nil), (#"{}"#, nil), ("nonsense", nil),
            (#"{"sub":"system:serviceaccount:shop:"}"#, nil),
        ])
    func token(claims: String, account: String?) {
        let body = Data(claims.utf8).base64EncodedString().replacing("+", with: "-").replacing("/", with: "_")
            .replacing("=", with: "")
        #expect(AccountToken("e30.\(body).c2ln")?.serviceAccount == account)
        #expect(AccountToken(body) == nil)
    }

    @Test("a certificate is renewed at about half of what is left of its life")
    func pause() {
        let now = Date(timeIntervalSince1970: 1000)
        func pause(_ life: TimeInterval, _ chance: Double) -> Duration {
            IdentityComponent.pause(until: now + life, at: now, chance: chance)
        }
        #expect(pause(1000, 0) == .seconds(450))
        #expect(pause(1000, 1) >= .seconds(549) && pause(1000, 1) <= .seconds(551))
        #expect(pause(0.5, 0) == .seconds(1))
        #expect(pause(-100, 0) == .seconds(1))
    }
}
