// SPDX-License-Identifier: Apache-2.0

import Common
import Foundation
import GRPCCore
import TLS
import TestSupport
import Testing

@testable import RegistryBridge

@Suite("what opens Istio's control plane")
struct ControlPlaneAccessTests {
    private struct Broken: Error {}

    private let folder = FileManager.default.temporaryDirectory.appendingPathComponent("access-\(UUID().uuidString)")
        .path
    private let secure: ServerAddress
    private let mutual: ServerAddress

    init() throws {
        self.secure = try ServerAddress(discovery: "istiod.istio-system:15012")
        self.mutual = try ServerAddress(discovery: "istio-pilot.istio-system:15011")
        try FileManager.default.createDirectory(atPath: self.folder, withIntermediateDirectories: true)
    }

    private var access: ControlPlaneAccess {
        var config = IstioConfig()
        config.rootCertificate = "\(self.folder)/root.pem"
        config.tokenFile = "\(self.folder)/token"
        config.certificateDirectory = self.folder
        return ControlPlaneAccess(config: config)
    }

    private func write(_ name: String, _ bytes: [UInt8]) throws {
        try Data(bytes).write(to: URL(fileURLWithPath: "\(self.folder)/\(name)"))
    }

    private func failure(of server: ServerAddress) -> String? {
        do throws(UnusableFile) {
            _ = try self.access.security(of: server)
            _ = try self.access.metadata(for: server)
            return nil
        } catch {
            return "\(error)"
        }
    }

    @Test("a token is read for each call, and said to a server that speaks TLS only")
    func token() throws {
        defer { try? FileManager.default.removeItem(atPath: self.folder) }
        let plain = try ServerAddress(discovery: "istiod:15010")
        #expect(self.failure(of: plain) == nil)
        for token in ["a.b.c", "d.e.f"] {
            try self.write("token", Array("\(token)\n".utf8))
            #expect(
                Array(try self.access.metadata(for: self.secure)[stringValues: "authorization"]) == ["Bearer \(token)"])
            #expect(try self.access.metadata(for: plain).isEmpty)
            #expect(try self.access.metadata(for: self.mutual).isEmpty)
        }
        for nonsense in ["", " \n", "a b", "a\r\nb"] {
            try self.write("token", Array(nonsense.utf8))
            #expect(throws: UnusableFile.self) { try self.access.metadata(for: self.secure) }
        }
    }

    @Test("a file that is missing or makes no sense is named, with what to do")
    func files() throws {
        defer { try? FileManager.default.removeItem(atPath: self.folder) }
        #expect(
            self.failure(of: self.secure)
                == "\(self.folder)/root.pem cannot be read: mount the ConfigMap istio-ca-root-cert there, or set mesher.istio.rootCertificate"
        )
        try self.write("root.pem", Array("nothing".utf8))
        #expect(self.failure(of: self.secure) == "\(self.folder)/root.pem has no certificate: write it as PEM")
        try self.write("root.pem", TestCertificate.chain.bytes)
        #expect(self.failure(of: self.secure)?.hasPrefix("\(self.folder)/token cannot be read: mount a token") == true)
        #expect(
            self.failure(of: self.mutual)?.hasPrefix("\(self.folder)/root-cert.pem cannot be read: mount the") == true)
        try self.write("root-cert.pem", TestCertificate.chain.bytes)
        try self.write("cert-chain.pem", TestCertificate.chain.bytes)
        #expect(self.failure(of: self.mutual)?.hasPrefix("\(self.folder)/key.pem cannot be read") == true)
        try self.write("key.pem", TestCertificate.otherKey.bytes)
        #expect(
            self.failure(of: self.mutual)?.hasPrefix(
                "\(self.folder)/key.pem is not the key of \(self.folder)/cert-chain.pem") == true)
        try self.write("key.pem", TestCertificate.key.bytes)
        #expect(self.failure(of: self.mutual) == nil)
    }

    @Test("the name of a workload is read in Istio's form only, and an old control plane is known by its account")
    func names() throws {
        let name = try #require(WorkloadName("spiffe://cluster.local/ns/shop/sa/web"))
        #expect(name == WorkloadName(trustDomain: "cluster.local", namespace: "shop", serviceAccount: "web"))
        #expect("\(name)" == "spiffe://cluster.local/ns/shop/sa/web")
        for other in [
            "spiffe://cluster.local/ns/shop", "https://a/ns/b/sa/c", "spiffe:///ns/b/sa/c", "spiffe://a/ns/b/sa/",
        ] {
            #expect(WorkloadName(other) == nil, "\(other)")
        }
        let wanted = WorkloadName.Accounts.controlPlane(of: "istio-pilot.mesh.svc")
        #expect(wanted.contains("spiffe://a/ns/mesh/sa/istio-pilot-service-account"))
        #expect(!wanted.contains("spiffe://a/ns/other/sa/istio-pilot-service-account"))
        #expect(!wanted.contains("spiffe://a/ns/mesh/sa/web"))
    }

    @Test("a failure has the words of whoever knows most")
    func failures() {
        func failure(_ error: any Error) -> CallFailure {
            CallFailure(error, authorities: "root.pem", within: .seconds(1))
        }
        let refused = failure(RPCError(code: .permissionDenied, message: "not yours"))
        #expect(refused.text == "PERMISSION_DENIED: not yours")
        #expect(refused.isRefusal)
        #expect(failure(RPCError(code: .unauthenticated, message: "")).isRefusal)
        #expect(failure(RPCError(code: .internalError, message: "x")).text == "INTERNAL: x")
        #expect(!failure(RPCError(code: .unavailable, message: "x")).isRefusal)
        let nested = RPCError(
            code: .unavailable, message: "a", cause: RPCError(code: .unavailable, message: "b", cause: Broken()))
        #expect(failure(nested).text == "the connection failed (Broken)")
    }
}
