// SPDX-License-Identifier: Apache-2.0

import Common
import FoundationEssentials
import NIOSSL
import Synchronization
package import TLS

/// What the injector serves with when that is of its own making: outlives the component that keeps it.
package final class CertificateSlot: Sendable {
    private struct State {
        var own: OwnCertificates?
        var clientAuthorities: [UInt8]?
    }

    /// What connections are made with; nothing before there is a certificate.
    package let material: TLSMaterial
    private let clientAuthorities: String
    private let state = Mutex(State())

    /// No certificate yet.
    ///
    /// - Parameter clientAuthorities: A file of authorities, PEM, that clients need a certificate of; empty for none.
    package init(clientAuthorities: String) {
        self.clientAuthorities = clientAuthorities
        self.material = TLSMaterial(
            waitingFor: TLSTag("injector", .provider, verifiesPeer: !clientAuthorities.isEmpty))
    }

    /// Those in use; `nil` as long as there are none.
    var own: OwnCertificates? { self.state.withLock { $0.own } }

    /// Serves new connections with these.
    ///
    /// - Returns: Whether that is another certificate.
    /// - Throws: Why they are of no use; the old ones stay.
    func use(_ own: OwnCertificates) throws(ConfigProblem) -> Bool {
        let clientAuthorities =
            self.clientAuthorities.isEmpty ? nil : FileManager.default.contents(atPath: self.clientAuthorities)
        let bytes = clientAuthorities.map { Array($0) }
        let (isSame, isNew) = self.state.withLock { state in
            (
                state.own?.certificate == own.certificate && state.clientAuthorities == bytes,
                state.own?.certificate != own.certificate
            )
        }
        if !isSame {
            let data = Dictionary(uniqueKeysWithValues: own.data)
            func part(_ name: String) -> TLSSecret.Part {
                .init(Array((data[name] ?? "").utf8), .pem, from: "the injector's own Secret")
            }
            try self.material.renew(
                with: TLSSecret(
                    authorities: bytes.map { .init($0, .pem, from: self.clientAuthorities) },
                    chain: part(OwnCertificates.Keys.certificate), key: part(OwnCertificates.Keys.key)))
        }
        self.state.withLock { $0 = State(own: own, clientAuthorities: bytes) }
        return isNew
    }
}
