// SPDX-License-Identifier: Apache-2.0

import NIOCore
import NIOSSL
import SwiftASN1
import X509

/// TLS to Istio's control plane, made for one call.
struct ControlPlaneTLS: Sendable {
    /// What the server has to prove to be.
    private enum Wanted {
        case name(String)
        case account(WorkloadName.Accounts, authorities: [Certificate])
    }

    private let context: NIOSSLContext
    private let wanted: Wanted

    /// TLS to a server that proves a name.
    ///
    /// - Parameter authorities: Who vouches for it, PEM.
    /// - Parameter problem: What is wrong where no TLS can be made of it.
    init(
        serverName: String, authorities: [UInt8], orElse problem: () -> UnusableFile
    ) throws(UnusableFile) {
        self.context = try Self.context(authorities, orElse: problem) { _ in }
        self.wanted = .name(serverName)
    }

    /// Mutual TLS with a server that proves one of some accounts.
    ///
    /// - Parameter chain: The own certificate and what leads to its authority, PEM.
    /// - Parameter key: The own key, PEM.
    init(
        accounts: WorkloadName.Accounts, authorities: [UInt8], chain: [UInt8], key: [UInt8],
        orElse problem: () -> UnusableFile
    ) throws(UnusableFile) {
        self.context = try Self.context(authorities, orElse: problem) { tls in
            tls.certificateChain = try NIOSSLCertificate.fromPEMBytes(chain).map { .certificate($0) }
            tls.privateKey = .privateKey(try NIOSSLPrivateKey(bytes: key, format: .pem))
            tls.certificateVerification = .noHostnameVerification
        }
        self.wanted = .account(accounts, authorities: CertificateChain.certificates(inPEM: authorities))
    }

    /// Has a new connection speak it, before everything else; called on its loop.
    func add(to channel: any Channel) throws {
        let handler =
            switch self.wanted {
            case .name(let name): try NIOSSLClientHandler(context: self.context, serverHostname: name)
            case .account(let accounts, let authorities):
                try NIOSSLClientHandler(
                    context: self.context, serverHostname: nil,
                    customVerificationCallbackWithMetadata: { presented, promise in
                        promise.completeWithTask {
                            let chain = CertificateChain(
                                presented.compactMap { try? Certificate(derEncoded: $0.toDERBytes()) })
                            let problem = await chain.problem(authorities: authorities, accepts: accounts.contains)
                            return problem == nil ? .certificateVerified(.init(nil)) : .failed
                        }
                    })
            }
        try channel.pipeline.syncOperations.addHandler(handler, position: .first)
    }

    private static func context(
        _ authorities: [UInt8], orElse problem: () -> UnusableFile, _ change: (inout TLSConfiguration) throws -> Void
    ) throws(UnusableFile) -> NIOSSLContext {
        do {
            var tls = TLSConfiguration.makeClientConfiguration()
            tls.minimumTLSVersion = .tlsv12
            tls.applicationProtocols = ["h2"]
            tls.trustRoots = .certificates(try NIOSSLCertificate.fromPEMBytes(authorities))
            // A connection ends when everything has been said, and some servers do not answer its end.
            tls.shutdownTimeout = .milliseconds(100)
            try change(&tls)
            return try NIOSSLContext(configuration: tls)
        } catch {
            throw problem()
        }
    }
}
