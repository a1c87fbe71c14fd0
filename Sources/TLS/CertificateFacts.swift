// SPDX-License-Identifier: Apache-2.0

package import Common
import FoundationEssentials
import NIOCore
import NIOSSL

/// What operators are told of a certificate.
struct CertificateFacts: Sendable, Equatable {
    /// The common name of its subject; `nil` without one, or one that is no text.
    let subject: String?
    /// DNS names, URIs and addresses that it is for.
    let names: [String]
    /// Seconds since 1970.
    let notBefore: Int
    /// Seconds since 1970.
    let notAfter: Int

    /// - Source: RFC 5280 §4.2.1.6.
    init(_ certificate: NIOSSLCertificate) {
        self.notBefore = Int(certificate.notValidBefore)
        self.notAfter = Int(certificate.notValidAfter)
        self.subject = (try? certificate.toDERBytes()).flatMap { CertificateUse.commonName($0) }
        self.names = certificate._subjectAlternativeNames().compactMap { name in
            switch name.nameType {
            case .dnsName, .uri: String(decoding: name.contents, as: UTF8.self)
            case .ipAddress: try? SocketAddress(packedIPAddress: ByteBuffer(bytes: name.contents), port: 0).ipAddress
            default: nil
            }
        }
    }

    /// The report of it.
    func report(
        _ tag: String, _ role: String, _ source: String, renews: Bool = false, error: String?
    ) -> CertificateReport {
        CertificateReport(
            tag: tag, role: role, source: source, subject: self.subject, names: self.names, notBefore: self.notBefore,
            notAfter: self.notAfter, renews: renews, error: error)
    }
}

extension TLSContexts {
    /// The certificates of all traffic, those of listeners first; tags without one are not there.
    package func certificates() -> [CertificateReport] {
        self.all.compactMap { material in
            let tag = material.tag
            return tag.certFile.isEmpty
                ? nil : material.report(self.role(of: material, tag.name), from: tag.certFile)
        }
            + self.secrets.ofFiles.filter { !$0.tag.certFile.isEmpty }.map { material in
                material.report("calls of a cluster that Istio describes", from: material.tag.certFile)
            }
    }

    private func role(of material: TLSMaterial, _ name: String) -> String {
        if material === self.outgoing { return "listeners of outgoing requests" }
        if material === self.incoming {
            return material === self.incomingGRPC ? "listeners of incoming HTTP and gRPC" : "listener of incoming HTTP"
        }
        if material === self.incomingGRPC { return "listener of incoming gRPC" }
        let parts = name.split(separator: ".").dropLast()
        guard let last = parts.last else { return "calls" }
        let service = parts.dropLast().joined(separator: ".")
        return "calls of \(service.isEmpty ? "all services" : service) by \(last)"
    }
}

extension TLSMaterial {
    /// The report of its certificate.
    func report(_ role: String, from source: String) -> CertificateReport {
        let error = self.failure
        return self.facts?.report(self.tag.name, role, source, error: error)
            ?? CertificateReport(tag: self.tag.name, role: role, source: source, error: error)
    }
}

extension IdentitySlot {
    /// The certificate of the workload; none as long as there is no identity.
    package func certificates() -> [CertificateReport] {
        guard let identity = self.current else { return [] }
        let tag = TLSTag("istio", .consumer, verifiesPeer: true)
        let leaf = try? TLSSecret.certificates(identity.secret.chain, tag, "").first
        let (role, source) = ("this workload, to others of the mesh", "the mesh's authority")
        return [
            leaf.map { CertificateFacts($0).report("istio", role, source, renews: true, error: nil) }
                ?? CertificateReport(
                    tag: "istio", role: role, source: source, names: [identity.name],
                    notAfter: Int(identity.expiry.timeIntervalSince1970), renews: true)
        ]
    }
}

extension ControlTLS {
    /// The certificate that a server of the control plane is shown; none where it asks for none.
    ///
    /// - Parameter tag: As in `tls.yaml`.
    /// - Parameter role: What it is for.
    package func certificates(_ tag: String, _ role: String) -> [CertificateReport] {
        let (leaf, source, error) = self.own
        guard let leaf else { return [] }
        return [CertificateFacts(leaf).report(tag, role, source, error: error)]
    }
}
