// SPDX-License-Identifier: Apache-2.0

import Crypto
import FoundationEssentials
import NIOSSL
import SwiftASN1
import TLS
import X509

/// A certificate that a workload wants, and the key that it is for: made anew for each, and nowhere but in memory.
struct CertificateDemand: Sendable {
    /// Why what the authority has sent is of no use.
    struct Useless: Error, Equatable, CustomStringConvertible {
        let description: String
    }

    let name: WorkloadName
    private let key: P256.Signing.PrivateKey

    init(_ name: WorkloadName) {
        self.name = name
        self.key = P256.Signing.PrivateKey()
    }

    /// What is to be signed, PEM: a subject without a name, whose one alternative name therefore is critical.
    ///
    /// - Source: RFC 2986; RFC 5280 §4.2.1.6.
    func request() throws -> String {
        let extensions = try Certificate.Extensions {
            Critical(SubjectAlternativeNames([.uniformResourceIdentifier("\(self.name)")]))
        }
        let request = try CertificateSigningRequest(
            version: .v1, subject: DistinguishedName(), privateKey: Certificate.PrivateKey(self.key),
            attributes: .init([.init(ExtensionRequest(extensions: extensions))]), signatureAlgorithm: .ecdsaWithSHA256)
        return try request.serializeAsPEM().pemString
    }

    /// The identity that a chain makes with the key.
    ///
    /// - Parameter chain: PEM, the own certificate first and the root last.
    /// - Parameter authorities: Further authorities of the mesh, PEM: there are several while one takes over from another.
    /// - Throws: ``Useless`` for another's certificate, one that does not hold now, and one that its root has not signed.
    func identity(_ chain: [String], authorities: [UInt8]) async throws -> MeshIdentity {
        let certificates = CertificateChain.certificates(inPEM: Array(chain.joined(separator: "\n").utf8))
        guard let leaf = certificates.first, let root = certificates.last, certificates.count >= 2 else {
            throw Useless(description: "the authority has sent no certificate with its root")
        }
        guard leaf.publicKey == Certificate.PublicKey(self.key.publicKey) else {
            throw Useless(description: "the certificate is that of another key")
        }
        let (own, wanted) = (CertificateChain(Array(certificates.dropLast())), "\(self.name)")
        if let problem = await own.problem(authorities: [root], accepts: { $0 == wanted }) {
            throw Useless(description: "the certificate does not prove \(wanted): \(problem)")
        }
        let origin = "the mesh's authority"
        let roots = CertificateChain([root] + CertificateChain.certificates(inPEM: authorities).filter { $0 != root })
        return MeshIdentity(
            name: wanted, expiry: leaf.notValidAfter,
            secret: TLSSecret(
                authorities: .init(try roots.pem(), .pem, from: origin),
                chain: .init(try own.pem(), .pem, from: origin),
                key: .init(Array(self.key.pemRepresentation.utf8), .pem, from: origin)))
    }
}

extension CertificateChain {
    /// As files have them.
    fileprivate func pem() throws -> [UInt8] {
        try self.certificates.flatMap { Array("\(try $0.serializeAsPEM().pemString)\n".utf8) }
    }
}
