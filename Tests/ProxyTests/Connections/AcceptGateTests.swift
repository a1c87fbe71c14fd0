// SPDX-License-Identifier: Apache-2.0

import Common
import Logging
import NIOCore
import NIOEmbedded
import NIOPosix
import TestSupport
import Testing

@testable import Proxy

#if canImport(Glibc)
    import Glibc
#endif

@Suite struct AcceptGateTests {
    /// Counts what the gate asks the channel for.
    private final class Reads: ChannelOutboundHandler {
        typealias OutboundIn = Never
        var count = 0
        func read(context: ChannelHandlerContext) { self.count += 1 }
    }

    /// A gate in front of a channel that is told what happens.
    private struct Gate {
        let channel = EmbeddedChannel()
        let reads = Reads()
        let budget: ConnectionBudget
        let metrics = MetricsRegistry(startTime: 0, own: MetricLabels())
        let log = TestLog()

        init(limit: Int, overload: Overload? = nil, setUp: AcceptGate.SetUp?) throws {
            self.budget = ConnectionBudget(limit: limit)
            let rules = AcceptGate.Rules(
                self.budget, overload: overload, metrics: self.metrics, logger: self.log.logger)
            try self.channel.pipeline.syncOperations.addHandlers([self.reads, AcceptGate(rules, setUp: setUp)])
            try self.channel.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 1)).wait()
        }

        /// A client has come, and the channel has accepted it.
        func accept() -> EmbeddedChannel {
            let child = EmbeddedChannel(loop: self.channel.embeddedEventLoop)
            self.channel.pipeline.fireChannelRead(child as any Channel)
            self.channel.pipeline.fireChannelReadComplete()
            return child
        }

        func fail() {
            self.channel.pipeline.fireErrorCaught(IOError(errnoCode: EMFILE, reason: "accept"))
            self.channel.pipeline.fireChannelReadComplete()
        }

        func wait(_ time: TimeAmount) { self.channel.embeddedEventLoop.advanceTime(by: time) }
    }

    /// Has the place of a connection, like the handlers of the product.
    private final class Holder: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        private let budget: ConnectionBudget
        init(_ budget: ConnectionBudget) { self.budget = budget }
        func handlerRemoved(context: ChannelHandlerContext) { self.budget.leave() }
    }

    private static let hold: AcceptGate.SetUp = { channel, budget in
        try channel.pipeline.syncOperations.addHandler(Holder(budget))
    }

    @Test("sets a channel up, and lets it read") func begins() throws {
        let gate = try Gate(limit: 10, setUp: Self.hold)
        #expect(gate.reads.count == 1)
        let child = gate.accept()
        #expect(child.isActive)
        #expect(gate.budget.current == 1)
        #expect(gate.reads.count == 2)
        child.close(promise: nil)
        gate.wait(.zero)
        #expect(gate.budget.current == 0)
    }

    @Test("accepts no more than the budget has room for, and looks again after a while") func full() throws {
        let gate = try Gate(limit: 1, setUp: Self.hold)
        let child = gate.accept()
        gate.wait(.milliseconds(200))
        #expect(gate.reads.count == 1)
        child.close(promise: nil)
        gate.wait(.milliseconds(50))
        #expect(gate.reads.count == 2)
    }

    @Test("closes a channel that cannot be set up, and takes its place back") func cannotSetUp() throws {
        let gate = try Gate(limit: 10) { _, _ in throw ChannelError.operationUnsupported }
        let child = gate.accept()
        gate.wait(.zero)
        #expect(gate.budget.current == 0)
        #expect(throws: ChannelError.alreadyClosed) { try child.close().wait() }
    }

    @Test("does not try again at once when descriptors are used up, and says so once") func noDescriptors() throws {
        let gate = try Gate(limit: 10, setUp: Self.hold)
        gate.fail()
        gate.wait(.milliseconds(49))
        #expect(gate.reads.count == 1)
        gate.wait(.milliseconds(1))
        #expect(gate.reads.count == 2)
        gate.fail()
        #expect(gate.log.lines.filter { $0.contains("cannot accept connections") }.count == 1)
        gate.wait(.milliseconds(50))
        _ = gate.accept()
        #expect(gate.reads.count == 4)
    }

    @Test("accepts nothing while memory runs out; a listener without that rule does", arguments: [true, false])
    func memory(obeys: Bool) throws {
        let overload = Overload()
        overload.set(.critical)
        let gate = try Gate(limit: 10, overload: obeys ? overload : nil, setUp: Self.hold)
        #expect(gate.reads.count == (obeys ? 0 : 1))
    }

    @Test("nobody else tells the channel to accept") func othersReads() throws {
        let gate = try Gate(limit: 1, setUp: nil)
        gate.channel.read()
        #expect(gate.reads.count == 1)
    }

    @Test("leaves connections to a library, and counts them until they are closed") func library() throws {
        let gate = try Gate(limit: 1, setUp: nil)
        let child = gate.accept()
        #expect(gate.budget.current == 1)
        let passedOn = try gate.channel.readInbound(as: (any Channel).self)
        #expect(passedOn === child)
        child.close(promise: nil)
        gate.wait(.milliseconds(50))
        #expect(gate.budget.current == 0)
        #expect(gate.reads.count == 2)
    }

    @Test("comes before the handlers of a server that listens already") func addedLater() async throws {
        let server = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(Echo()) }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        let address = try #require(server.localAddress)
        let budget = ConnectionBudget(limit: 1)
        let metrics = MetricsRegistry(startTime: 0, own: MetricLabels())
        await AcceptGate.add(to: server, .init(budget, overload: nil, metrics: metrics, logger: TestLog().logger))
        let first = try await TestClient.open(address, tls: nil)
        try await first.send("a")
        try await first.answer()
        // Its connection is in the kernel's queue until there is room.
        let second = try await TestClient.open(address, tls: nil)
        try await second.send("b")
        #expect(budget.current == 1)
        await first.close()
        try await second.answer()
        #expect(budget.current == 1)
        await second.close()
        #expect(await eventually { budget.current == 0 })
        try await server.close()
    }

    private final class Echo: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        func channelRead(context: ChannelHandlerContext, data: NIOAny) { context.writeAndFlush(data, promise: nil) }
    }

    @Test("channels begin with the marks that most listeners want, and are not told them")
    func usualMark() async throws {
        let loops = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let accepted = loops.next().makePromise(of: ChannelOptions.Types.WriteBufferWaterMark.self)
        let server = try await ServerBootstrap(group: loops)
            .childChannelInitializer { child in
                child.getOption(.writeBufferWaterMark).map { accepted.succeed($0) }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        let client = try await ClientBootstrap(group: loops).connect(to: #require(server.localAddress)).get()
        let mark = try await accepted.futureResult.get()
        #expect(mark.high == Listener.usualMark && mark.low == Listener.usualMark / 2)
        try await client.close().get()
        try await server.close().get()
        try await loops.shutdownGracefully()
    }
}
