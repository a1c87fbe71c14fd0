// SPDX-License-Identifier: Apache-2.0

import CSimulation
import NIOCore
import SimulationSupport
import Testing

/// What a channel and its peer do, one after the other; after each step everything comes to rest.
struct Script: Sendable, CustomTestStringConvertible {
    enum Step: Sendable {
        case write(Int)
        case flush
        case close(CloseMode)
        case autoRead(Bool)
        /// SO_LINGER with 0 seconds.
        case linger
        /// Steps of the channel within one event; the network goes on between them.
        case together([Step])
        case peerSend(Int)
        case peerFIN
        case peerClose
        case peerReset
        case peerRead
    }

    /// What the handler does within a callback.
    enum Reaction: Sendable {
        case nothing, close, closeOutput, writeAndClose, write(Int)
    }

    let name: String
    var steps: [Step]
    var allowsHalfClosure = true
    var onRead = Reaction.nothing
    var onInputClosed = Reaction.nothing
    var onInactive = Reaction.nothing
    var onUnwritable = Reaction.nothing

    var testDescription: String { self.name }

    /// More than kernels take on both sides together.
    static let much = 4 << 20

    static let all: [Script] = [
        Script(name: "small answer, then close", steps: [.write(100), .flush, .close(.all), .peerRead]),
        Script(name: "close without flush", steps: [.write(100), .close(.all), .peerRead]),
        Script(name: "close with writes pending", steps: [.write(Self.much), .flush, .close(.all), .peerRead]),
        Script(
            name: "half-close waits for writes",
            steps: [.write(Self.much), .flush, .close(.output), .peerRead, .peerFIN]),
        Script(
            name: "half-close without flush waits", steps: [.write(100), .close(.output), .flush, .peerRead, .peerFIN]),
        Script(name: "half-close, then the peer's FIN", steps: [.close(.output), .peerFIN, .peerRead]),
        Script(name: "half-close twice", steps: [.close(.output), .close(.output), .write(5), .flush, .peerFIN]),
        Script(
            name: "half-close after the peer's FIN is a close",
            steps: [.peerSend(10), .peerFIN, .write(Self.much), .flush, .close(.output), .peerRead]),
        Script(
            name: "half-close that waits, the peer's FIN in between",
            steps: [.write(Self.much), .flush, .close(.output), .peerFIN, .peerRead]),
        Script(
            name: "FIN without half-closure", steps: [.peerSend(10), .peerFIN, .peerRead], allowsHalfClosure: false),
        Script(
            name: "FIN without half-closure drops writes",
            steps: [.write(Self.much), .flush, .peerFIN, .peerRead], allowsHalfClosure: false),
        Script(
            name: "reads to the end after a FIN", steps: [.autoRead(false), .peerSend(30_000), .peerFIN, .close(.all)]),
        Script(
            name: "paused, and on",
            steps: [.autoRead(false), .peerSend(3000), .autoRead(true), .peerSend(10), .peerFIN]),
        Script(
            name: "close with bytes unread resets",
            steps: [.autoRead(false), .write(10), .flush, .peerSend(3000), .close(.all), .peerRead]),
        Script(
            name: "close with bytes unread and writes pending",
            steps: [.autoRead(false), .write(Self.much), .flush, .peerSend(3000), .close(.all), .peerRead]),
        Script(name: "linger 0 resets", steps: [.write(10), .flush, .linger, .close(.all), .peerRead]),
        Script(name: "peer resets", steps: [.peerReset]),
        Script(name: "peer resets behind bytes", steps: [.autoRead(false), .peerSend(3000), .peerReset]),
        Script(name: "peer resets with writes pending", steps: [.write(Self.much), .flush, .peerReset]),
        Script(name: "peer resets after its FIN", steps: [.write(Self.much), .flush, .peerFIN, .peerReset]),
        Script(name: "peer resets after our half-close", steps: [.close(.output), .peerReset]),
        Script(
            name: "write to a peer that is gone", steps: [.peerClose, .write(10), .flush, .write(10), .flush]),
        Script(
            name: "write fails within a flush",
            steps: [.peerClose, .together([.write(10), .flush, .write(10), .flush, .write(5)])]),
        Script(
            name: "write fails within a flush, bytes unread",
            steps: [
                .together([.autoRead(false)]), .peerSend(500),
                .together([.write(10), .flush, .write(10), .flush]), .peerReset,
            ]),
        Script(
            name: "unwritable by what is not flushed", steps: [.write(40_000), .write(40_000), .flush, .peerRead]),
        Script(
            name: "unwritable until the peer reads", steps: [.write(Self.much), .flush, .peerRead, .write(10), .flush]),
        Script(name: "closes when it becomes unwritable", steps: [.write(Self.much)], onUnwritable: .close),
        Script(
            name: "closes its output when the input is closed",
            steps: [.write(10), .flush, .peerSend(1), .peerFIN, .peerRead],
            onInputClosed: .closeOutput),
        Script(
            name: "writes and closes when the input is closed", steps: [.peerSend(1), .peerFIN, .peerRead],
            onInputClosed: .writeAndClose),
        Script(name: "closes within a read", steps: [.peerSend(10), .peerRead], onRead: .close),
        Script(
            name: "closes within a read, more has come",
            steps: [.autoRead(false), .peerSend(30_000), .autoRead(true), .peerRead], onRead: .close),
        Script(
            name: "closes within the reads behind a FIN",
            steps: [.autoRead(false), .peerSend(30_000), .peerFIN, .peerRead], onRead: .close),
        Script(
            name: "answers within a read", steps: [.peerSend(10), .peerSend(10), .peerFIN, .close(.output), .peerRead],
            onRead: .write(70_000)),
        Script(
            name: "closes its output after the end", steps: [.close(.all), .peerRead], onInactive: .closeOutput),
        Script(name: "closes twice", steps: [.together([.close(.all), .close(.all), .write(1), .flush])]),
        Script(name: "closes its input", steps: [.close(.input), .peerFIN, .close(.output), .peerRead]),
        Script(
            name: "half-close, flush and close together",
            steps: [.together([.write(Self.much), .flush, .close(.output), .close(.all)]), .peerRead]),
    ]
}

/// Writes down what a handler sees, and inside which call.
final class Recorder: ChannelInboundHandler, @unchecked Sendable {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let script: Script
    private var call: String?
    private(set) var log: [String] = []
    private var readBytes = 0

    init(_ script: Script) { self.script = script }

    private func add(_ text: String) {
        self.endReads()
        self.log.append(self.call.map { "\(text) (inside \($0))" } ?? text)
    }

    private func endReads() {
        if self.readBytes > 0 { self.log.append("read \(self.readBytes)") }
        self.readBytes = 0
    }

    /// Something that no handler sees.
    func note(_ text: String) { self.add(text) }

    /// The log as it is now.
    func finish() -> [String] {
        self.endReads()
        return self.log
    }

    /// Does a step on the channel.
    func perform(_ step: Script.Step, _ channel: any Channel, between: () -> Void) {
        switch step {
        case .write(let count):
            self.during("write") {
                let promise = channel.eventLoop.makePromise(of: Void.self)
                promise.futureResult.assumeIsolated().whenComplete { self.add("write \(Self.name($0))") }
                channel.write(ByteBuffer(repeating: 7, count: count), promise: promise)
            }
        case .flush: self.during("flush") { channel.flush() }
        case .close(let mode):
            self.during("close \(mode)") {
                let promise = channel.eventLoop.makePromise(of: Void.self)
                promise.futureResult.assumeIsolated().whenComplete { self.add("close \(mode) \(Self.name($0))") }
                channel.close(mode: mode, promise: promise)
            }
        case .autoRead(let isOn):
            self.during("autoRead") { try? channel.syncOptions?.setOption(.autoRead, value: isOn) }
        case .linger:
            _ = (channel as? any SocketOptionProvider)?.setSoLinger(simulation_reset_linger())
        case .together(let steps):
            for step in steps {
                self.perform(step, channel, between: between)
                between()
            }
        case .peerSend, .peerFIN, .peerClose, .peerReset, .peerRead: break
        }
    }

    private func during(_ call: String, _ body: () -> Void) {
        let outer = self.call
        self.call = call
        body()
        self.call = outer
    }

    private static func name(_ result: Result<Void, any Error>) -> String {
        switch result {
        case .success: "succeeds"
        case .failure(let error as IOError): "fails: \(error.errnoCode)"
        case .failure(let error): "fails: \(error)"
        }
    }

    private func react(_ reaction: Script.Reaction, _ context: ChannelHandlerContext, in callback: String) {
        self.during(callback) {
            switch reaction {
            case .nothing: break
            case .close: context.close(promise: nil)
            case .closeOutput: context.close(mode: .output, promise: nil)
            case .writeAndClose:
                context.writeAndFlush(self.wrapOutboundOut(ByteBuffer(repeating: 1, count: 50)), promise: nil)
                context.close(promise: nil)
            case .write(let count):
                context.writeAndFlush(self.wrapOutboundOut(ByteBuffer(repeating: 1, count: count)), promise: nil)
            }
        }
    }

    func channelActive(context: ChannelHandlerContext) { self.add("active") }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        self.readBytes += self.unwrapInboundIn(data).readableBytes
        self.react(self.script.onRead, context, in: "read")
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        self.add("\(event)")
        if event as? ChannelEvent == .inputClosed {
            self.react(self.script.onInputClosed, context, in: "inputClosed")
        }
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        self.add(context.channel.isWritable ? "writable" : "unwritable")
        if !context.channel.isWritable { self.react(self.script.onUnwritable, context, in: "unwritable") }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        self.add("error \((error as? IOError)?.errnoCode ?? 0)")
    }

    func channelInactive(context: ChannelHandlerContext) {
        self.add("inactive")
        self.react(self.script.onInactive, context, in: "inactive")
    }

    func channelUnregistered(context: ChannelHandlerContext) { self.add("unregistered") }

    func handlerRemoved(context: ChannelHandlerContext) { self.add("removed") }
}
