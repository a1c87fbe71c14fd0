// SPDX-License-Identifier: Apache-2.0

import Common
import FoundationEssentials
import IstioMessages
import NIOCore
import NIOPosix
import SwiftProtobuf
import Synchronization
import TestSupport
import Testing

@testable import RegistryBridge

@Suite("the client of Istio's control plane")
struct DiscoveryClientTests {
    private final class Heard: Sendable {
        let updates = Mutex<[ResourceUpdate]>([])
        let held = Mutex<[ResourceKind: [String: String]]>([:])
        let refusals = Mutex<[ResourceRefusal]>([])
    }

    private let log = TestLog()
    private let status = ControlPlaneStatus()
    private let heard = Heard()

    private func client(
        _ servers: [String], patience: Duration = .seconds(30), allowsVersion2: Bool = false
    ) throws -> DiscoveryClient {
        let heard = self.heard
        var config = IstioConfig()
        config.allowsVersion2 = allowsVersion2
        return DiscoveryClient(
            try servers.map { try ServerAddress(discovery: $0) },
            node: NodeIdentity(environment: ["POD_NAME": "a", "INSTANCE_IP": "10.0.0.1"], host: "a", address: nil),
            config: config, status: self.status, pace: .usual.scaled(by: 0.02), patience: patience,
            loops: .singletonMultiThreadedEventLoopGroup, logger: self.log.logger,
            receive: { update in
                heard.updates.withLock { $0.append(update) }
                let refusals = heard.refusals.withLock { $0 }
                if refusals.isEmpty {
                    heard.held.withLock {
                        for each in update.resources { $0[update.kind, default: [:]][each.name ?? ""] = each.version }
                    }
                }
                return refusals
            }, versions: { kind in heard.held.withLock { $0[kind] ?? [:] } })
    }

    private func clusters(_ version: String, nonce: String) -> XDSDeltaDiscoveryResponse {
        .with {
            $0.typeURL = ResourceKind.cluster.typeURL
            $0.nonce = nonce
            $0.systemVersionInfo = version
            $0.resources = [
                .with {
                    $0.name = "c"
                    $0.version = version
                    $0.resource.typeURL = ResourceKind.cluster.typeURL
                    $0.resource.value = Data([1, 2])
                }
            ]
        }
    }

    @Test("hands over what is said, acknowledges it, and after the end of a stream says what it has")
    func reconnects() async throws {
        let streams = Mutex(0)
        let plane = ScriptedControlPlane(delta: { request in
            guard request.responseNonce.isEmpty, request.typeURL == ResourceKind.cluster.typeURL else {
                // The first stream ends with its acknowledgement.
                return streams.withLock { $0 } == 1 && !request.responseNonce.isEmpty ? .end : .nothing
            }
            return .send(self.clusters("1", nonce: "n\(streams.withLock { $0 += 1; return $0 })"))
        })
        try await plane.serving { port in
            let client = try self.client(["grpc://127.0.0.1:\(port)"])
            await client.want(["e"], of: .endpoints)
            let running = Task { await client.run() }
            #expect(
                await eventually {
                    plane.delta.withLock { $0.contains { $0.responseNonce == "n2" } } && self.status.current.isConnected
                })
            let firsts = plane.delta.withLock { $0.filter(\.hasNode) }
            #expect(
                firsts.map(\.node.id)
                    == Array(repeating: "sidecar~10.0.0.1~a.default~default.svc.cluster.local", count: 2))
            #expect(firsts.map(\.initialResourceVersions) == [[:], ["c": "1"]])
            #expect(plane.delta.withLock { $0.filter { $0.resourceNamesSubscribe == ["e"] }.count } == 2)
            #expect(self.heard.updates.withLock { $0.first?.resources.first?.bytes } == Data([1, 2]))
            let status = self.status.current
            #expect(status.form == .delta)
            #expect(status.server == "http://127.0.0.1:\(port)")
            #expect(status.resources["clusters"]?.count == 1)
            #expect(status.resources["clusters"]?.version == "1")
            #expect(status.lastUpdate != nil)
            await client.want(["e", "f"], of: .endpoints)
            #expect(
                await eventually { plane.delta.withLock { $0.last?.resourceNamesSubscribe == ["f"] } })
            running.cancel()
            await running.value
            #expect(self.status.current.isConnected == false)
        }
        let kept = self.log.lines.filter { $0.contains("control plane") }
        #expect(kept.count == 3, "\(kept)")
        #expect(kept.count { $0.hasPrefix("notice connected to the control plane") } == 2)
        #expect(kept.count { $0.hasPrefix("notice connection to the control plane lost") } == 1)
    }

    @Test("asks in state of the world where delta is not known, passes over a server that is away, and says refusals")
    func fallsBack() async throws {
        let plane = ScriptedControlPlane(world: { request in
            guard request.responseNonce.isEmpty, request.typeURL == ResourceKind.cluster.typeURL else {
                return .nothing
            }
            return .send(
                .with {
                    $0.typeURL = request.typeURL
                    $0.versionInfo = "7"
                    $0.nonce = "n"
                })
        })
        self.heard.refusals.withLock { $0 = [ResourceRefusal(name: "c", reason: "it has no name")] }
        try await plane.serving { port in
            let client = try self.client(["127.0.0.1:1", "127.0.0.1:\(port)"])
            let running = Task { await client.run() }
            #expect(await eventually { plane.world.withLock { $0.count == 2 } })
            let requests = plane.world.withLock { $0 }
            #expect(requests.map(\.hasNode) == [true, false])
            #expect(requests.last?.responseNonce == "n")
            #expect(requests.last?.versionInfo == "")
            #expect(requests.last?.errorDetail.message == "c: it has no name")
            let status = self.status.current
            #expect(status.form == .stateOfTheWorld)
            #expect(status.resources["clusters"]?.refusals == ["c": "it has no name"])
            #expect(status.resources["clusters"]?.refusedResponses == 1)
            running.cancel()
            await running.value
        }
        #expect(
            self.log.lines.contains {
                $0.contains("a resource of the control plane is refused name=c reason=it has no")
            })
        #expect(self.log.lines.contains { $0.contains("warning the control plane cannot be reached") })
        #expect(self.log.lines.contains { $0.contains("does not know delta") })
    }

    @Test("asks by xDS v2 where v3 is not known and that is allowed, and remembers it")
    func asksVersion2() async throws {
        let plane = ScriptedControlPlane(
            version: "v2",
            world: { request in
                guard request.responseNonce.isEmpty, request.typeURL == ResourceKind.cluster.oldTypeURL else {
                    return request.responseNonce.isEmpty ? .nothing : .end
                }
                return .send(
                    .with {
                        $0.typeURL = request.typeURL
                        $0.versionInfo = "7"
                        $0.nonce = "n"
                    })
            })
        try await plane.serving { port in
            let running = Task {
                await (try self.client(["127.0.0.1:\(port)"], allowsVersion2: true)).run()
            }
            // The first stream ends with its acknowledgement.
            #expect(await eventually { plane.world.withLock { $0.count >= 4 } })
            running.cancel()
            try await running.value
            #expect(plane.world.withLock { $0.allSatisfy { $0.node.id.hasPrefix("sidecar~10.0.0.1~a.default~") } })
            #expect(self.status.current.form == .version2)
            #expect(self.heard.updates.withLock { $0.first?.kind } == .cluster)
        }
        #expect(self.log.lines.count { $0.contains("the control plane does not know xDS v3, and is asked by v2") } == 1)
        #expect(self.log.lines.count { $0.contains("does not know delta") } == 1)
    }

    @Test(
        "says which versions are not spoken",
        arguments: [(false, "the server does not speak xDS v3"), (true, "neither")])
    func speaksNone(allowsVersion2: Bool, text: String) async throws {
        let plane = ScriptedControlPlane()
        try await plane.serving { port in
            let client = try self.client(["127.0.0.1:\(port)"], allowsVersion2: allowsVersion2)
            let running = Task { await client.run() }
            #expect(await eventually { self.status.current.failure?.contains(text) == true })
            running.cancel()
            await running.value
        }
    }

    @Test("a refusal is told of until its resource is said again, whatever else is said")
    func refusalsStay() async throws {
        let refusal = ResourceRefusal(name: "a", reason: "it has no name")
        let told = Mutex<[[String: String]?]>([])
        let plane = ScriptedControlPlane(world: { request in
            guard request.typeURL == ResourceKind.route.typeURL else { return .nothing }
            let (name, nonce): (UInt8, String)
            switch request.responseNonce {
            case "": (name, nonce) = (UInt8(ascii: "a"), "1")
            case "1": (name, nonce) = (UInt8(ascii: "b"), "2")
            case "2": (name, nonce) = (UInt8(ascii: "a"), "3")
            default: (name, nonce) = (0, "")
            }
            if nonce != "1" { told.withLock { $0.append(self.status.current.resources["routes"]?.refusals) } }
            if nonce.isEmpty { return .nothing }
            self.heard.refusals.withLock { $0 = nonce == "1" ? [refusal] : [] }
            return .send(
                .with {
                    $0.typeURL = request.typeURL
                    $0.nonce = nonce
                    $0.resources = [.with { $0.value = Data([0x0A, 1, name]) }]
                })
        })
        try await plane.serving { port in
            let client = try self.client(["127.0.0.1:\(port)"])
            await client.want(["a", "b"], of: .route)
            let running = Task { await client.run() }
            #expect(await eventually { told.withLock { $0.count } == 3 })
            #expect(told.withLock { $0 } == [["a": refusal.reason], ["a": refusal.reason], [:]])
            running.cancel()
            await running.value
        }
    }

    @Test("takes a response as large as that of a large mesh")
    func large() async throws {
        let size = 65 << 20
        let plane = ScriptedControlPlane(delta: { request in
            guard request.responseNonce.isEmpty else { return .nothing }
            var response = self.clusters("1", nonce: "n")
            response.resources[0].resource.value = Data(count: size)
            return .send(response)
        })
        try await plane.serving { port in
            let client = try self.client(["127.0.0.1:\(port)"])
            let running = Task { await client.run() }
            #expect(
                await eventually { self.heard.updates.withLock { $0.first?.resources.first?.bytes.count } == size })
            running.cancel()
            await running.value
        }
    }

    @Test("gives up a server that takes connections and says nothing")
    func silent() async throws {
        let listener = try await ServerBootstrap(group: .singletonMultiThreadedEventLoopGroup)
            .bind(host: "127.0.0.1", port: 0).get()
        let port = listener.localAddress?.port ?? 0
        let client = try self.client(["127.0.0.1:\(port)"], patience: .milliseconds(100))
        let running = Task { await client.run() }
        #expect(
            await eventually(within: .seconds(60)) { self.log.lines.count { $0.contains("no answer within") } > 1 },
            "\(self.log.lines)")
        running.cancel()
        await running.value
        try await listener.close()
    }

    @Test("says once that nobody is there")
    func nobody() async throws {
        let client = try self.client(["127.0.0.1:1"])
        let running = Task { await client.run() }
        #expect(
            await eventually(within: .seconds(60)) {
                self.log.lines.count { $0.contains("debug the control plane cannot be reached") } > 1
            })
        running.cancel()
        await running.value
        #expect(self.log.lines.count { $0.hasPrefix("warning") } == 1)
        #expect(self.status.current.failure != nil)
    }
}
