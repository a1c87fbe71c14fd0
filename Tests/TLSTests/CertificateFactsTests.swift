// SPDX-License-Identifier: Apache-2.0

import Common
import Foundation
import Logging
import NIOSSL
import TestSupport
import Testing

@testable import TLS

/// What operators are told of certificates.
@Suite struct CertificateFactsTests {
    private static func leaf() throws -> NIOSSLCertificate {
        try NIOSSLCertificate(bytes: TestCertificate.der(TestCertificate.chain).bytes, format: .der)
    }

    @Test("subject, names and times of a certificate")
    func facts() throws {
        let facts = CertificateFacts(try Self.leaf())
        #expect(facts.subject == "mesher-test" && facts.names.isEmpty)
        #expect(facts.notBefore == 946_684_800 && facts.notAfter == TestCertificate.expiry)
    }

    @Test("a certificate that is cut has no common name")
    func cutShort() throws {
        let whole = TestCertificate.der(TestCertificate.chain).bytes
        #expect(CertificateUse.commonName(whole) == "mesher-test")
        for length in 0..<whole.count - 1 { #expect(CertificateUse.commonName(Array(whole.prefix(length))) == nil) }
    }

    @Test("material tells its certificate, and why a newer one is not in use")
    func material() throws {
        let tag = TLSTag("cart.rest.Consumer", .consumer, verifiesPeer: false)
        let material = TLSMaterial(waitingFor: tag, failure: "/c.crt cannot be read")
        #expect(
            material.report("calls of cart by rest", from: "/c.crt")
                == CertificateReport(
                    tag: tag.name, role: "calls of cart by rest", source: "/c.crt", error: "/c.crt cannot be read"))
        try material.renew(with: TLSSecret(chain: TestCertificate.chain, key: TestCertificate.key))
        let expected = CertificateReport(
            tag: tag.name, role: "r", source: "/c.crt", subject: "mesher-test", notBefore: 946_684_800,
            notAfter: TestCertificate.expiry)
        #expect(material.report("r", from: "/c.crt") == expected)
        #expect(throws: ConfigProblem.self) {
            try material.renew(with: TLSSecret(chain: TestCertificate.chain, key: TestCertificate.otherKey))
        }
        var failed = expected
        failed.error = "the key in other key is not that of the certificate in test certificate"
        #expect(material.report("r", from: "/c.crt") == failed)
    }

    // MARK: From files

    /// Runs a test with the paths of a certificate and of a key.
    private static func withFiles(_ body: (_ certificate: String, _ key: String) throws -> Void) throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let (certificate, key) = (folder.appendingPathComponent("c.crt"), folder.appendingPathComponent("c.key"))
        try Data(TestCertificate.chain.bytes).write(to: certificate)
        try Data(TestCertificate.key.bytes).write(to: key)
        try body(certificate.path, key.path)
    }

    @Test("each tag with a certificate tells what it is for")
    func roles() throws {
        try Self.withFiles { certificate, key in
            func tag(_ name: String, _ side: CallSide) -> TLSTag {
                var tag = TLSTag(name, side, verifiesPeer: false)
                (tag.certFile, tag.keyFile) = (certificate, key)
                return tag
            }
            var config = TrafficTLSConfig()
            config.outgoing = tag("mesher.Provider", .provider)
            config.incoming = tag("web.rest.Provider", .provider)
            config.incomingGRPC = config.incoming
            config.consumers = [
                "a.b.rest": tag("a.b.rest.Consumer", .consumer),
                "bare.rest": TLSTag("bare.rest.Consumer", .consumer, verifiesPeer: false),
            ]
            config.allConsumers = ["grpc": tag("grpc.Consumer", .consumer)]
            let reports = try TLSContexts(config).certificates()
            #expect(
                reports.map(\.role) == [
                    "listeners of outgoing requests", "listeners of incoming HTTP and gRPC", "calls of a.b by rest",
                    "calls of all services by grpc",
                ])
            #expect(reports.allSatisfy { $0.source == certificate && $0.subject == "mesher-test" && $0.error == nil })
            config.incomingGRPC = tag("web.grpc.Provider", .provider)
            #expect(
                try TLSContexts(config).certificates().map(\.role)[1...2] == [
                    "listener of incoming HTTP", "listener of incoming gRPC",
                ])
        }
    }

    @Test("the certificate for a server of the control plane is told, and why a newer one is not in use")
    func control() throws {
        try Self.withFiles { certificate, key in
            let plain = try ControlTLS(
                ClientTLSConfig(verifiesPeer: false, caFile: ""), logger: Logger(label: "test"))
            #expect(plain.certificates("registry.Consumer", "r").isEmpty)
            let config = ClientTLSConfig(verifiesPeer: false, caFile: "", certFile: certificate, keyFile: key)
            let tls = try ControlTLS(config, interval: .zero, logger: Logger(label: "test"))
            let report = try #require(tls.certificates("registry.Consumer", "to the registry").first)
            #expect(report.tag == "registry.Consumer" && report.role == "to the registry")
            #expect(report.source == certificate && report.subject == "mesher-test" && report.error == nil)
            try Data(TestCertificate.otherKey.bytes + [10]).write(to: URL(fileURLWithPath: key))
            let old = try #require(tls.certificates("registry.Consumer", "to the registry").first)
            #expect(old.subject == "mesher-test" && old.error?.contains("is not that of the certificate") == true)
        }
    }

    @Test("what waits for its first material has not failed in words")
    func waiting() {
        let material = TLSMaterial(waitingFor: TLSTag("istio", .consumer, verifiesPeer: true))
        #expect(material.hasFailed && material.failure == nil)
    }

    @Test("the identity of a mesh is told as soon as there is one")
    func identity() throws {
        let slot = IdentitySlot()
        #expect(slot.certificates().isEmpty)
        try slot.publish(
            MeshIdentity(
                name: "spiffe://a/b", expiry: Date(timeIntervalSince1970: 9),
                secret: TLSSecret(
                    authorities: TestCertificate.chain, chain: TestCertificate.chain, key: TestCertificate.key)))
        let report = try #require(slot.certificates().first)
        #expect(report.tag == "istio" && report.subject == "mesher-test" && report.notAfter == TestCertificate.expiry)
        #expect(report.source == "the mesh's authority" && report.renews && report.error == nil)
    }
}
