// SPDX-License-Identifier: Apache-2.0

package import Common
import FoundationEssentials
import NIOCore
package import NIOSSL
import Synchronization

/// What one tag has to speak TLS with, kept up to date with its files, or with the secrets that it is given.
///
/// - Source: promise T3: new material that is of no use leaves the old in its place.
package final class TLSMaterial: Sendable {
    /// What a connection offers to speak inside TLS.
    package enum Offer: Sendable {
        /// HTTP/2, or HTTP/1.1.
        case either
        /// HTTP/1.1, for what HTTP/2 has not, such as WebSockets.
        case http1
        /// HTTP/2 alone.
        case http2
    }

    private struct Current: Sendable {
        var either: NIOSSLContext
        var http1: NIOSSLContext
        var http2: NIOSSLContext
        /// `nil` without a certificate.
        var facts: CertificateFacts?
    }

    /// Where it comes from.
    package let tag: TLSTag
    /// `nil` while its files have never been of any use.
    private let current: Mutex<Current?>
    /// Why the newest files are of no use; empty where nobody has looked at any.
    private let failed: Mutex<String?>

    /// Loads the files of a tag.
    ///
    /// - Throws: What is wrong with which of them.
    package init(_ tag: TLSTag) throws(ConfigProblem) {
        self.tag = tag
        self.current = Mutex(try Self.load(tag, TLSSecret(filesOf: tag)))
        self.failed = Mutex(nil)
    }

    /// Makes it of what is in memory.
    ///
    /// - Parameter tag: How it is used. It names no files, so that nobody looks for new ones.
    /// - Throws: What is wrong with which part of it.
    package init(_ tag: TLSTag, _ secret: TLSSecret) throws(ConfigProblem) {
        try secret.checkParts(tag)
        self.tag = tag
        self.current = Mutex(try Self.load(tag, secret))
        self.failed = Mutex(nil)
    }

    /// What has no material until there is some that is of use: no connection is made before.
    ///
    /// - Parameter failure: What is wrong with its files, where there are some.
    package init(waitingFor tag: TLSTag, failure: String = "") {
        self.tag = tag
        self.current = Mutex(nil)
        self.failed = Mutex(failure)
    }

    /// What a new connection uses; `nil` when there is nothing.
    package func context(_ offer: Offer) -> NIOSSLContext? {
        self.current.withLock { current in
            switch offer {
            case .either: current?.either
            case .http1: current?.http1
            case .http2: current?.http2
            }
        }
    }

    /// When its certificate ends, in seconds since 1970; `nil` without one.
    package var expiry: Int? { self.facts?.notAfter }

    /// What its certificate says; `nil` without one.
    var facts: CertificateFacts? { self.current.withLock { $0?.facts } }

    /// Whether the newest files are of no use, so that older ones are in use.
    package var hasFailed: Bool { self.failed.withLock { $0 != nil } }

    /// Why they are of no use; `nil` when they are of use, or nobody has looked at any.
    var failure: String? { self.failed.withLock { $0?.isEmpty == false ? $0 : nil } }

    /// Loads the files again.
    ///
    /// - Throws: What is wrong with them; everything is as it was then, but for ``hasFailed``.
    package func reload() throws(ConfigProblem) {
        try self.replace { () throws(ConfigProblem) in try TLSSecret(filesOf: self.tag) }
    }

    /// Takes what is in memory instead of what was in use.
    ///
    /// - Throws: What is wrong with it; everything is as it was then, but for ``hasFailed``.
    package func renew(with secret: TLSSecret) throws(ConfigProblem) {
        try self.replace { () throws(ConfigProblem) in
            try secret.checkParts(self.tag)
            return secret
        }
    }

    private func replace(_ secret: () throws(ConfigProblem) -> TLSSecret) throws(ConfigProblem) {
        do {
            let fresh = try Self.load(self.tag, try secret())
            self.current.withLock { $0 = fresh }
            self.failed.withLock { $0 = nil }
        } catch {
            self.failed.withLock { $0 = error.problem }
            throw error
        }
    }

    /// Why a peer with this certificate, which the library has verified, is not one that is wanted.
    ///
    /// - Parameter service: The called service, whose name a server has to prove unless the tag names others.
    /// - Parameter serverName: What it was asked for in place of that.
    /// - Parameter names: What it has to prove in place of all that, one of these; empty for nothing.
    /// - Returns: `nil` when it is, else a word for metrics and log.
    /// - Source: the X.509 SVID standard §2, §4.1, §5.2: one URI, and no authority. A server without a URI has another kind of
    ///   certificate, which may well have signed itself.
    package func refusal(
        of certificate: NIOSSLCertificate?, service: String?, serverName: String? = nil,
        names wantedNames: [String]? = nil
    )
        -> String?
    {
        let names = certificate.map { Array($0._subjectAlternativeNames()) } ?? []
        let presented = names.compactMap { name -> SubjectName.Presented? in
            switch name.nameType {
            case .dnsName: .dns(Array(name.contents))
            case .uri: .uri(Array(name.contents))
            default: nil
            }
        }
        let uris = presented.filter { if case .uri = $0 { true } else { false } }
        if uris.count > 1 { return "several_identities" }
        if let certificate, self.tag.side == .provider || !uris.isEmpty {
            guard let bytes = try? certificate.toDERBytes(), !CertificateUse.isAuthority(bytes) else {
                return "authority"
            }
        }
        var wanted = wantedNames ?? self.tag.subjectNames
        if wantedNames?.isEmpty == true { return nil }
        if wanted.isEmpty {
            guard self.tag.side == .consumer, let name = serverName ?? self.serverName(of: service) else { return nil }
            wanted = [name]
        }
        return SubjectName.matches(presented, anyOf: wanted) ? nil : "wrong_name"
    }

    /// What a server is asked to be.
    package func serverName(of service: String?) -> String? {
        self.tag.serverName.isEmpty ? service : self.tag.serverName
    }

    // MARK: Loading

    private static func load(_ tag: TLSTag, _ secret: TLSSecret) throws(ConfigProblem) -> Current {
        // The client's makes no demands; everything that tells the sides apart is set below.
        var tls = TLSConfiguration.makeClientConfiguration()
        // Whoever verifies names its authorities.
        tls.trustRoots = nil
        tls.minimumTLSVersion = tag.needsTLS13 ? .tlsv13 : .tlsv12
        tls.cipherSuiteValues = (tag.cipherSuites.isEmpty ? Self.cipherSuites : tag.cipherSuites).map {
            NIOTLSCipher(rawValue: $0)
        }
        tls.renegotiationSupport = .none
        // How long a peer may take to say that it has heard of the end.
        tls.shutdownTimeout = .seconds(1)
        // Names are ours to compare: see SubjectName.
        tls.certificateVerification = tag.verifiesPeer ? .noHostnameVerification : .none
        if secret.authorities != nil {
            tls.trustRoots = .certificates(
                try TLSSecret.certificates(secret.authorities, tag, TrafficTLSConfig.Keys.caFile))
        }
        var facts: CertificateFacts?
        if let origin = secret.chain?.origin {
            let chain = try TLSSecret.certificates(secret.chain, tag, TrafficTLSConfig.Keys.certFile)
            try Self.checkValidity(chain, origin, tag)
            facts = chain.first.map { CertificateFacts($0) }
            tls.certificateChain = chain.map { .certificate($0) }
            tls.privateKey = try secret.privateKey(tag).map { .privateKey($0) }
        }
        // What Envoy offers to, and takes from, workloads of Istio; a server chooses among the plain ones.
        let isClientOfMesh = tag.isOfMesh && tag.side == .consumer
        let http1 = isClientOfMesh ? ["istio-http/1.1", "istio", "http/1.1"] : ["http/1.1"]
        let http2 = isClientOfMesh ? ["istio-h2", "istio", "h2"] : ["h2"]
        return Current(
            either: try Self.context(tls, ["h2", "http/1.1"], tag, secret),
            http1: try Self.context(tls, http1, tag, secret), http2: try Self.context(tls, http2, tag, secret),
            facts: facts)
    }

    /// With forward secrecy and authenticated encryption; those of TLS 1.3 all are so.
    ///
    /// - Source: promise T1.
    private static var cipherSuites: [UInt16] { [0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8] }

    private static func checkValidity(
        _ chain: [NIOSSLCertificate], _ origin: String, _ tag: TLSTag
    ) throws(ConfigProblem) {
        let key = TrafficTLSConfig.Keys.certFile
        guard let leaf = chain.first else { return }
        let now = Int(Date().timeIntervalSince1970)
        if Int(leaf.notValidAfter) < now {
            throw tag.problem(key, "the certificate in \(origin) has expired", remedy: "renew it")
        }
        if Int(leaf.notValidBefore) > now {
            throw tag.problem(
                key, "the certificate in \(origin) is not valid yet", remedy: "look at the clock, or wait")
        }
    }

    private static func context(
        _ configuration: TLSConfiguration, _ protocols: [String], _ tag: TLSTag, _ secret: TLSSecret
    ) throws(ConfigProblem) -> NIOSSLContext {
        var configuration = configuration
        configuration.applicationProtocols = protocols
        do {
            let context = try NIOSSLContext(configuration: configuration)
            context.keepNoSessions()
            return context
        } catch {
            throw tag.problem(
                TrafficTLSConfig.Keys.keyFile,
                "the key in \(secret.key?.origin ?? "") is not that of the certificate in \(secret.chain?.origin ?? "")",
                remedy: "write the two files that belong together")
        }
    }
}
