// SPDX-License-Identifier: Apache-2.0

import Crypto
import FoundationEssentials
import SwiftASN1
import X509

/// What all replicas of an injector have in common: authorities, and the certificate that is served with.
///
/// Pure, time is a parameter. Whoever is about to be replaced is replaced in steps, so that an API server always knows the
/// authority of the certificate that it meets: another authority is made, and only published; once it is known, it takes
/// over and signs; the old one stays published until it ends.
struct OwnCertificates: Sendable {
    /// What there is to tell of a renewal.
    enum Change: String, Sendable {
        /// Everything is new.
        case all = "authority and certificate made"
        /// There is an authority that will take over.
        case nextAuthority = "another authority will take over"
        /// It has.
        case takeover = "another authority has taken over"
        /// The certificate is another one.
        case certificate = "certificate renewed"
        /// Authorities that have ended are no longer there.
        case ended = "an authority has ended"
    }

    /// Keys of the Secret's data.
    enum Keys {
        /// Roots that are published; the first one signs.
        static let authorities = "ca.crt"
        static let authorityKey = "ca.key"
        /// Only while another authority waits for being known.
        static let nextKey = "ca-next.key"
        static let certificate = "tls.crt"
        static let key = "tls.key"
    }

    private(set) var authority: OwnAuthority
    /// The one that takes over next.
    private(set) var next: OwnAuthority?
    /// Those that took over from one another, and hold still.
    private(set) var former: [Certificate] = []
    private(set) var certificate: Certificate
    private(set) var key: P256.Signing.PrivateKey

    /// New ones.
    init(_ plan: CertificatePlan, at now: Date) throws {
        self.authority = try OwnAuthority(for: plan.authorityLife, at: now)
        self.key = P256.Signing.PrivateKey()
        self.certificate = try self.authority.sign(self.key.publicKey, plan, at: now)
    }

    /// Reads the data of a Secret.
    ///
    /// - Returns: `nil` for what is not complete, or does not belong together.
    init?(_ data: [String: [UInt8]]) {
        func key(_ name: String) -> P256.Signing.PrivateKey? {
            data[name].flatMap { try? P256.Signing.PrivateKey(pemRepresentation: String(decoding: $0, as: UTF8.self)) }
        }
        guard let roots = data[Keys.authorities].flatMap(PEM.certificates), let authorityKey = key(Keys.authorityKey),
            let certificate = data[Keys.certificate].flatMap(PEM.certificates)?.first, let own = key(Keys.key),
            certificate.publicKey == .init(own.publicKey), roots[0].publicKey == .init(authorityKey.publicKey)
        else { return nil }
        self.authority = OwnAuthority(roots[0], authorityKey)
        self.certificate = certificate
        self.key = own
        self.former = Array(roots.dropFirst())
        if let nextKey = key(Keys.nextKey),
            let place = self.former.firstIndex(where: { $0.publicKey == .init(nextKey.publicKey) })
        {
            self.next = OwnAuthority(self.former.remove(at: place), nextKey)
        }
    }

    /// All roots that may vouch for what is served with now, or soon; the first one signs.
    var authorities: [Certificate] { [self.authority.root] + (self.next.map { [$0.root] } ?? []) + self.former }

    /// As the Secret has it, PEM.
    var data: [(String, String)] {
        var data = [
            (Keys.authorities, PEM.text(self.authorities)), (Keys.authorityKey, self.authority.key.pemText),
            (Keys.certificate, PEM.text([self.certificate])), (Keys.key, self.key.pemText),
        ]
        if let next = self.next { data.append((Keys.nextKey, next.key.pemText)) }
        return data
    }

    /// Does what is due.
    ///
    /// - Parameter isKnown: Whether every API server has had the time to learn of all authorities.
    /// - Returns: What has changed; empty when nothing has.
    mutating func renew(_ plan: CertificatePlan, at now: Date, isKnown: Bool) throws -> [Change] {
        guard self.authority.root.notValidAfter > now else {
            self = try OwnCertificates(plan, at: now)
            return [.all]
        }
        var changes: [Change] = []
        if isKnown, let next = self.next {
            self.former.insert(self.authority.root, at: 0)
            self.authority = next
            self.next = nil
            changes.append(.takeover)
        }
        if self.former.contains(where: { $0.notValidAfter <= now }) {
            self.former.removeAll { $0.notValidAfter <= now }
            changes.append(.ended)
        }
        if self.next == nil, CertificatePlan.isDue(self.authority.root, plan.authorityLife, at: now) {
            try self.replaceAuthority(plan, at: now)
            changes.append(.nextAuthority)
        }
        // One that ends with its authority cannot hold any longer.
        let isDue =
            CertificatePlan.isDue(self.certificate, plan.certificateLife, at: now)
            && self.certificate.notValidAfter < self.authority.root.notValidAfter
        if isDue || !self.certificate.names(plan.names) || !self.authority.hasSigned(self.certificate) {
            self.key = P256.Signing.PrivateKey()
            self.certificate = try self.authority.sign(self.key.publicKey, plan, at: now)
            changes.append(.certificate)
        }
        return changes
    }

    /// Makes an authority that takes over once it is known, unless there is one.
    mutating func replaceAuthority(_ plan: CertificatePlan, at now: Date) throws {
        if self.next == nil { self.next = try OwnAuthority(for: plan.authorityLife, at: now) }
    }
}

extension P256.Signing.PrivateKey {
    /// PEM that ends with a line break.
    fileprivate var pemText: String { "\(self.pemRepresentation)\n" }
}

extension Certificate {
    /// Whether its alternative names are these.
    fileprivate func names(_ names: [GeneralName]) -> Bool {
        (try? self.extensions.subjectAlternativeNames).map { Array($0) } == names
    }
}
