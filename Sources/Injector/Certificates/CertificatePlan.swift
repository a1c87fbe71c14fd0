// SPDX-License-Identifier: Apache-2.0

import Common
import FoundationEssentials
import SwiftASN1
import X509

/// What certificates of the injector's own making say, and how long they hold.
package struct CertificatePlan: Sendable {
    /// For clocks of API servers that are behind.
    private static let skew: TimeInterval = 3600

    /// What the API server may call the injector.
    let names: [GeneralName]
    /// How long an authority holds.
    let authorityLife: Duration
    /// How long the certificate that is served with holds.
    let certificateLife: Duration

    /// Certificates for a Service of Kubernetes, and for whoever is on the same machine.
    ///
    /// No address of a single replica is among its names: all have the same certificate.
    ///
    /// - Source: the API server asks for `<service>.<namespace>.svc`, and looks at alternative names only.
    package init(service: String, namespace: String, authorityLife: Duration, certificateLife: Duration) {
        self.names =
            ["\(service).\(namespace).svc", "\(service).\(namespace)", service, "localhost"].map { .dnsName($0) }
            + ["127.0.0.1", "::1"].compactMap(Self.octets).map { .ipAddress(ASN1OctetString(contentBytes: $0[...])) }
        self.authorityLife = authorityLife
        self.certificateLife = certificateLife
    }

    /// As certificates have it; `nil` for what is no address.
    private static func octets(_ text: String) -> [UInt8]? {
        guard let address = IPLiteral(Array(text.utf8).rawSpan)?.address else { return nil }
        func octets(_ word: some FixedWidthInteger & UnsignedInteger) -> [UInt8] {
            (0..<word.bitWidth / 8).reversed().map { UInt8(truncatingIfNeeded: word >> ($0 * 8)) }
        }
        return address.v4.map { octets($0) } ?? octets(address.high) + octets(address.low)
    }

    /// From when to when something holds that is made now.
    static func validity(_ life: Duration, at now: Date, until last: Date = .distantFuture) -> (from: Date, to: Date) {
        (now.addingTimeInterval(-Self.skew), min(now.addingTimeInterval(.init(life)), last))
    }

    /// Whether two thirds of a life are over.
    static func isDue(_ certificate: Certificate, _ life: Duration, at now: Date) -> Bool {
        certificate.notValidAfter.timeIntervalSince(now) < TimeInterval(life) / 3
    }
}

extension TimeInterval {
    /// Seconds.
    fileprivate init(_ duration: Duration) {
        let (seconds, attoseconds) = duration.components
        self = TimeInterval(seconds) + TimeInterval(attoseconds) / 1e18
    }
}
