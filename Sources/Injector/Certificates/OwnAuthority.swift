// SPDX-License-Identifier: Apache-2.0

import Crypto
import FoundationEssentials
import SwiftASN1
import X509

/// An authority that vouches for the webhook, and for nothing else: its root, and the key that signs.
struct OwnAuthority: Sendable {
    let root: Certificate
    let key: P256.Signing.PrivateKey

    init(_ root: Certificate, _ key: P256.Signing.PrivateKey) {
        self.root = root
        self.key = key
    }

    /// A new one.
    ///
    /// No two have the same name: clients choose among authorities by that.
    init(for life: Duration, at now: Date) throws {
        let (key, serial) = (P256.Signing.PrivateKey(), Certificate.SerialNumber())
        let publicKey = Certificate.PublicKey(key.publicKey)
        let digits = serial.bytes.suffix(4).map { String(UInt16($0) | 0x100, radix: 16).dropFirst() }.joined()
        let name = try DistinguishedName { CommonName("mesher injector authority \(digits)") }
        let validity = CertificatePlan.validity(life, at: now)
        self.root = try Certificate(
            version: .v3, serialNumber: serial, publicKey: publicKey, notValidBefore: validity.from,
            notValidAfter: validity.to, issuer: name, subject: name, signatureAlgorithm: .ecdsaWithSHA256,
            extensions: try Certificate.Extensions {
                Critical(BasicConstraints.isCertificateAuthority(maxPathLength: 0))
                Critical(KeyUsage(keyCertSign: true, cRLSign: true))
                SubjectKeyIdentifier(hash: publicKey)
            }, issuerPrivateKey: Certificate.PrivateKey(key))
        self.key = key
    }

    /// A certificate to serve with.
    ///
    /// - Parameter key: Whose it is.
    func sign(_ key: P256.Signing.PublicKey, _ plan: CertificatePlan, at now: Date) throws -> Certificate {
        let publicKey = Certificate.PublicKey(key)
        let validity = CertificatePlan.validity(plan.certificateLife, at: now, until: self.root.notValidAfter)
        let usage = try ExtendedKeyUsage([.serverAuth])
        return try Certificate(
            version: .v3, serialNumber: .init(), publicKey: publicKey, notValidBefore: validity.from,
            notValidAfter: validity.to, issuer: self.root.subject,
            subject: try DistinguishedName { CommonName("mesher injector") }, signatureAlgorithm: .ecdsaWithSHA256,
            extensions: try Certificate.Extensions {
                Critical(BasicConstraints.notCertificateAuthority)
                Critical(KeyUsage(digitalSignature: true))
                usage
                SubjectAlternativeNames(plan.names)
                SubjectKeyIdentifier(hash: publicKey)
                AuthorityKeyIdentifier(
                    keyIdentifier: SubjectKeyIdentifier(hash: self.root.publicKey).keyIdentifier)
            }, issuerPrivateKey: Certificate.PrivateKey(self.key))
    }

    /// Whether it has signed a certificate.
    func hasSigned(_ certificate: Certificate) -> Bool {
        certificate.issuer == self.root.subject
            && self.root.publicKey.isValidSignature(certificate.signature, for: certificate)
    }
}
