// SPDX-License-Identifier: Apache-2.0

import Foundation
import NIOCore
import NIOPosix
import Synchronization

/// A service-center that answers as a test tells it: for what the local one would not do on demand.
final class ScriptedCenter: Sendable {
    /// What it was asked.
    struct Question: Sendable, CustomStringConvertible {
        let method: String
        /// With the query.
        let path: String
        let head: String
        let body: String

        var description: String { "\(self.method) \(self.path)" }
    }

    /// A status and a body; `nil` closes the connection without an answer.
    typealias Answer = (status: Int, body: String)

    private final class Handler: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        let center: ScriptedCenter
        var received = ""
        init(_ center: ScriptedCenter) { self.center = center }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            self.received += String(buffer: Self.unwrapInboundIn(data))
            guard let end = self.received.firstRange(of: "\r\n\r\n") else { return }
            let head = String(self.received[..<end.lowerBound])
            let body = String(self.received[end.upperBound...])
            let length = head.lowercased().split(separator: "\r\n").first { $0.hasPrefix("content-length:") }
                .flatMap { Int($0.dropFirst("content-length:".count).trimmingCharacters(in: .whitespaces)) }
            guard body.utf8.count >= length ?? 0 else { return }
            self.received = ""
            let words = head.split(separator: " ", maxSplits: 2)
            let question = Question(method: String(words[0]), path: String(words[1]), head: head, body: body)
            self.center.asked.withLock { $0.append(question) }
            let (channel, center) = (context.channel, self.center)
            Task {
                if let answer = await center.answer(question) {
                    let pause = center.retryAfter.withLock { $0 }.map { "\r\nRetry-After: \($0)" } ?? ""
                    let text =
                        "HTTP/1.1 \(answer.status) x\r\nConnection: close\r\nContent-Length: \(answer.body.utf8.count)"
                        + "\(pause)\r\n\r\n\(answer.body)"
                    try? await channel.writeAndFlush(ByteBuffer(string: text)).get()
                }
                try? await channel.close().get()
            }
        }
    }

    private let answer: @Sendable (Question) async -> Answer?
    private let asked = Mutex<[Question]>([])
    /// How many seconds every answer asks to be left alone.
    let retryAfter = Mutex<Int?>(nil)
    private let channel = Mutex<(any Channel)?>(nil)

    private init(_ answer: @escaping @Sendable (Question) async -> Answer?) { self.answer = answer }

    /// Listens on a free port of 127.0.0.1.
    static func start(_ answer: @escaping @Sendable (Question) async -> Answer?) async throws -> ScriptedCenter {
        let center = ScriptedCenter(answer)
        let channel = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(Handler(center))
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        center.channel.withLock { $0 = channel }
        return center
    }

    /// Its address.
    var address: String { "http://127.0.0.1:\(self.channel.withLock { $0?.localAddress?.port ?? 0 })" }

    /// Everything that it was asked so far.
    var questions: [Question] { self.asked.withLock { $0 } }

    /// The questions of a method whose path ends so.
    func questions(_ method: String, _ end: String) -> [Question] {
        self.questions.filter { $0.method == method && $0.path.hasSuffix(end) }
    }

    /// Listens no more.
    func stop() async { try? await self.channel.withLock { $0 }?.close().get() }
}
