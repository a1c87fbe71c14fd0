// SPDX-License-Identifier: Apache-2.0

import NIOCore
import NIOPosix
import Synchronization

/// A server of a test: answers each request, which must come without a body, with the text that a closure makes of it.
package final class TestOrigin: Sendable {
    /// Makes the bytes of a response out of the head of a request; waits as long as it likes.
    package typealias Answer = @Sendable (String) async -> String

    private final class Handler: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        typealias OutboundOut = ByteBuffer
        let origin: TestOrigin
        var received = ""
        init(_ origin: TestOrigin) { self.origin = origin }
        func channelActive(context: ChannelHandlerContext) { self.origin.open.wrappingAdd(1, ordering: .relaxed) }
        func channelInactive(context: ChannelHandlerContext) {
            self.origin.open.wrappingSubtract(1, ordering: .relaxed)
        }
        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            self.received += String(buffer: Self.unwrapInboundIn(data))
            while let end = self.received.firstRange(of: "\r\n\r\n") {
                let head = String(self.received[..<end.upperBound])
                self.received = String(self.received[end.upperBound...])
                self.origin.requests.withLock { $0.append(head) }
                let (channel, origin) = (context.channel, self.origin)
                Task {
                    let answer = await origin.answer(head)
                    try? await channel.writeAndFlush(ByteBuffer(string: answer)).get()
                }
            }
        }
    }

    private let answer: Answer
    private let requests = Mutex<[String]>([])
    private let open = Atomic<Int>(0)
    private let channel = Mutex<(any Channel)?>(nil)

    private init(_ answer: @escaping Answer) { self.answer = answer }

    /// Listens on a free port of 127.0.0.1.
    package static func start(_ answer: @escaping Answer) async throws -> TestOrigin {
        let origin = TestOrigin(answer)
        let channel = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(Handler(origin))
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        origin.channel.withLock { $0 = channel }
        return origin
    }

    /// Where it listens.
    package var port: Int { self.channel.withLock { $0?.localAddress?.port ?? 0 } }

    /// How many connections there are.
    package var connections: Int { self.open.load(ordering: .relaxed) }

    /// The heads of all requests so far.
    package var heads: [String] { self.requests.withLock { $0 } }

    /// Listens no more.
    package func stop() async { try? await self.channel.withLock { $0 }?.close().get() }

    /// A complete response.
    package static func response(_ body: String, headers: String = "") -> String {
        "HTTP/1.1 200 OK\r\nContent-Length: \(body.utf8.count)\r\n\(headers)\r\n\(body)"
    }
}
