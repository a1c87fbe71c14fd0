// SPDX-License-Identifier: Apache-2.0

package import Common
import Foundation
import NIOCore
package import NIOSSL
import Synchronization

/// What one tag has to speak TLS with, kept up to date with its files.
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
        /// Seconds since 1970; `nil` without a certificate.
        var expiry: Int?
    }

    /// Where it comes from.
    package let tag: TLSTag
    /// `nil` while its files have never been of any use.
    private let current: Mutex<Current?>
    private let failed: Mutex<Bool>

    /// Loads the files of a tag.
    ///
    /// - Throws: What is wrong with which of them.
    package init(_ tag: TLSTag) throws(ConfigProblem) {
        self.tag = tag
        self.current = Mutex(try Self.load(tag))
        self.failed = Mutex(false)
    }

    /// What has no material until its files are of use: no connection is made before.
    init(waitingFor tag: TLSTag) {
        self.tag = tag
        self.current = Mutex(nil)
        self.failed = Mutex(true)
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
    package var expiry: Int? { self.current.withLock { $0?.expiry } }

    /// Whether the newest files are of no use, so that older ones are in use.
    package var hasFailed: Bool { self.failed.withLock { $0 } }

    /// Loads the files again.
    ///
    /// - Throws: What is wrong with them; everything is as it was then, but for ``hasFailed``.
    package func reload() throws(ConfigProblem) {
        do {
            let fresh = try Self.load(self.tag)
            self.current.withLock { $0 = fresh }
            self.failed.withLock { $0 = false }
        } catch {
            self.failed.withLock { $0 = true }
            throw error
        }
    }

    /// Why a peer with this certificate, which the library has verified, is not one that is wanted.
    ///
    /// - Parameter service: The called service, whose name a server has to prove unless the tag names others.
    /// - Returns: `nil` when it is, else a word for metrics and log.
    /// - Source: the X.509 SVID standard §2, §4.1, §5.2: one URI, and no authority. A server without a URI has another kind of
    ///   certificate, which may well have signed itself.
    package func refusal(of certificate: NIOSSLCertificate?, service: String?) -> String? {
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
        var wanted = self.tag.subjectNames
        if wanted.isEmpty {
            guard self.tag.side == .consumer, let name = self.serverName(of: service) else { return nil }
            wanted = [name]
        }
        return SubjectName.matches(presented, anyOf: wanted) ? nil : "wrong_name"
    }

    /// What a server is asked to be.
    package func serverName(of service: String?) -> String? { self.tag.serverName.isEmpty ? service : self.tag.serverName }

    // MARK: Loading

    private static func load(_ tag: TLSTag) throws(ConfigProblem) -> Current {
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
        if !tag.caFile.isEmpty {
            let authorities = try Self.read(tag, TrafficTLSConfig.Keys.caFile, tag.caFile) {
                try NIOSSLCertificate.fromPEMFile(tag.caFile)
            }
            tls.trustRoots = .certificates(authorities)
        }
        var expiry: Int?
        if !tag.certFile.isEmpty {
            let chain = try Self.read(tag, TrafficTLSConfig.Keys.certFile, tag.certFile) {
                try NIOSSLCertificate.fromPEMFile(tag.certFile)
            }
            try Self.checkValidity(chain, tag)
            expiry = chain.first.map { Int($0.notValidAfter) }
            tls.certificateChain = chain.map { .certificate($0) }
            tls.privateKey = .privateKey(try Self.key(tag))
        }
        return Current(
            either: try Self.context(tls, ["h2", "http/1.1"], tag), http1: try Self.context(tls, ["http/1.1"], tag),
            http2: try Self.context(tls, ["h2"], tag), expiry: expiry)
    }

    /// With forward secrecy and authenticated encryption; those of TLS 1.3 all are so.
    ///
    /// - Source: promise T1.
    private static var cipherSuites: [UInt16] { [0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8] }

    private static func checkValidity(_ chain: [NIOSSLCertificate], _ tag: TLSTag) throws(ConfigProblem) {
        let key = TrafficTLSConfig.Keys.certFile
        guard let leaf = chain.first else {
            throw tag.problem(key, "\(tag.certFile) holds no certificate", remedy: "write it as PEM")
        }
        let now = Int(Date().timeIntervalSince1970)
        if Int(leaf.notValidAfter) < now {
            throw tag.problem(key, "the certificate in \(tag.certFile) has expired", remedy: "renew it")
        }
        if Int(leaf.notValidBefore) > now {
            throw tag.problem(
                key, "the certificate in \(tag.certFile) is not valid yet", remedy: "look at the clock, or wait")
        }
    }

    private static func key(_ tag: TLSTag) throws(ConfigProblem) -> NIOSSLPrivateKey {
        var password = ""
        if !tag.passwordFile.isEmpty {
            password = try Self.read(tag, TrafficTLSConfig.Keys.certPwdFile, tag.passwordFile) {
                try String(contentsOfFile: tag.passwordFile, encoding: .utf8)
            }.trimmingCharacters(in: .whitespacesAndNewlines)
        }
        let bytes = Array(password.utf8)
        return try Self.read(tag, TrafficTLSConfig.Keys.keyFile, tag.keyFile) {
            try NIOSSLPrivateKey(file: tag.keyFile, format: .pem) { $0(bytes) }
        }
    }

    private static func context(
        _ configuration: TLSConfiguration, _ protocols: [String], _ tag: TLSTag
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
                "the key in \(tag.keyFile) is not that of the certificate in \(tag.certFile)",
                remedy: "write the two files that belong together")
        }
    }

    private static func read<Value>(
        _ tag: TLSTag, _ key: String, _ path: String, _ body: () throws -> Value
    ) throws(ConfigProblem) -> Value {
        guard FileManager.default.isReadableFile(atPath: path) else {
            throw tag.problem(
                key, "\(path) cannot be read", remedy: "write it, and let the user that mesher runs as read it")
        }
        do {
            return try body()
        } catch {
            throw tag.problem(
                key, "\(path) makes no sense", remedy: "write it as PEM, with the right password if it has one")
        }
    }
}
