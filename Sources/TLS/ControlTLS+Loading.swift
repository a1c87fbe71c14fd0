// SPDX-License-Identifier: Apache-2.0

import Common
import FoundationEssentials
import NIOSSL

extension ControlTLS {
    /// Makes what the TLS library wants of what the configuration says.
    ///
    /// - Throws: A mistake that names the file.
    static func configuration(of config: ClientTLSConfig) throws(ConfigProblem) -> TLSConfiguration {
        var tls = TLSConfiguration.makeClientConfiguration()
        tls.minimumTLSVersion = config.oldest == "TLSv1.3" ? .tlsv13 : .tlsv12
        // As in the original: encrypted, but anybody may answer, unless the configuration wants to know.
        tls.certificateVerification = config.verifiesPeer ? .fullVerification : .none
        if !config.caFile.isEmpty {
            let authorities = try Self.read(config.caFile) { try NIOSSLCertificate.fromPEMFile(config.caFile) }
            tls.trustRoots = .certificates(authorities)
        }
        if !config.certFile.isEmpty {
            let chain = try Self.read(config.certFile) { try NIOSSLCertificate.fromPEMFile(config.certFile) }
            tls.certificateChain = chain.map { .certificate($0) }
            let password =
                config.passwordFile.isEmpty
                ? ""
                : try Self.read(config.passwordFile) {
                    try String(contentsOfFile: config.passwordFile, encoding: .utf8)
                }.trimmed
            let key = try Self.read(config.keyFile) {
                try NIOSSLPrivateKey(file: config.keyFile, format: .pem) { $0(Array(password.utf8)) }
            }
            tls.privateKey = .privateKey(key)
        }
        return tls
    }

    private static func read<Value>(_ path: String, _ body: () throws -> Value) throws(ConfigProblem) -> Value {
        do {
            return try body()
        } catch {
            throw ConfigProblem(
                at: ConfigLocation(path), key: "ssl", "the file makes no sense (\(error))",
                remedy: "write it as PEM")
        }
    }
}
