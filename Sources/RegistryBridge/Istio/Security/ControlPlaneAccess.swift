// SPDX-License-Identifier: Apache-2.0

import Common
import GRPCCore

/// What opens Istio's control plane to this workload: read for each call, since all of it is renewed by others.
struct ControlPlaneAccess: Sendable {
    let config: IstioConfig

    /// How a connection to this server is secured; `nil` for plain text.
    ///
    /// A server of Istio up to 1.6 has the identity of a service account in place of a name.
    func security(of server: ServerAddress) throws(UnusableFile) -> ControlPlaneTLS? {
        guard server.isSecure else { return nil }
        let authorities = try UnusableFile.readCertificates(self.authorities(of: server), remedy: Self.mounting(server))
        let name = self.config.serverName(of: server)
        guard server.isMutual else {
            return try ControlPlaneTLS(serverName: name, authorities: authorities) {
                UnusableFile(
                    path: self.config.rootCertificate, problem: "is of no use to TLS",
                    remedy: "write certificates of authorities")
            }
        }
        let chain = try UnusableFile.readCertificates(self.chain, remedy: Self.mounting(server))
        let key = try UnusableFile.read(self.key, remedy: Self.mounting(server))
        return try ControlPlaneTLS(accounts: .controlPlane(of: name), authorities: authorities, chain: chain, key: key)
        {
            UnusableFile(
                path: self.key, problem: "is not the key of \(self.chain)",
                remedy: "write the two files that belong together, as PEM")
        }
    }

    /// What a call says to show who calls: a token, where TLS hides it and nothing else shows it.
    func metadata(for server: ServerAddress) throws(UnusableFile) -> Metadata {
        guard server.isSecure, !server.isMutual else { return [:] }
        return ["authorization": "Bearer \(try self.token())"]
    }

    /// The service account's token.
    func token() throws(UnusableFile) -> String {
        let path = self.config.tokenFile
        let bytes = try UnusableFile.read(
            path,
            remedy:
                "mount a token of the service account for the audience istio-ca there, or set mesher.istio.tokenFile"
        )
        let text = String(decoding: bytes, as: UTF8.self).trimmed
        guard !text.isEmpty, text.utf8.allSatisfy({ (0x21...0x7e).contains($0) }) else {
            throw UnusableFile(path: path, problem: "has no token", remedy: "look at what writes it")
        }
        return text
    }

    /// The file of those who vouch for a server.
    func authorities(of server: ServerAddress) -> String {
        server.isMutual ? "\(self.config.certificateDirectory)/root-cert.pem" : self.config.rootCertificate
    }

    private var chain: String { "\(self.config.certificateDirectory)/cert-chain.pem" }
    private var key: String { "\(self.config.certificateDirectory)/key.pem" }

    /// What to do where a file is missing.
    private static func mounting(_ server: ServerAddress) -> String {
        server.isMutual
            ? "mount the secret of Istio's certificates there, or set mesher.istio.certificateDirectory"
            : "mount the ConfigMap istio-ca-root-cert there, or set mesher.istio.rootCertificate"
    }
}
