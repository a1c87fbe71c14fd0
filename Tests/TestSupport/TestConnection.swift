// SPDX-License-Identifier: Apache-2.0

package import NIOCore
import NIOPosix
import Synchronization

/// A raw connection of a test: sends bytes, and waits for what comes back.
package final class TestConnection: Sendable {
    /// What has arrived.
    private final class Received: Sendable {
        struct State {
            var bytes = ByteBuffer()
            var isClosed = false
            var waiters:
                [(isDone: @Sendable (String, Bool) -> Bool, continuation: CheckedContinuation<String, Never>)] = []
        }
        let state = Mutex(State())

        func change(_ change: (inout State) -> Void) {
            let woken = self.state.withLock { state in
                change(&state)
                let text = String(buffer: state.bytes)
                let done = state.waiters.filter { $0.isDone(text, state.isClosed) }
                state.waiters.removeAll { $0.isDone(text, state.isClosed) }
                return done.map { ($0.continuation, text) }
            }
            for (continuation, text) in woken { continuation.resume(returning: text) }
        }
    }

    private final class Handler: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        let received: Received
        init(_ received: Received) { self.received = received }
        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            let bytes = Self.unwrapInboundIn(data)
            self.received.change { $0.bytes.writeImmutableBuffer(bytes) }
        }
        func channelInactive(context: ChannelHandlerContext) { self.received.change { $0.isClosed = true } }
        func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
    }

    private let channel: any Channel
    private let received: Received

    private init(_ channel: any Channel, _ received: Received) {
        self.channel = channel
        self.received = received
    }

    /// Connects to `address`.
    ///
    /// - Parameter isReading: Whether it takes what it is sent.
    package static func open(_ address: SocketAddress, isReading: Bool = true) async throws -> TestConnection {
        let received = Received()
        let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .channelOption(.autoRead, value: isReading)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(Handler(received))
                }
            }
            .connect(to: address).get()
        return TestConnection(channel, received)
    }

    /// Sends text.
    package func send(_ text: String) async throws {
        try await self.channel.writeAndFlush(ByteBuffer(string: text)).get()
    }

    /// Closes the sending side only.
    package func endSending() async throws { try await self.channel.close(mode: .output).get() }

    /// Everything received so far, as soon as it contains `text` or the connection is closed.
    package func read(until text: String) async -> String {
        await self.wait { received, isClosed in isClosed || received.contains(text) }
    }

    /// Everything received, when the other side has closed the connection.
    package func readToEnd() async -> String { await self.wait { _, isClosed in isClosed } }

    /// Forgets what was received.
    package func forget() { self.received.state.withLock { $0.bytes.clear() } }

    /// Closes the connection.
    package func close() async { try? await self.channel.close().get() }

    private func wait(_ isDone: @escaping @Sendable (String, Bool) -> Bool) async -> String {
        await withCheckedContinuation { continuation in
            let text = self.received.state.withLock { state -> String? in
                let text = String(buffer: state.bytes)
                if isDone(text, state.isClosed) { return text }
                state.waiters.append((isDone, continuation))
                return nil
            }
            if let text { continuation.resume(returning: text) }
        }
    }
}
