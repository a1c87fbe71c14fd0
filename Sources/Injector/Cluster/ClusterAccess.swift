// SPDX-License-Identifier: Apache-2.0

package import Common
import FoundationEssentials
package import Logging
import NIOSSL
import Synchronization
import TLS

/// Where the API server is, and how to show who asks; tokens and certificates are read again when they change.
package struct ClusterAccess: Sendable {
    /// `https://host:port`, without a slash at its end.
    let url: String
    /// What says so, for messages.
    let source: String
    /// The file of those who vouch for the API server.
    let authorities: String
    /// Where the token is.
    let tokenSource: String
    /// What the next connection uses.
    let tls: @Sendable () -> TLSConfiguration
    /// What the next request shows; `nil` for none.
    let token: @Sendable () -> String?

    /// The API server of the cluster that this process runs in.
    ///
    /// - Parameter folder: What Kubernetes mounts into each pod that has a service account.
    /// - Returns: `nil` for a process that runs in none.
    /// - Throws: What is missing of it.
    /// - Source: Kubernetes' page "Accessing the Kubernetes API from a Pod".
    package static func inCluster(
        _ environment: [String: String] = ProcessInfo.processInfo.environment,
        folder: String = "/var/run/secrets/kubernetes.io/serviceaccount", logger: Logger
    ) throws(ConfigProblem) -> ClusterAccess? {
        guard let host = environment["KUBERNETES_SERVICE_HOST"], !host.isEmpty else { return nil }
        let port = environment["KUBERNETES_SERVICE_PORT"] ?? "443"
        let (tokenFile, caFile) = ("\(folder)/token", "\(folder)/ca.crt")
        for file in [tokenFile, caFile] where !FileManager.default.isReadableFile(atPath: file) {
            throw ConfigProblem(
                at: ConfigLocation(file), "the API server cannot be asked: \(file) cannot be read",
                remedy: "set automountServiceAccountToken: true in the pod's spec")
        }
        let tls = try ControlTLS(ClientTLSConfig(caFile: caFile), logger: logger)
        let token = TokenFile(tokenFile)
        return ClusterAccess(
            url: "https://\(host.asHost):\(port)", source: "KUBERNETES_SERVICE_HOST", authorities: caFile,
            tokenSource: tokenFile, tls: { tls.current }, token: { token.current })
    }
}

/// A file with a token, which whoever mounts it renews long before the old one ends.
final class TokenFile: Sendable {
    private let path: String
    private let last = Mutex<String?>(nil)

    init(_ path: String) { self.path = path }

    /// What the file has, or had when it could be read last.
    var current: String? {
        let text = FileManager.default.contents(atPath: self.path).map { String(decoding: $0, as: UTF8.self).trimmed }
        return self.last.withLock { last in
            if let text, !text.isEmpty { last = text }
            return last
        }
    }
}
