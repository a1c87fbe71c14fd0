// SPDX-License-Identifier: Apache-2.0

import SwiftASN1
import X509

/// Certificates of which each but the last is signed by the next one, the own one first.
struct CertificateChain: Sendable {
    let certificates: [Certificate]

    init(_ certificates: [Certificate]) { self.certificates = certificates }

    /// The certificates of some PEM; those that make no sense are left out.
    static func certificates(inPEM bytes: [UInt8]) -> [Certificate] {
        let documents = (try? PEMDocument.parseMultiple(pemString: String(decoding: bytes, as: UTF8.self))) ?? []
        return documents.compactMap { try? Certificate(pemDocument: $0) }
    }

    /// Why the first one does not prove a workload's name now.
    ///
    /// - Parameter authorities: Who may vouch for it.
    /// - Parameter accepts: Whether a name is the wanted one.
    /// - Returns: A clause for people; `nil` when it does.
    func problem(authorities: [Certificate], accepts: @escaping @Sendable (String) -> Bool) async -> String? {
        guard let leaf = self.certificates.first else { return "there is no certificate" }
        var verifier = Verifier(rootCertificates: CertificateStore(authorities)) {
            RFC5280Policy()
            NamePolicy(accepts: accepts)
        }
        let others = CertificateStore(self.certificates.dropFirst())
        switch await verifier.validate(leaf: leaf, intermediates: others) {
        case .validCertificate: return nil
        case .couldNotValidate(let failures):
            return failures.first.map { "\($0.policyFailureReason)" } ?? "no authority vouches for it"
        }
    }

    /// The first certificate has one URI, which is accepted.
    private struct NamePolicy: VerifierPolicy {
        let verifyingCriticalExtensions: [ASN1ObjectIdentifier] = [
            .X509ExtensionID.subjectAlternativeName, .X509ExtensionID.extendedKeyUsage,
        ]
        let accepts: @Sendable (String) -> Bool

        func chainMeetsPolicyRequirements(chain: UnverifiedCertificateChain) -> PolicyEvaluationResult {
            let names = chain.leaf.workloadNames
            guard names.count == 1, self.accepts(names[0]) else {
                return .failsToMeetPolicy(reason: "it names \(names.isEmpty ? "no workload" : "\(names)")")
            }
            return .meetsPolicy
        }
    }
}

extension Certificate {
    /// The URIs among its names.
    var workloadNames: [String] {
        let names = (try? self.extensions.subjectAlternativeNames) ?? SubjectAlternativeNames()
        return names.compactMap { if case .uniformResourceIdentifier(let uri) = $0 { uri } else { nil } }
    }
}
