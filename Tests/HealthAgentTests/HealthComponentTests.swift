// SPDX-License-Identifier: Apache-2.0

import Common
import HealthAgent
import Logging
import NIOPosix
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(1))) struct HealthComponentTests {
    @Test("is healthy only when every check is")
    func combined() {
        let health = LocalHealth()
        #expect(health.isHealthy)
        #expect(!health.set(.init(name: "tcp:1", isHealthy: true), at: 0))
        #expect(health.set(.init(name: "tcp:2", isHealthy: false, failure: "x"), at: 1))
        #expect(!health.isHealthy)
        #expect(health.all.map(\.name) == ["tcp:1", "tcp:2"])
        #expect(health.set(.init(name: "tcp:2", isHealthy: true), at: 1))
    }

    @Test("sees the local application go and come back")
    func follows() async throws {
        let origin = try await TestOrigin.start { _ in "" }
        let port = try #require(UInt16(exactly: origin.port))
        let health = LocalHealth()
        let component = HealthComponent(
            [HealthCheckConfig(port: port, interval: .milliseconds(10))], health: health,
            loops: MultiThreadedEventLoopGroup.singleton,
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        let running = Task { try await component.run() }
        while health.all.isEmpty { await Task.yield() }
        #expect(health.isHealthy)
        await origin.stop()
        while health.isHealthy { await Task.yield() }
        #expect(health.all == [.init(name: "tcp:\(port)", isHealthy: false, failure: "cannot connect to port \(port)")])
        running.cancel()
        _ = await running.result
    }

    @Test("ends soon although the application accepts nothing")
    func full() async throws {
        let listener = try await FullListener.start()
        let check = HealthCheckConfig(
            port: try #require(UInt16(exactly: listener.port)), method: .rest(path: "/health", .init()),
            interval: .seconds(30))
        let component = HealthComponent(
            [check], health: LocalHealth(), loops: MultiThreadedEventLoopGroup.singleton,
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        let running = Task { try await component.run() }
        #expect(await eventually { listener.isCalled })
        let began = ContinuousClock.now
        running.cancel()
        _ = await running.result
        #expect(ContinuousClock.now - began < .seconds(2))
        await listener.stop()
    }
}
