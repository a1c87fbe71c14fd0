// SPDX-License-Identifier: Apache-2.0

import CSimulation
import NIOCore
import NIOPosix
import SimulationSupport
import Testing

/// The simulated channel does what NIO's does on a real socket: the same callbacks in the same order, inside the same
/// calls, and the same for the peer.
@Suite("The simulated channel next to a real one") struct DifferenceTests {
    /// - Parameter reads: Reads of an event; the product does one.
    @Test("has the same story", arguments: Script.all, [1, 4]) func sameStory(_ script: Script, reads: UInt)
        async throws
    {
        let real = try await RealRun(script: script, reads: reads).story()
        let simulated = try SimulatedRun(script: script, reads: reads).story()
        #expect(simulated == real)
    }
}

/// A script on the simulated channel.
private struct SimulatedRun {
    let script: Script
    let reads: UInt

    func story() throws -> [String] {
        let loop = SimulatedLoop()
        defer { loop.shutDown() }
        let wire = SimulatedWire(send: 256 * 1024, receive: 256 * 1024)
        let channel = SimulatedChannel(loop: loop, socket: wire.near)
        let recorder = Recorder(self.script)
        try channel.syncOptions?.setOption(.allowRemoteHalfClosure, value: self.script.allowsHalfClosure)
        try channel.syncOptions?.setOption(.maxMessagesPerRead, value: self.reads)
        try channel.pipeline.syncOperations.addHandler(recorder)
        channel.becomeAccepted()
        var received = 0
        func settle() {
            wire.settle()
            while channel.isReady || loop.hasDueTask {
                channel.handleEvent()
                while loop.step() {}
                wire.settle()
            }
        }
        settle()
        for step in self.script.steps {
            switch step {
            case .peerSend(let count): _ = try wire.far.write(ByteBuffer(repeating: 9, count: count))
            case .peerFIN: try wire.far.shutDownOutput()
            case .peerClose: wire.far.close()
            case .peerReset: wire.far.reset()
            case .peerRead: received += try Self.drain(wire.far, settle)
            default: recorder.perform(step, channel) { wire.settle() }
            }
            settle()
        }
        var end = "gone"
        if wire.far.isOpen {
            received += try Self.drain(wire.far, settle)
            end = wire.far.isReset ? "reset" : wire.far.hasFIN ? "FIN" : "open"
            wire.far.close()
        }
        if !channel.isClosed {
            recorder.perform(.together([.close(.all)]), channel) {}
            settle()
        }
        wire.cut()
        return recorder.finish() + [Self.text(received), end]
    }

    private static func drain(_ socket: SimulatedSocket, _ settle: () -> Void) throws -> Int {
        var count = 0
        while socket.isOpen {
            var bytes = ByteBuffer()
            guard case .bytes(let read)? = try? socket.read(into: &bytes, most: 1 << 20) else { return count }
            count += read
            settle()
        }
        return count
    }

    /// How much a kernel buffers differs.
    static func text(_ received: Int) -> String {
        received >= Script.much ? "peer has all" : received > 20_000 ? "peer has some" : "peer has \(received)"
    }
}

/// A script on a loopback connection.
private struct RealRun {
    let script: Script
    let reads: UInt

    func story() async throws -> [String] {
        let script = self.script
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let recorder = Recorder(script)
        let accepted = group.next().makePromise(of: (any Channel).self)
        let server = try await ServerBootstrap(group: group)
            .childChannelOption(.allowRemoteHalfClosure, value: script.allowsHalfClosure)
            .childChannelOption(.maxMessagesPerRead, value: self.reads)
            .childChannelOption(.socketOption(.so_sndbuf), value: 64 * 1024)
            .childChannelInitializer { channel in
                accepted.succeed(channel)
                return channel.pipeline.addHandler(recorder)
            }
            .bind(host: "127.0.0.1", port: 0).get()
        let peer = try RawPeer(port: UInt16(server.localAddress?.port ?? 0))
        let channel = try await accepted.futureResult.get()
        let loop = channel.eventLoop
        func settle() async throws {
            // The kernel has everything by now; the loop looks at sockets before it runs tasks.
            for _ in 0..<30 { try await loop.submit {}.get() }
        }
        try await settle()
        var received = 0
        for step in script.steps {
            switch step {
            case .peerSend(let count): peer.send(count)
            case .peerFIN: peer.shutDown()
            case .peerClose: peer.close()
            case .peerReset: peer.reset()
            case .peerRead: received += peer.drain()
            default: try await loop.submit { recorder.perform(step, channel) {} }.get()
            }
            try await settle()
        }
        received += peer.drain()
        let end = peer.end
        try await loop.submit { if channel.isActive { recorder.perform(.together([.close(.all)]), channel) {} } }.get()
        try await settle()
        let log = try await loop.submit { recorder.finish() }.get()
        peer.close()
        try await server.close()
        try await group.shutdownGracefully()
        return log + [SimulatedRun.text(received), end]
    }
}

/// The other end of a real connection, without NIO.
private final class RawPeer {
    private var descriptor: CInt
    private(set) var end = "gone"

    init(port: UInt16) throws {
        self.descriptor = simulation_peer_connect(port)
        try #require(self.descriptor >= 0)
    }

    func send(_ count: Int) { simulation_peer_send(self.descriptor, CInt(count)) }

    func shutDown() { simulation_peer_shut_down(self.descriptor) }

    func close() {
        guard self.descriptor >= 0 else { return }
        simulation_peer_close(self.descriptor)
        self.descriptor = -1
    }

    func reset() {
        simulation_peer_reset(self.descriptor)
        self.descriptor = -1
    }

    /// Reads until nothing has come for a while, and takes note of the end.
    func drain() -> Int {
        guard self.descriptor >= 0 else { return 0 }
        var count = 0
        while true {
            let read = simulation_peer_read(self.descriptor)
            switch read {
            case -2: self.end = "open"
            case -1: self.end = "reset"
            case 0 where self.end != "reset": self.end = "FIN"
            case 0: break
            default:
                count += Int(read)
                continue
            }
            return count
        }
    }
}
