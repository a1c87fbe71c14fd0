// SPDX-License-Identifier: Apache-2.0

import NIOCore
import NIOPosix
import SimulationSupport
import Testing

@Suite("The simulated dialer next to a real one") struct DialerTests {
    private static let script = Script(name: "", steps: [])

    @Test("has the same story when it is accepted, and when it is refused", arguments: [true, false])
    func sameStory(isAccepted: Bool) async throws {
        let real = try await Self.real(isAccepted)
        #expect(try Self.simulated(isAccepted ? .accepted : .refused) == real)
    }

    @Test("gives up after the connect timeout") func timesOut() throws {
        #expect(try Self.simulated(.silent) == ["connect fails", "unregistered", "removed"])
    }

    private enum Answer { case accepted, refused, silent }

    private static func real(_ isAccepted: Bool) async throws -> [String] {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let server = try await ServerBootstrap(group: group).bind(host: "127.0.0.1", port: 0).get()
        let address = try #require(server.localAddress)
        if !isAccepted { try await server.close() }
        let recorder = Recorder(Self.script)
        let loop = group.next()
        let future = loop.submit {
            ClientBootstrap(group: loop).channelInitializer { $0.pipeline.addHandler(recorder) }.connect(to: address)
                .always { recorder.note(Self.text($0)) }
        }.flatMap { $0 }
        let channel = try? await future.get()
        try await channel?.close()
        for _ in 0..<10 { try await loop.submit {}.get() }
        let log = try await loop.submit { recorder.finish() }.get()
        try await group.shutdownGracefully()
        return log
    }

    private static func simulated(_ answer: Answer) throws -> [String] {
        let loop = SimulatedLoop()
        defer { loop.shutDown() }
        let recorder = Recorder(Self.script)
        var called: (channel: SimulatedChannel, wire: SimulatedWire)?
        let dialer = SimulatedDialer(loop: loop) { called = ($1, $2) }
        let future = dialer.connect(to: try SocketAddress(ipAddress: "127.0.0.1", port: 1), timeout: .seconds(1)) {
            try $0.pipeline.syncOperations.addHandler(recorder)
        }
        future.assumeIsolated().whenComplete { recorder.note(Self.text($0)) }
        let (channel, wire) = try #require(called)
        switch answer {
        case .accepted: wire.near.accept()
        case .refused: wire.near.refuse()
        case .silent: loop.advance(to: loop.now + .seconds(1))
        }
        channel.handleEvent()
        while loop.step() {}
        if answer == .accepted { channel.close(promise: nil) }
        while loop.step() {}
        wire.cut()
        return recorder.finish()
    }

    private static func text(_ result: Result<any Channel, any Error>) -> String {
        switch result {
        case .success: "connect succeeds"
        case .failure: "connect fails"
        }
    }
}
