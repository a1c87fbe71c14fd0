// SPDX-License-Identifier: Apache-2.0

import IstioMessages
import SwiftProtobuf
import Testing

@testable import RegistryBridge

@Suite("a delta stream")
struct DeltaStreamTests {
    private var stream: DeltaStream

    init() {
        var node = XDSNode()
        node.id = "me"
        self.stream = DeltaStream(node: node)
    }

    private mutating func hear(
        _ kind: ResourceKind, _ resources: [String: String] = [:], removed: [String] = [], nonce: String
    ) throws -> ReadResponse {
        let response = XDSDeltaDiscoveryResponse.with {
            $0.typeURL = kind.typeURL
            $0.nonce = nonce
            $0.removedResources = removed
            $0.resources = resources.map { name, version in
                .with {
                    $0.name = name
                    $0.version = version
                    $0.resource.typeURL = kind.typeURL
                }
            }
        }
        let read = try self.stream.read(response.serializedBytes())
        return try #require(read)
    }

    @Test("begins with all clusters, and with other kinds only when something is wanted of them")
    mutating func begins() {
        let requests = self.stream.begin([.endpoints: ["b", "a"]], versions: [:])
        #expect(requests.map(\.typeURL) == [ResourceKind.cluster.typeURL, ResourceKind.endpoints.typeURL])
        #expect(requests.map(\.resourceNamesSubscribe) == [[], ["a", "b"]])
        #expect(requests.map(\.node.id) == ["me", ""])
        #expect(requests.allSatisfy { $0.initialResourceVersions.isEmpty && $0.responseNonce.isEmpty })
    }

    @Test("says what is held from streams before, of what is still wanted, once")
    mutating func reconnects() {
        let requests = self.stream.begin(
            [.endpoints: ["a"]],
            versions: [.cluster: ["c": "1"], .endpoints: ["a": "2", "b": "3"], .route: ["80": "4"]])
        #expect(requests.map(\.initialResourceVersions) == [["c": "1"], ["a": "2"]])
        #expect(requests.map(\.resourceNamesSubscribe) == [[], ["a"]])
        #expect(self.stream.want(["80"], of: .route)?.initialResourceVersions == ["80": "4"])
        #expect(self.stream.want(["80", "90"], of: .route)?.initialResourceVersions == [:])
    }

    @Test("says changed names without a nonce, and never nothing")
    mutating func subscribes() throws {
        _ = self.stream.begin([:], versions: [:])
        #expect(self.stream.want([], of: .endpoints) == nil)
        _ = self.stream.want(["a", "b"], of: .endpoints)
        let response = try self.hear(.endpoints, ["a": "1"], nonce: "n")
        let said = self.stream.want(["b", "c"], of: .endpoints)
        let change = try #require(said)
        #expect(change.resourceNamesSubscribe == ["c"])
        #expect(change.resourceNamesUnsubscribe == ["a"])
        #expect(change.responseNonce.isEmpty)
        #expect(self.stream.want(["b", "c"], of: .endpoints) == nil)
        let answer = self.stream.answer(response, [])
        #expect(answer.map(\.responseNonce) == ["n"])
        #expect(answer.allSatisfy { $0.resourceNamesSubscribe.isEmpty && $0.resourceNamesUnsubscribe.isEmpty })
        #expect(self.stream.want([], of: .endpoints)?.resourceNamesUnsubscribe == ["b", "c"])
    }

    @Test("answers every response by its own nonce, also when several are under way")
    mutating func answers() throws {
        _ = self.stream.begin([:], versions: [:])
        let first = try self.hear(.cluster, ["a": "1"], nonce: "x")
        let second = try self.hear(.cluster, ["b": "1"], nonce: "y")
        let refused = self.stream.answer(first, [ResourceRefusal(name: "a", reason: "its type is unknown")])
        #expect(refused.map(\.responseNonce) == ["x"])
        #expect(refused.first?.errorDetail.code == 3)
        #expect(refused.first?.errorDetail.message == "a: its type is unknown")
        let accepted = self.stream.answer(second, [])
        #expect(accepted.map(\.responseNonce) == ["y"])
        #expect(accepted.first?.hasErrorDetail == false)
    }

    @Test("refuses in a message that a server reads, however much there is to refuse")
    mutating func refusesMuch() throws {
        _ = self.stream.begin([:], versions: [:])
        let response = try self.hear(.cluster, ["a": "1"], nonce: "x")
        let reason = String(repeating: "r", count: 100_000)
        let refusals = (1...10_000).map { ResourceRefusal(name: "c\($0)", reason: reason) }
        let message = try #require(self.stream.answer(response, refusals).first?.errorDetail.message)
        #expect(message.utf8.count < 200_000)
        #expect(message.hasPrefix("c1: rrr") && message.hasSuffix("; and 9900 more"))
    }

    @Test("reads names and versions of resources, and what is gone")
    mutating func reads() throws {
        _ = self.stream.begin([:], versions: [:])
        let update = try self.hear(.cluster, ["a": "1"], removed: ["b"], nonce: "n").update
        #expect(update.resources.map(\.name) == ["a"])
        #expect(update.resources.map(\.version) == ["1"])
        #expect(update.resources.map(\.typeURL) == [ResourceKind.cluster.typeURL])
        #expect(update.removed == ["b"])
        #expect(update.isWhole == false)
        let other = XDSDeltaDiscoveryResponse.with { $0.typeURL = ResourceKind.route.typeURL }
        #expect(try self.stream.read(other.serializedBytes()) == nil)
    }
}
