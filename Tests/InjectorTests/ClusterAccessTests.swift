// SPDX-License-Identifier: Apache-2.0

import Common
import Foundation
import Logging
import Testing

@testable import Injector

@Suite("how the API server is reached")
struct ClusterAccessTests {
    private let folder = FileManager.default.temporaryDirectory.appending(path: UUID().uuidString).path
    private let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

    init() throws { try FileManager.default.createDirectory(atPath: self.folder, withIntermediateDirectories: true) }

    @discardableResult
    private func write(_ name: String, _ text: String) throws -> String {
        try text.write(toFile: "\(self.folder)/\(name)", atomically: true, encoding: .utf8)
        return "\(self.folder)/\(name)"
    }

    private func root() throws -> String {
        let plan = CertificatePlan(
            service: "s", namespace: "n", authorityLife: .seconds(60), certificateLife: .seconds(20))
        return PEM.text(try OwnCertificates(plan, at: Date()).authorities)
    }

    @Test(
        "in a cluster: by environment and service account, with a token that is read again",
        arguments: [("10.0.0.1", "https://10.0.0.1:6443"), ("fd00::1", "https://[fd00::1]:6443")])
    func inCluster(_ host: String, _ url: String) throws {
        let environment = ["KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": "6443"]
        #expect(try ClusterAccess.inCluster([:], folder: self.folder, logger: self.logger) == nil)
        do {
            _ = try ClusterAccess.inCluster(environment, folder: self.folder, logger: self.logger)
            Issue.record("there is no token")
        } catch {
            #expect(error.problem.contains("\(self.folder)/token cannot be read"))
            #expect(error.remedy.contains("automountServiceAccountToken: true"))
        }
        try self.write("token", "one\n")
        try self.write("ca.crt", try self.root())
        let access = try #require(try ClusterAccess.inCluster(environment, folder: self.folder, logger: self.logger))
        #expect(access.url == url && access.token() == "one")
        try self.write("token", "two")
        #expect(access.token() == "two")
        try self.write("token", "")
        #expect(access.token() == "two", "half a file is none")
        try FileManager.default.removeItem(atPath: "\(self.folder)/token")
        #expect(access.token() == "two")
        try FileManager.default.removeItem(atPath: self.folder)
    }

    private func kubeconfig(_ cluster: String, _ user: String) throws -> String {
        try self.write(
            "config",
            """
            apiVersion: v1
            kind: Config
            current-context: here
            contexts:
            - {name: other, context: {cluster: nowhere, user: nobody}}
            - {name: here, context: {cluster: c, user: u}}
            clusters:
            - name: c
              cluster: \(cluster)
            users:
            - {name: u, user: \(user)}
            """)
    }

    @Test("outside: by the current context of a kubeconfig, whose paths begin at its folder")
    func kubeconfigs() throws {
        let data = Data(try self.root().utf8).base64EncodedString()
        let inside = try ClusterAccess.kubeconfig(
            self.kubeconfig(
                "{server: https://api.example:6443/base/, certificate-authority-data: \(data)}", "{token: t}"),
            logger: self.logger)
        #expect(inside.url == "https://api.example:6443/base" && inside.token() == "t")
        try self.write("ca.crt", try self.root())
        try self.write("t", "from-file")
        let files = try ClusterAccess.kubeconfig(
            self.kubeconfig(
                "{server: 'https://[::1]:6443', certificate-authority: ca.crt}", "{tokenFile: t, token: x}"),
            logger: self.logger)
        #expect(files.url == "https://[::1]:6443" && files.token() == "from-file")
        #expect(files.authorities == "\(self.folder)/ca.crt")
        try FileManager.default.removeItem(atPath: self.folder)
    }

    @Test(
        "what is not done, or not there, is told",
        arguments: [
            ("{server: http://a:1}", "{token: t}", "without TLS"),
            ("{server: https://a:x}", "{token: t}", "no address"),
            ("{server: https://a}", "{exec: {command: aws}}", "exec is not done here"),
            ("{server: https://a, proxy-url: x}", "{token: t}", "proxy-url is not done here"),
            ("{server: https://a, certificate-authority-data: '%'}", "{token: t}", "no base64"),
            ("{server: https://a, certificate-authority-data: AAAA}", "{token: t}", "no certificate"),
            ("{server: https://a}", "", "there is no user \"u\""),
        ])
    func mistakes(_ cluster: String, _ user: String, _ text: String) throws {
        do {
            _ = try ClusterAccess.kubeconfig(self.kubeconfig(cluster, user), logger: self.logger)
            Issue.record("taken")
        } catch let error as ConfigProblem {
            #expect("\(error)".contains(text), "\(error)")
        }
        try FileManager.default.removeItem(atPath: self.folder)
    }
}
