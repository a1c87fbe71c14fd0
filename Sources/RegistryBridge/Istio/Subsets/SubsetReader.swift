// SPDX-License-Identifier: Apache-2.0

import AsyncHTTPClient
import Common
import FoundationEssentials
package import Logging
package import NIOCore
import NIOHTTP1
import NIOSSL
import Serving

/// Asks Kubernetes for DestinationRules, as Istio's control plane does not say what subsets select by.
///
/// It asks where a token of the service account is mounted: again when clusters have changed, and from time to time. What
/// cannot be read is told once, and what was known before stays.
package actor SubsetReader {
    private enum News: Sendable { case wanted }

    /// What one answer says.
    private enum Answer {
        case rules(DestinationRules)
        /// Nothing is known by this version of the API.
        case unknown
    }

    private static let versions = ["v1", "v1beta1", "v1alpha3"]
    private static let bodyLimit = 64 << 20
    private static let timeout = Duration.seconds(10)
    /// Between two questions, whatever happens.
    private static let pause = Duration.seconds(1)
    /// Until everything is asked for again.
    private static let again = Duration.seconds(300)
    /// The same where not all was answered, and where other clusters have changed.
    private static let soon = Duration.seconds(30)

    private let server: String
    private let directory: String
    private let domain: String
    private let client: ControlClient
    private let logger: Logger
    private let news = Mailbox<News>("istio subsets", capacity: 1, whenFull: .dropNewest)
    private var namespaces: Set<String> = []
    private var subsets: Set<ClusterName> = []
    /// Whether there are other subsets than were asked for.
    private var isDue = false
    private var rules: [String: DestinationRules] = [:]
    /// Which version was known last.
    private var version = 0
    private var told: Set<String> = []

    /// A reader that asks nobody yet.
    ///
    /// - Parameter environment: That of the process, in which Kubernetes says where it is.
    /// - Parameter directory: The folder with `token` and `ca.crt`.
    /// - Parameter domain: That of the cluster.
    /// - Returns: `nil` outside of Kubernetes.
    package init?(
        environment: [String: String], directory: String, domain: String, loops: any EventLoopGroup, logger: Logger
    ) {
        guard let host = environment["KUBERNETES_SERVICE_HOST"], !host.isEmpty else { return nil }
        self.server = "https://\(host.asHost):\(environment["KUBERNETES_SERVICE_PORT"] ?? "443")"
        self.directory = directory
        self.domain = domain
        self.client = ControlClient(bodyLimit: Self.bodyLimit, loops: loops)
        self.logger = logger
    }

    /// Clusters have changed.
    ///
    /// - Parameter subsets: Those that there are, which are asked for at once where they are others.
    func want(_ subsets: Set<ClusterName>, in place: MeshPlace) {
        if subsets != self.subsets {
            self.isDue = true
            self.subsets = subsets
            // A rule for a host may stand in either namespace.
            let others = subsets.compactMap { place.namespace(of: $0.host) }.filter(Self.isLabel)
            self.namespaces = subsets.isEmpty ? [] : Set(others + [place.namespace])
        }
        self.news.send(.wanted)
    }

    /// Whether a text may stand in a path: a cluster's name says what it likes.
    ///
    /// - Source: RFC 1123 §2.1, to which the names of namespaces keep.
    private static func isLabel(_ text: String) -> Bool {
        !text.isEmpty && text.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "-") }
    }

    /// Asks when there is something to ask, until cancelled; then the connections are closed.
    ///
    /// - Parameter own: The namespace whose rules come before those of others, as in Istio.
    func run(own: String, take: @Sendable (SubsetTable) async -> Void) async {
        var last = ContinuousClock.now
        var next: ContinuousClock.Instant?
        while !Task.isCancelled {
            if let next { _ = await self.news.receiveAll(until: next) } else { _ = await self.news.receive() }
            if Task.isCancelled { break }
            if let then = next, !self.isDue, .now < then {
                // A rule may be another one, with the same subsets.
                next = min(then, last + Self.soon)
                continue
            }
            self.isDue = false
            let isWhole = await self.ask()
            var table = SubsetTable()
            for namespace in [own] + self.rules.keys.sorted() {
                if let rules = self.rules[namespace] { table.add(rules, namespace: namespace, domain: self.domain) }
            }
            await take(table)
            last = .now
            next = last + (isWhole ? Self.again : Self.soon)
            try? await Task.sleep(for: Self.pause)
        }
        await self.client.close()
    }

    /// - Returns: Whether all that was asked for was answered.
    private func ask() async -> Bool {
        self.rules = self.rules.filter { self.namespaces.contains($0.key) }
        let token = FileManager.default.contents(atPath: "\(self.directory)/token").map {
            String(decoding: $0, as: UTF8.self)
        }
        guard let token, !token.allSatisfy(\.isWhitespace) else { return true }
        var isWhole = true
        for namespace in self.namespaces.sorted() {
            do {
                self.rules[namespace] = try await self.list(namespace, token: token)
            } catch {
                if Task.isCancelled { return false }
                isWhole = false
                self.tell((error as? Refusal)?.text ?? ConnectionFailure.text(error, within: Self.timeout), namespace)
            }
        }
        return isWhole
    }

    private struct Refusal: Error {
        let text: String
    }

    private func list(_ namespace: String, token: String) async throws -> DestinationRules {
        for offset in Self.versions.indices {
            let version = (self.version + offset) % Self.versions.count
            if case .rules(let rules) = try await self.list(namespace, Self.versions[version], token) {
                self.version = version
                return rules
            }
        }
        // Nobody has installed DestinationRules.
        return .none
    }

    private func list(_ namespace: String, _ version: String, _ token: String) async throws -> Answer {
        let path = "/apis/networking.istio.io/\(version)/namespaces/\(namespace)/destinationrules"
        var request = HTTPClientRequest(url: self.server + path)
        request.headers.add(name: "Authorization", value: "Bearer \(token.filter { !$0.isWhitespace })")
        request.headers.add(name: "Accept", value: "application/json")
        var tls = TLSConfiguration.makeClientConfiguration()
        let authorities = "\(self.directory)/ca.crt"
        do {
            let bytes = try UnusableFile.readCertificates(authorities, remedy: "mount it beside the token")
            tls.trustRoots = .certificates(try NIOSSLCertificate.fromPEMBytes(bytes))
        } catch {
            throw Refusal(text: "\(error)")
        }
        request.tlsConfiguration = tls
        let answer = try await self.client.whole(
            request, name: nil, at: nil, timeout: Self.timeout, silence: Self.timeout)
        switch answer.status {
        case 200:
            guard let rules = try? JSONDecoder().decode(DestinationRules.self, from: answer.body) else {
                throw Refusal(text: "the answer to \(path) is no list of DestinationRules")
            }
            return .rules(rules)
        case 404: return .unknown
        case 403:
            throw Refusal(
                text:
                    "status 403: the service account may not list them; bind it to a role with the verbs get and list "
                    + "for destinationrules of networking.istio.io")
        case let status: throw Refusal(text: "status \(status)")
        }
    }

    private func tell(_ text: String, _ namespace: String) {
        let isNew = self.told.count < 100 && self.told.insert("\(namespace) \(text)").inserted
        self.logger.log(
            level: isNew ? .warning : .debug,
            "Kubernetes does not say which labels subsets have; they are told apart by their names",
            metadata: ["server": "\(self.server)", "namespace": "\(namespace)", "error": "\(text)"])
    }
}
