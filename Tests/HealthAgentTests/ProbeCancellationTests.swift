// SPDX-License-Identifier: Apache-2.0

import Common
import NIOCore
import NIOPosix
import TestSupport
import Testing

@testable import HealthAgent

/// Applications that hang hold up nobody who does not wait for them any more.
@Suite(.timeLimit(.minutes(1))) struct ProbeCancellationTests {
    private static let patience = Duration.seconds(30)

    @Test("a gRPC check of a silent application ends when it is cancelled")
    func silent() async throws {
        let origin = try await TestOrigin.start { _ in "" }
        let port = try #require(UInt16(exactly: origin.port))
        let probe = GRPCProbe(
            port: port, service: "", timeout: Self.patience, loops: MultiThreadedEventLoopGroup.singleton)
        let time = await self.timeToEnd(of: probe) { origin.connections > 0 }
        #expect(time < .seconds(1))
        #expect(await eventually { origin.connections == 0 })
        await origin.stop()
    }

    @Test("checks of an application that accepts nothing end when they are cancelled", arguments: [true, false])
    func full(isGRPC: Bool) async throws {
        let listener = try await FullListener.start()
        let port = try #require(UInt16(exactly: listener.port))
        let loops = MultiThreadedEventLoopGroup.singleton
        let probe: any Probe =
            isGRPC
            ? GRPCProbe(port: port, service: "", timeout: Self.patience, loops: loops)
            : TCPProbe(port: port, timeout: Self.patience, loops: loops)
        #expect(await self.timeToEnd(of: probe) { true } < .seconds(1))
        await listener.stop()
    }

    /// How long a check goes on after it is cancelled, which is as soon as `isUnderway`.
    private func timeToEnd(of probe: any Probe, once isUnderway: @Sendable () -> Bool) async -> Duration {
        let check = Task { await probe.check() }
        #expect(await eventually { isUnderway() })
        let began = ContinuousClock.now
        check.cancel()
        _ = await check.value
        return .now - began
    }
}

@Suite struct GRPCRequestTests {
    @Test(
        "a name of any length is sent whole, behind its length",
        arguments: [(0, []), (1, [0x0a, 1]), (127, [0x0a, 127]), (128, [0x0a, 0x80, 1]), (300, [0x0a, 0xac, 2])]
            as [(Int, [UInt8])])
    func request(length: Int, start: [UInt8]) {
        let name = String(repeating: "n", count: length)
        #expect(GRPCProbe.request(name) == start + name.utf8)
    }
}
