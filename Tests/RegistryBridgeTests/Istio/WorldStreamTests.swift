// SPDX-License-Identifier: Apache-2.0

import IstioMessages
import SwiftProtobuf
import Testing

@testable import RegistryBridge

@Suite("a stream in state of the world")
struct WorldStreamTests {
    private var stream: WorldStream
    private let refusal = ResourceRefusal(name: "a", reason: "it has no name")

    init() {
        var node = XDSNode()
        node.id = "me"
        self.stream = WorldStream(node: node)
    }

    private mutating func hear(
        _ kind: ResourceKind, version: String, nonce: String
    ) throws -> ReadResponse {
        let response = XDSDiscoveryResponse.with {
            $0.typeURL = kind.typeURL
            $0.versionInfo = version
            $0.nonce = nonce
        }
        let read = try self.stream.read(response.serializedBytes())
        return try #require(read)
    }

    @Test("begins with all clusters, and with other kinds only when something is wanted of them")
    mutating func begins() {
        let requests = self.stream.begin([.route: ["80"]], versions: [.cluster: ["a": "1"]])
        #expect(requests.map(\.typeURL) == [ResourceKind.cluster.typeURL, ResourceKind.route.typeURL])
        #expect(requests.map(\.resourceNames) == [[], ["80"]])
        #expect(requests.map(\.node.id) == ["me", ""])
        #expect(requests.allSatisfy { $0.versionInfo.isEmpty && $0.responseNonce.isEmpty })
    }

    @Test("accepts with the version and the nonce of the response, and all names")
    mutating func accepts() throws {
        _ = self.stream.begin([.endpoints: ["b", "a"]], versions: [:])
        let answer = try self.stream.answer(self.hear(.endpoints, version: "7", nonce: "n"), [])
        #expect(answer.count == 1)
        #expect(answer.first?.versionInfo == "7")
        #expect(answer.first?.responseNonce == "n")
        #expect(answer.first?.resourceNames == ["a", "b"])
        #expect(answer.first?.hasErrorDetail == false)
        #expect(answer.first?.hasNode == false)
    }

    @Test("refuses with the version that was accepted last, and says what and why")
    mutating func refuses() throws {
        _ = self.stream.begin([:], versions: [:])
        let first = try self.stream.answer(self.hear(.cluster, version: "1", nonce: "x"), [self.refusal])
        #expect(first.map(\.versionInfo) == [""])
        #expect(first.first?.errorDetail.code == 3)
        #expect(first.first?.errorDetail.message == "a: it has no name")
        _ = try self.stream.answer(self.hear(.cluster, version: "2", nonce: "y"), [])
        let third = try self.stream.answer(self.hear(.cluster, version: "3", nonce: "z"), [self.refusal])
        #expect(third.map(\.versionInfo) == ["2"])
        #expect(third.map(\.responseNonce) == ["z"])
    }

    @Test("says changed names at once, with the last nonce, and an empty list to end")
    mutating func subscribes() throws {
        _ = self.stream.begin([:], versions: [:])
        #expect(self.stream.want([], of: .endpoints) == nil)
        #expect(self.stream.want(["a"], of: .endpoints)?.responseNonce == "")
        #expect(self.stream.want(["a"], of: .endpoints) == nil)
        #expect(self.stream.want(["a", "b"], of: .endpoints)?.responseNonce == "", "no response was seen yet")
        _ = try self.stream.answer(self.hear(.endpoints, version: "1", nonce: "n"), [])
        let said = self.stream.want(["b"], of: .endpoints)
        let more = try #require(said)
        #expect(more.resourceNames == ["b"])
        #expect(more.versionInfo == "1")
        #expect(more.responseNonce == "n")
        #expect(self.stream.want([], of: .endpoints)?.resourceNames == [])
    }

    @Test("says names that change while a response is read with its acceptance, and after a refusal by themselves")
    mutating func waitsForAnswer() throws {
        _ = self.stream.begin([.route: ["80"]], versions: [:])
        let first = try self.hear(.route, version: "1", nonce: "n")
        #expect(self.stream.want(["80", "90"], of: .route) == nil)
        #expect(self.stream.answer(first, []).map(\.resourceNames) == [["80", "90"]])
        let second = try self.hear(.route, version: "2", nonce: "o")
        #expect(self.stream.want(["90"], of: .route) == nil)
        let answers = self.stream.answer(second, [self.refusal])
        #expect(answers.map(\.resourceNames) == [["80", "90"], ["90"]])
        #expect(answers.map(\.hasErrorDetail) == [true, false])
        #expect(answers.map(\.versionInfo) == ["1", "1"])
        #expect(answers.map(\.responseNonce) == ["o", "o"])
    }

    @Test("in xDS v2 kinds have other names, and every request says who asks")
    func version2() throws {
        var stream = WorldStream(node: .with { $0.id = "me" }, isVersion2: true)
        let requests = stream.begin([.endpoints: ["a"], .route: ["80"]], versions: [:])
        #expect(
            requests.map(\.typeURL)
                == ["Cluster", "ClusterLoadAssignment", "RouteConfiguration"].map {
                    "type.googleapis.com/envoy.api.v2.\($0)"
                })
        #expect(requests.map(\.node.id) == ["me", "me", "me"])
        let response = XDSDiscoveryResponse.with {
            $0.typeURL = ResourceKind.cluster.oldTypeURL
            $0.nonce = "n"
            $0.resources = [ResourceKind.cluster.oldTypeURL, ResourceKind.route.oldTypeURL].map { url in
                .with { $0.typeURL = url }
            }
        }
        let read = try #require(try stream.read(response.serializedBytes()))
        #expect(read.update.resources.map(\.typeURL) == [ResourceKind.cluster.typeURL, ResourceKind.route.oldTypeURL])
        let answer = stream.answer(read, [])
        #expect(answer.map(\.node.id) == ["me"])
        #expect(answer.map(\.typeURL) == [ResourceKind.cluster.oldTypeURL])
        let newer = XDSDiscoveryResponse.with { $0.typeURL = ResourceKind.cluster.typeURL }
        #expect(try stream.read(newer.serializedBytes()) == nil)
    }

    @Test("reads clusters as a whole, other kinds as parts, and nothing that was not asked for")
    mutating func reads() throws {
        _ = self.stream.begin([.endpoints: ["a"]], versions: [:])
        #expect(try self.hear(.cluster, version: "1", nonce: "n").update.isWhole)
        #expect(try self.hear(.endpoints, version: "1", nonce: "n").update.isWhole == false)
        let other = XDSDiscoveryResponse.with { $0.typeURL = ResourceKind.route.typeURL }
        #expect(try self.stream.read(other.serializedBytes()) == nil)
        #expect(throws: (any Error).self) { try self.stream.read([0x0a, 0xff]) }
    }
}
