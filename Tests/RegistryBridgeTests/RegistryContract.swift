// SPDX-License-Identifier: Apache-2.0

import Common
import NIOCore
import NIOPosix
import RegistryBridge
import TestSupport
import Testing

/// What every registry must do, whatever it is: one suite for all, so that none drifts apart.
protocol RegistryContract: Sendable {
    /// The registry under test.
    var registry: any Registry { get }
    /// Makes the registry hold these instances, by service.
    func set(_ services: [String: [ContractInstance]]) async throws
    /// Makes the registry answer nonsense, or not at all, and returns when that has been noticed.
    func damage() async throws
    /// Traffic asks for a service.
    func want(_ service: String)
}

/// One instance of the contract's services.
struct ContractInstance: Sendable {
    var port: Int
    var version = "1.0.0"
    var status = "UP"
}

extension RegistryContract {
    /// Runs the contract.
    func check() async throws {
        let snapshot = TestPublisher()
        try await self.set(["cart": [ContractInstance(port: 8081)]])
        let registry = self.registry
        self.want("cart")
        let following = Task { try await registry.follow(snapshot.publisher) }

        // What is registered is found; what is not, is known not to be.
        try await Self.wait { Self.ports(snapshot) == [8081] }
        #expect(snapshot.current.isSynced)
        #expect(snapshot.current["nosuch"] == nil)

        // A change arrives; endpoints that stay keep their identity.
        let before = snapshot.current["cart"]?.instances.first?.endpoints.first
        try await self.set(["cart": [ContractInstance(port: 8081), ContractInstance(port: 8082)]])
        try await Self.wait { Self.ports(snapshot) == [8081, 8082] }
        #expect(snapshot.current["cart"]?.instances.first?.endpoints.first === before)

        // Older versions and instances that are down get no traffic.
        try await self.set([
            "cart": [
                ContractInstance(port: 8081), ContractInstance(port: 8083, version: "1.10.0"),
                ContractInstance(port: 8084, version: "1.10.0", status: "DOWN"),
                ContractInstance(port: 8085, version: "1.10.0", status: "TESTING"),
            ]
        ])
        try await Self.wait { Self.ports(snapshot) == [8083, 8085] }

        // Damage changes nothing.
        let published = snapshot.current
        try await self.damage()
        #expect(Self.ports(snapshot) == [8083, 8085])
        #expect(snapshot.current === published)

        // And it heals.
        try await self.set(["cart": [ContractInstance(port: 8086)]])
        try await Self.wait {
            self.want("cart")
            return Self.ports(snapshot) == [8086]
        }
        following.cancel()
        _ = await following.result
    }

    private static func ports(_ snapshot: TestPublisher) -> [Int]? {
        snapshot.current["cart"]?.defaultEndpoints.endpoints.map(\.port).sorted()
    }

    static func wait(line: Int = #line, _ isDone: () -> Bool) async throws {
        let hasCome = await eventually(within: .seconds(20)) { isDone() }
        try #require(hasCome, "line \(line): the registry's change did not arrive")
    }
}
