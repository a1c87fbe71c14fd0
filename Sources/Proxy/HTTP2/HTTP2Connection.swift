// SPDX-License-Identifier: Apache-2.0
// request path

import Common
package import NIOCore

/// One HTTP/2 connection: the only handler of its pipeline besides TLS.
///
/// Here is what clients and servers have in common: frames, header compression, windows, and what a peer may not do. What
/// is written during one turn of the event loop goes out together at its end.
///
/// - Source: RFC 9113; limits L5 to L8.
package class HTTP2Connection: ChannelInboundHandler, DeadlineOwner, EventTail {
    package typealias InboundIn = ByteBuffer
    package typealias OutboundOut = ByteBuffer

    /// The earliest of all deadlines of the connection and its streams.
    package final var deadline = NIODeadline.distantFuture
    final let worker: Worker
    final var context: ChannelHandlerContext?
    final var streams = StreamTable<HTTP2Stream>()
    final var encoder = HPACKEncoder()
    final var decoder = HPACKDecoder()
    final var output = ByteBuffer()
    final var meter = AbuseMeter()
    /// The highest stream that the peer has opened.
    final var lastPeerStream: UInt32 = 0
    /// What a new stream may be sent at first.
    final var peerInitialWindow = HTTP2.initialWindow
    /// Streams that the peer takes at a time.
    final var peerMaxStreams = 100
    /// What a new stream of the peer may send at first.
    final let streamWindow: Int
    /// When the connection itself has waited long enough: for its preface, between calls, for its end.
    final var ownDeadline = NIODeadline.distantFuture
    /// When a header block that has begun must be complete.
    final var blockDeadline = NIODeadline.distantFuture
    /// When a PING of ours must be answered, or sent; whatever calls do.
    final var pingDeadline = NIODeadline.distantFuture
    /// Nothing is read or written any more.
    final var isClosed = false
    /// Whether it was handed to whoever dialled, and has not ended.
    private final var isMade = false
    /// When the peer was heard of last.
    final var heardAt = NIODeadline.uptimeNanoseconds(0)

    package var slot: DeadlineTable.Slot?
    private var parser = FrameParser()
    private var unread: ByteBuffer?
    /// What the channel has read inside a write that failed.
    private var early: ByteBuffer?
    /// Whether the channel has become inactive behind that, and not by an end of ours.
    private var hasLastBytes = false
    /// Written while the channel took no more: heads and control frames, which no window bounds.
    final var backlog = 0
    /// Whether the peer is not read from until it takes what it was sent.
    private var isPaused = false
    private var mayHaveDrained = false
    private var isWrittenOut = false
    private var isLingering = false
    private var closedAt = NIODeadline.uptimeNanoseconds(0)
    /// Nothing is read or written any more, and the streams have not been told.
    private var hasStreamsToLose = false
    private var hasEnded = false
    /// Whether the peer has said its settings, which come first.
    package final var hasSettings = false
    /// Whether the peer has acknowledged ours.
    final var isAcknowledged = false
    final var isDirty = false
    /// Streams that have something gathered in this turn.
    final var gathering: [HTTP2Stream] = []
    final var sendWindow = HTTP2.initialWindow
    final var receiveWindow = HTTP2.initialWindow
    final var uncredited = 0
    final let connectionWindow: Int
    /// Streams that have something to send and wait for the connection.
    final var waiting: [HTTP2Stream] = []
    /// A header block that is not complete.
    final var block: OpenBlock?
    /// Streams that we have reset lately: what still comes for them was sent before the peer knew.
    final var lately: [UInt32] = []
    final var latelyNext = 0
    final var queuedControl = 0

    struct OpenBlock {
        let stream: UInt32
        let endStream: Bool
        var bytes: ByteBuffer
        var frames = 1
    }

    init(worker: Worker, settings: ProxySettings) {
        self.worker = worker
        self.streamWindow = settings.http2StreamWindow
        self.connectionWindow = max(settings.http2ConnectionWindow, HTTP2.initialWindow)
    }

    // MARK: For subclasses

    /// Whether a reset of a stream that is open is an act of abuse when it happens too often.
    var countsResets: Bool { true }

    /// A header block on a stream that is not open: `.success` when it was taken.
    func headersOnNewStream(_ id: UInt32, _ block: RawSpan, endStream: Bool) {}

    /// Whether a stream that is not in the table has never been opened.
    func isIdle(_ id: UInt32) -> Bool { true }

    /// The peer opens no more streams, or takes no more than those up to `lastStream`.
    func goAwayReceived(lastStream: UInt32) {}

    /// What is awaited at the connection's very beginning; `false` while it is not complete.
    func readPreface(_ input: inout ByteBuffer) -> Bool { true }

    /// The last stream has ended.
    func becameIdle() {}

    /// The connection is over; its streams are told when the event is.
    func ended() {}

    /// The connection's own deadline has passed.
    func ownDeadlineReached() { self.close() }

    /// The deadline of PINGs has passed.
    func pingDeadlineReached() {}

    /// How long a header block may take to be complete.
    var headLimit: TimeAmount { .seconds(10) }

    /// The peer's settings hold.
    func settingsReceived() {}

    /// Whether a peer that does not take what it was sent is not read from; for how long it may take nothing.
    ///
    /// A client only: two ends of mesher that did so to each other would wait for ever.
    var stallLimit: TimeAmount? { nil }

    /// Whether what came right before the end of the channel is looked at: answers are, and not what a client asks that
    /// is gone.
    var heedsLastBytes: Bool { false }

    /// A PING of ours was answered.
    func pingAnswered() {}

    // MARK: Channel

    /// It is made, and handed to whoever has dialled: from now on its end is told.
    final func made() { self.isMade = true }

    package func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        self.worker.deadlines.add(self)
    }

    package func handlerRemoved(context: ChannelHandlerContext) {
        self.context = nil
        self.worker.deadlines.remove(self)
        if self.isMade { self.becameInactive() }
    }

    package func channelInactive(context: ChannelHandlerContext) { self.becameInactive() }

    private func becameInactive() {
        self.isMade = false
        self.context = nil
        self.hasLastBytes = !self.isClosed && self.early != nil && self.heedsLastBytes
        self.isClosed = true
        self.endOnce()
        self.loseStreamsLater()
    }

    package func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

    /// Nobody behind this handler waits for it.
    package func channelReadComplete(context: ChannelHandlerContext) {}

    package func channelWritabilityChanged(context: ChannelHandlerContext) {
        self.mayHaveDrained = true
        self.worker.putOff(self)
    }

    func eventEnds() {
        if let bytes = self.early.take() {
            self.received(bytes)
            self.hasLastBytes = false
        }
        if self.hasStreamsToLose {
            self.hasStreamsToLose = false
            self.loseStreams()
        }
        if self.isWrittenOut {
            self.isWrittenOut = false
            self.isLingering = true
            self.context?.close(mode: .output, promise: nil)
            self.linger()
        }
        guard self.mayHaveDrained else { return }
        self.mayHaveDrained = false
        guard let context = self.context, context.channel.isWritable else { return }
        self.queuedControl = 0
        self.backlog = 0
        if !self.waiting.isEmpty { self.markDirty() }
        if self.isPaused { self.resumeReading(context) }
    }

    package func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        // Half a connection is none: no answer can be acknowledged, no window opened.
        if event as? ChannelEvent == .inputClosed { context.close(promise: nil) }
    }

    package func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var bytes = Self.unwrapInboundIn(data)
        guard self.worker.isInEvent else { return self.worker.event { self.received(bytes) } }
        // A write that fails makes the channel read what is left, inside the write: it is looked at afterwards.
        if self.early == nil { self.early = bytes } else { self.early?.writeBuffer(&bytes) }
        self.worker.putOff(self)
    }

    /// Bytes of the peer.
    final func received(_ bytes: ByteBuffer) {
        self.heardAt = self.worker.now
        if self.isLingering { return self.linger() }
        var input = bytes
        if var unread = self.unread.take() {
            unread.writeBuffer(&input)
            input = unread
        }
        guard self.readPreface(&input) else {
            if input.readableBytes > 0, !self.isClosed { self.unread = input }
            return
        }
        var offset = 0
        reading: while !self.isClosed || self.hasLastBytes {
            if self.output.readableBytes > Self.outputLimit, self.isStalled() { break }
            switch self.parser.next(input.readableBytesSpan, at: &offset) {
            case .incomplete: break reading
            case .frame(let frame): self.handle(frame, input)
            case .connectionError(let code): self.fail(code)
            case .streamError(let id, let code):
                if self.isIdle(id) { self.fail(code) } else { self.streamError(id, code) }
            }
        }
        guard !self.isClosed else { return }
        if !self.gathering.isEmpty { self.deliverGathered() }
        input.moveReaderIndex(forwardBy: offset)
        if input.readableBytes > 0 { self.unread = input }
    }

    /// Whether the peer takes so little of what it was sent that nothing more may be read from it for now.
    private func isStalled() -> Bool {
        guard let limit = self.stallLimit, let context = self.context else { return false }
        self.writeOut(context)
        guard self.backlog > Self.outputLimit else { return false }
        if self.isPaused { return true }
        self.isPaused = true
        self.setOwnDeadline(limit)
        try? context.channel.syncOptions?.setOption(.autoRead, value: false)
        return true
    }

    private func resumeReading(_ context: ChannelHandlerContext) {
        self.isPaused = false
        self.ownDeadline = .distantFuture
        try? context.channel.syncOptions?.setOption(.autoRead, value: true)
        self.received(ByteBuffer())
        self.checkIdle()
    }

    /// Whether the connection waits for its peer to take what it was sent.
    final var isAwaitingReader: Bool { self.isPaused }

    // MARK: Ends

    /// Ends the connection for what the peer did.
    final func fail(_ code: HTTP2ErrorCode) {
        self.hasLastBytes = false
        guard !self.isClosed else { return }
        self.worker.metrics.count(code)
        if code == .enhanceYourCalm { self.worker.metrics.count(.http2Frames) }
        FrameWriter.goAway(lastStream: self.lastPeerStream, code, to: &self.output)
        self.close(isBroken: true)
    }

    /// Sends what is left, however slowly the peer reads it, closes the sending side, and reads on for a while: closing at
    /// once would reset the connection over the peer's next window update, and destroy what it has not read.
    final func close(isBroken: Bool = false) {
        guard !self.isClosed else {
            self.context?.close(promise: nil)
            return
        }
        if let context = self.context { self.writeOut(context) }
        self.isClosed = true
        self.unread = nil
        self.endOnce()
        self.loseStreamsLater()
        guard let context = self.context else { return }
        guard !isBroken else {
            self.setOwnDeadline(.seconds(1))
            context.close(mode: .output, promise: nil)
            return
        }
        self.closedAt = self.worker.now
        self.setOwnDeadline(Self.longestFarewell)
        MessageWriter.whenWritten(context, self.worker) {
            self.isWrittenOut = true
            return self
        }
    }

    private static var longestFarewell: TimeAmount { .seconds(60) }
    private static var lingering: TimeAmount { .seconds(2) }

    /// Everything is with the kernel: the peer may still be reading it, as long as it is heard of.
    private func linger() {
        let most = self.closedAt + Self.longestFarewell
        let amount = min(Self.lingering, most - self.worker.now)
        if amount > .zero { self.setOwnDeadline(amount) }
    }

    private func endOnce() {
        if self.hasEnded { return }
        self.hasEnded = true
        self.ended()
    }

    /// The streams are told when the event is over: what ends the connection may have been a call of one of them.
    private func loseStreamsLater() {
        if self.hasStreamsToLose { return }
        self.hasStreamsToLose = true
        self.worker.putOff(self)
    }

    private func loseStreams() {
        self.gathering.removeAll()
        self.waiting.removeAll()
        for stream in self.streams.all {
            self.streams.remove(stream.id)
            stream.connectionLost()
            stream.recycle()
        }
    }

    // MARK: Deadlines

    final func setDeadline(_ amount: TimeAmount, of stream: HTTP2Stream) {
        stream.deadline = self.worker.now + amount
        self.notice(stream.deadline, amount)
    }

    final func setOwnDeadline(_ amount: TimeAmount) {
        self.ownDeadline = self.worker.now + amount
        self.notice(self.ownDeadline, amount)
    }

    final func setBlockDeadline(_ amount: TimeAmount) {
        self.blockDeadline = self.worker.now + amount
        self.notice(self.blockDeadline, amount)
    }

    final func setPingDeadline(_ amount: TimeAmount) {
        self.pingDeadline = self.worker.now + amount
        self.notice(self.pingDeadline, amount)
    }

    @inline(__always)
    private func notice(_ deadline: NIODeadline, _ amount: TimeAmount) {
        if deadline < self.deadline { self.deadline = deadline }
        self.worker.deadlines.notice(amount)
    }

    package final func deadlineReached() { self.worker.event { self.expire() } }

    private func expire() {
        let now = self.worker.now
        if self.blockDeadline <= now {
            self.blockDeadline = .distantFuture
            self.fail(.enhanceYourCalm)
        }
        if self.pingDeadline <= now {
            self.pingDeadline = .distantFuture
            self.pingDeadlineReached()
        }
        if self.ownDeadline <= now {
            self.ownDeadline = .distantFuture
            if self.isPaused, !self.isClosed {
                self.worker.metrics.count(.clientStallTime)
                self.context?.close(promise: nil)
            } else {
                self.ownDeadlineReached()
            }
        }
        for stream in self.streams.all where stream.deadline <= now {
            stream.deadline = .distantFuture
            if stream.id != 0 { stream.deadlineReached() }
        }
        var earliest = min(self.ownDeadline, self.blockDeadline, self.pingDeadline)
        for stream in self.streams.all { earliest = min(earliest, stream.deadline) }
        self.deadline = min(self.deadline, earliest)
    }
}
