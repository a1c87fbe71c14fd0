// SPDX-License-Identifier: Apache-2.0

import Common
import NIOCore
import NIOEmbedded

@testable import Proxy

/// Stands in a pipeline where the socket would be: keeps what is written until it is flushed, or until a test lets it go.
final class Wire: ChannelDuplexHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    /// Whether the kernel takes nothing at the moment.
    var isFull = false
    /// Called inside each write.
    var onWrite: () -> Void = {}
    private(set) var isOutputClosed = false
    private(set) var isClosed = false
    /// What is with the kernel, write by write.
    private(set) var sent: [ByteBuffer] = []
    /// What was written and is not.
    private(set) var pending: [(bytes: ByteBuffer, promise: EventLoopPromise<Void>?)] = []
    private var flushed = 0

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        self.pending.append((Self.unwrapOutboundIn(data), promise))
        self.onWrite()
    }

    func flush(context: ChannelHandlerContext) {
        self.flushed = self.pending.count
        if !self.isFull { self.letGo() }
    }

    /// The kernel takes what was flushed.
    func letGo() {
        self.isFull = false
        let done = self.pending.prefix(self.flushed)
        self.pending.removeFirst(self.flushed)
        self.flushed = 0
        self.sent += done.map(\.bytes).filter { $0.readableBytes > 0 }
        for (_, promise) in done { promise?.succeed() }
    }

    func close(context: ChannelHandlerContext, mode: CloseMode, promise: EventLoopPromise<Void>?) {
        if mode == .output {
            self.isOutputClosed = true
            promise?.succeed()
            return
        }
        self.isClosed = true
        for (_, promise) in self.pending { promise?.fail(ChannelError.ioOnClosedChannel) }
        self.pending.removeAll()
        context.close(mode: mode, promise: promise)
    }

    /// What went out since the last time, write by write.
    func news() -> [String] { self.bytes().map { String(buffer: $0) } }

    /// The same as bytes.
    func bytes() -> [ByteBuffer] {
        defer { self.sent.removeAll() }
        return self.sent
    }
}

/// A channel with a wire at its end, on the loop of a bench.
struct WiredChannel {
    let channel: EmbeddedChannel
    let wire = Wire()

    init(_ bench: Bench, _ handler: any ChannelHandler) throws {
        self.channel = EmbeddedChannel(loop: bench.loop)
        try self.channel.pipeline.syncOperations.addHandlers([self.wire, handler])
        try self.channel.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 1000)).wait()
    }

    /// Bytes arrive, and the loop ends its turn.
    func receive(_ bytes: ByteBuffer) {
        self.channel.pipeline.fireChannelRead(bytes)
        self.channel.pipeline.fireChannelReadComplete()
        self.channel.embeddedEventLoop.run()
    }

    /// The same with text.
    func receive(_ text: String) { self.receive(ByteBuffer(string: text)) }

    /// The peer closes its sending side.
    func endInput() {
        self.channel.pipeline.fireUserInboundEventTriggered(ChannelEvent.inputClosed)
        self.channel.embeddedEventLoop.run()
    }

    /// Whether the channel takes more.
    func setWritable(_ isWritable: Bool) {
        self.channel.isWritable = isWritable
        self.channel.pipeline.fireChannelWritabilityChanged()
    }

    /// Whether the channel is read.
    var isReading: Bool {
        let option = self.channel.options.last { $0.option is ChannelOptions.Types.AutoReadOption }
        return option?.value as? Bool ?? true
    }
}
