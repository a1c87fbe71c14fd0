// SPDX-License-Identifier: Apache-2.0

package import Common
import FoundationEssentials
package import Logging
import NIOSSL
import TLS

extension ClusterAccess {
    /// The API server of a file as `kubectl` has it, by its current context.
    ///
    /// - Throws: What there is not, and what is not done here.
    package static func kubeconfig(_ path: String, logger: Logger) throws(ConfigProblem) -> ClusterAccess {
        try Kubeconfig(path).access(logger)
    }
}

/// A kubeconfig.
private struct Kubeconfig {
    private let path: String
    private let cluster: ConfigTree
    private let user: ConfigTree

    init(_ path: String) throws(ConfigProblem) {
        guard let data = FileManager.default.contents(atPath: path) else {
            throw ConfigProblem(
                at: ConfigLocation(path), "\(path) cannot be read", remedy: "write it, or leave --kubeconfigfile out")
        }
        let tree = try ConfigTree(yaml: Array(data), source: path)
        func entry(_ list: String, _ name: String?, _ member: String) throws(ConfigProblem) -> ConfigTree {
            guard let name, let found = tree[list]?.items.first(where: { $0["name"]?.word == name })?[member] else {
                throw ConfigProblem(
                    at: ConfigLocation(path), key: list, "there is no \(member) \"\(name ?? "")\"",
                    remedy: "add it, or correct current-context")
            }
            return found
        }
        let context = try entry("contexts", tree["current-context"]?.word, "context")
        self.path = path
        self.cluster = try entry("clusters", context["cluster"]?.word, "cluster")
        self.user = try entry("users", context["user"]?.word, "user")
    }

    func access(_ logger: Logger) throws(ConfigProblem) -> ClusterAccess {
        for name in ["exec", "auth-provider", "username"] where self.user[name] != nil {
            throw self.problem(name, "\(name) is not done here", "write token, tokenFile or a client certificate")
        }
        for name in ["proxy-url", "tls-server-name"] where self.cluster[name] != nil {
            throw self.problem(name, "\(name) is not done here", "take it away")
        }
        let written = self.cluster["server"]?.word ?? ""
        let server: ServerAddress
        do throws(ConfigMistake) {
            server = try ServerAddress(written)
        } catch {
            throw self.problem("server", error.problem, error.remedy)
        }
        guard server.isSecure else {
            throw self.problem("server", "\(server.text) is without TLS", "write https://host:port")
        }
        let caFile = self.file("certificate-authority")
        let tokenFile = self.userFile("tokenFile").map { TokenFile($0) }
        let token = self.user["token"]?.word
        return ClusterAccess(
            url: server.text, source: self.path, authorities: caFile ?? self.path,
            tokenSource: self.userFile("tokenFile") ?? self.path, tls: try self.tls(caFile, logger),
            token: { tokenFile?.current ?? token })
    }

    /// Files are read again when they change; what stands in the kubeconfig itself is not.
    private func tls(_ caFile: String?, _ logger: Logger) throws(ConfigProblem) -> @Sendable () -> TLSConfiguration {
        let skipsVerification = self.cluster["insecure-skip-tls-verify"]?.word == "true"
        if skipsVerification {
            logger.warning("whoever answers is taken for the API server", metadata: ["file": "\(self.path)"])
        }
        let hasData = ["certificate-authority-data", "client-certificate-data", "client-key-data"].contains {
            self.cluster[$0] != nil || self.user[$0] != nil
        }
        guard hasData else {
            let tls = try ControlTLS(
                ClientTLSConfig(
                    verifiesPeer: !skipsVerification, caFile: caFile ?? "",
                    certFile: self.userFile("client-certificate") ?? "", keyFile: self.userFile("client-key") ?? ""),
                logger: logger)
            return { tls.current }
        }
        var tls = TLSConfiguration.makeClientConfiguration()
        tls.certificateVerification = skipsVerification ? .none : .fullVerification
        if let bytes = try self.bytes(self.cluster, "certificate-authority") {
            guard let roots = try? NIOSSLCertificate.fromPEMBytes(bytes), !roots.isEmpty else {
                throw self.problem("certificate-authority-data", "it is no certificate", "write it as PEM, in base64")
            }
            tls.trustRoots = .certificates(roots)
        }
        if let chain = try self.bytes(self.user, "client-certificate"),
            let key = try self.bytes(self.user, "client-key")
        {
            guard let certificates = try? NIOSSLCertificate.fromPEMBytes(chain),
                let key = try? NIOSSLPrivateKey(bytes: key, format: .pem)
            else {
                throw self.problem(
                    "client-certificate-data", "it is no certificate with its key", "write both as PEM, in base64")
            }
            tls.certificateChain = certificates.map { .certificate($0) }
            tls.privateKey = .privateKey(key)
        }
        let fixed = tls
        return { fixed }
    }

    /// What stands there, or else what the file of the same name has.
    private func bytes(_ tree: ConfigTree, _ name: String) throws(ConfigProblem) -> [UInt8]? {
        if let text = tree["\(name)-data"]?.word {
            guard let data = Data(base64Encoded: text) else {
                throw self.problem("\(name)-data", "it is no base64", "write the file's content in base64")
            }
            return Array(data)
        }
        guard let path = tree[name]?.word.map(self.absolute) else { return nil }
        guard let data = FileManager.default.contents(atPath: path) else {
            throw self.problem(name, "\(path) cannot be read", "correct the path")
        }
        return Array(data)
    }

    private func file(_ name: String) -> String? { self.cluster[name]?.word.map(self.absolute) }

    private func userFile(_ name: String) -> String? { self.user[name]?.word.map(self.absolute) }

    /// From the folder of the kubeconfig.
    private func absolute(_ path: String) -> String {
        if path.hasPrefix("/") { return path }
        let folder = self.path.lastIndex(of: "/").map { String(self.path[...$0]) } ?? ""
        return folder + path
    }

    private func problem(_ key: String, _ problem: String, _ remedy: String) -> ConfigProblem {
        ConfigProblem(at: ConfigLocation(self.path), key: key, problem, remedy: remedy)
    }
}

extension ConfigTree {
    /// A member of a map; `nil` when there is none, or nothing behind its colon.
    fileprivate subscript(name: String) -> ConfigTree? {
        guard case .map(let entries, _) = self, let value = entries.last(where: { $0.key == name })?.value else {
            return nil
        }
        if case .null = value { return nil }
        return value
    }

    /// The elements of a list.
    fileprivate var items: [ConfigTree] { if case .list(let items, _) = self { items } else { [] } }

    /// The text; `nil` for what is none, or empty.
    fileprivate var word: String? { if case .text(let text, _) = self, !text.isEmpty { text } else { nil } }
}
