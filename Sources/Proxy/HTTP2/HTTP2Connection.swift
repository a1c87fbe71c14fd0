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
package class HTTP2Connection: ChannelInboundHandler, DeadlineOwner {
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
    /// When the connection itself has waited long enough, whatever its streams do.
    final var ownDeadline = NIODeadline.distantFuture
    /// Nothing is read or written any more.
    final var isClosed = false
    /// When the peer was heard of last.
    final var heardAt = NIODeadline.uptimeNanoseconds(0)

    private var slot: DeadlineTable.Slot?
    private var parser = FrameParser()
    private var unread: ByteBuffer?
    /// Whether the peer has said its settings, which come first.
    final private(set) var hasSettings = false
    final var isDirty = false
    /// Streams that have something gathered in this turn.
    final var gathering: [HTTP2Stream] = []
    final var sendWindow = HTTP2.initialWindow
    final var receiveWindow = HTTP2.initialWindow
    private var uncredited = 0
    final let connectionWindow: Int
    /// Streams that have something to send and wait for the connection.
    final var waiting: [HTTP2Stream] = []
    /// A header block that is not complete.
    private var block: OpenBlock?
    /// Streams that we have reset lately: what still comes for them was sent before the peer knew.
    final var lately: [UInt32] = []
    final var latelyNext = 0
    final var queuedControl = 0

    private struct OpenBlock {
        let stream: UInt32
        let endStream: Bool
        var bytes: ByteBuffer
        var frames = 1
    }

    private static let continuations = 8

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

    /// The connection is over; its streams were told.
    func ended() {}

    /// The connection's own deadline has passed.
    func ownDeadlineReached() { self.close() }

    /// A PING of ours was answered.
    func pingAnswered() {}

    // MARK: Channel

    package func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        self.slot = self.worker.deadlines.add(self)
    }

    package func handlerRemoved(context: ChannelHandlerContext) {
        self.context = nil
        if let slot = self.slot.take() { self.worker.deadlines.remove(slot) }
    }

    package func channelInactive(context: ChannelHandlerContext) {
        self.context = nil
        self.isClosed = true
        self.loseStreams()
        self.ended()
    }

    package func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

    /// Nobody behind this handler waits for it.
    package func channelReadComplete(context: ChannelHandlerContext) {}

    package func channelWritabilityChanged(context: ChannelHandlerContext) {
        if context.channel.isWritable {
            self.queuedControl = 0
            if !self.waiting.isEmpty { self.markDirty() }
        }
    }

    package func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        // Half a connection is none: no answer can be acknowledged, no window opened.
        if event as? ChannelEvent == .inputClosed { context.close(promise: nil) }
    }

    package func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        self.worker.tick()
        self.received(Self.unwrapInboundIn(data))
    }

    /// Bytes of the peer.
    final func received(_ bytes: ByteBuffer) {
        self.heardAt = self.worker.now
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
        reading: while !self.isClosed {
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

    // MARK: Frames

    private func handle(_ frame: FrameParser.Frame, _ input: ByteBuffer) {
        if !self.hasSettings {
            // Whatever follows the preface: RFC 9113 §3.4.
            guard case .settings = frame else { return self.fail(.protocolError) }
            self.hasSettings = true
        }
        switch frame {
        case .data(let id, let range, let flowLength, let endStream):
            self.data(id, range, flowLength, endStream: endStream, input)
        case .headers(let id, let range, let endStream, let endHeaders):
            if endHeaders {
                self.headers(id, input.readableBytesSpan.extracting(range), endStream: endStream)
            } else {
                self.openBlock(id, range, endStream: endStream, input)
            }
        case .continuation(_, let range, let endHeaders): self.continueBlock(range, endHeaders: endHeaders, input)
        case .priority: self.judge(.priority)
        case .resetStream(let id, let code): self.resetReceived(id, code)
        case .settings(let range): self.settings(input.readableBytesSpan.extracting(range))
        case .settingsAck: break
        case .ping(let range):
            guard self.judge(.ping) else { return }
            FrameWriter.begin(.ping, flags: HTTP2Flags.ack, stream: 0, length: 8, to: &self.output)
            if let payload = input.getInteger(at: input.readerIndex + range.lowerBound, as: UInt64.self) {
                self.output.writeInteger(payload)
            }
            self.controlWritten()
        case .pingAck: self.pingAnswered()
        case .goAway(let lastStream, _): self.goAwayReceived(lastStream: lastStream)
        case .windowUpdate(let id, let increment): self.windowUpdate(id, increment)
        case .unknown: self.judge(.unknown)
        }
    }

    /// Counts what the peer did, and ends the connection when it was too much.
    @discardableResult
    final func judge(_ act: AbuseMeter.Act) -> Bool {
        guard self.meter.allows(act, at: self.worker.now) else {
            self.fail(.enhanceYourCalm)
            return false
        }
        return true
    }

    private func data(_ id: UInt32, _ range: Range<Int>, _ flowLength: Int, endStream: Bool, _ input: ByteBuffer) {
        if range.isEmpty, !endStream, !self.judge(.emptyFrame) { return }
        self.receiveWindow &-= flowLength
        guard self.receiveWindow >= 0 else { return self.fail(.flowControlError) }
        self.creditConnection(flowLength)
        guard let stream = self.streams[id: id] else {
            if self.isIdle(id) { return self.fail(.protocolError) }
            if !self.lately.contains(id) { self.forceReset(id, .streamClosed) }
            return
        }
        if stream.hasPeerEnded { return self.streamError(id, .streamClosed) }
        stream.receiveWindow &-= flowLength
        if stream.receiveWindow < 0 { return self.streamError(id, .flowControlError) }
        stream.uncredited &+= flowLength
        if let promised = stream.promised {
            guard range.count <= promised, !endStream || range.count == promised else {
                return self.streamError(id, .protocolError)
            }
            stream.promised = promised &- range.count
        }
        if endStream { stream.hasPeerEnded = true }
        let data = range.isEmpty ? nil : input.getSlice(at: input.readerIndex + range.lowerBound, length: range.count)
        if let data, !endStream, range.count < Self.smallPiece {
            self.gather(data, of: stream)
        } else {
            self.deliver(stream, data, endStream: endStream)
        }
    }

    private func creditConnection(_ count: Int) {
        self.uncredited &+= count
        guard self.uncredited >= self.connectionWindow / 2 else { return }
        FrameWriter.windowUpdate(0, self.uncredited, to: &self.output)
        self.receiveWindow &+= self.uncredited
        self.uncredited = 0
        self.markDirty()
    }

    /// Opens the window of a stream again.
    final func credit(_ stream: HTTP2Stream) {
        FrameWriter.windowUpdate(stream.id, stream.uncredited, to: &self.output)
        stream.receiveWindow &+= stream.uncredited
        stream.uncredited = 0
        self.markDirty()
    }

    private func openBlock(_ id: UInt32, _ range: Range<Int>, endStream: Bool, _ input: ByteBuffer) {
        var bytes = ByteBuffer()
        if let fragment = input.getSlice(at: input.readerIndex + range.lowerBound, length: range.count) {
            bytes.writeImmutableBuffer(fragment)
        }
        self.block = OpenBlock(stream: id, endStream: endStream, bytes: bytes)
        self.setOwnDeadline(self.headLimit)
    }

    /// How long a header block may take to be complete.
    var headLimit: TimeAmount { .seconds(10) }

    private func continueBlock(_ range: Range<Int>, endHeaders: Bool, _ input: ByteBuffer) {
        guard var block = self.block.take() else { return self.fail(.protocolError) }
        if range.isEmpty, !endHeaders, !self.judge(.emptyFrame) { return }
        block.frames += 1
        guard block.frames <= 1 + Self.continuations else {
            self.worker.metrics.count(.http2Continuations)
            return self.fail(.enhanceYourCalm)
        }
        if let fragment = input.getSlice(at: input.readerIndex + range.lowerBound, length: range.count) {
            block.bytes.writeImmutableBuffer(fragment)
        }
        guard endHeaders else {
            self.block = block
            return
        }
        self.ownDeadline = .distantFuture
        self.headers(block.stream, block.bytes.readableBytesSpan, endStream: block.endStream)
        if self.streams.count == 0, !self.isClosed { self.becameIdle() }
    }

    private func headers(_ id: UInt32, _ block: RawSpan, endStream: Bool) {
        guard let stream = self.streams[id: id] else {
            self.headersOnNewStream(id, block, endStream: endStream)
            return
        }
        guard !stream.hasPeerEnded else {
            // The block must be read all the same: what follows depends on it.
            self.ignore(block)
            return self.streamError(id, .streamClosed)
        }
        if stream.gathered != nil { self.deliver(stream, nil, endStream: false) }
        // What was delivered may have ended the exchange.
        guard self.streams[id: id] === stream else { return self.ignore(block) }
        stream.headersReceived(block, endStream: endStream)
    }

    /// Reads a header block that nobody wants, to keep the table in step.
    final func ignore(_ block: RawSpan) {
        var headers = HeaderBlock()
        var pseudo = PseudoFields()
        switch self.decoder.decode(block, limits: .nothing, into: &headers, &pseudo) {
        case .broken: self.fail(.compressionError)
        case .bomb: self.fail(.enhanceYourCalm)
        case .complete, .malformed, .tooLarge: break
        }
    }

    /// Whether we have reset the stream a moment ago, so that the peer may not know yet.
    final func wasResetLately(_ id: UInt32) -> Bool { self.lately.contains(id) }

    private func resetReceived(_ id: UInt32, _ code: UInt32) {
        if self.isIdle(id) { return self.fail(.protocolError) }
        guard let stream = self.streams[id: id] else {
            // What an upstream resets after its answer costs us no more than a frame that nobody knows.
            if self.wasResetLately(id) { return }
            if !self.countsResets {
                self.judge(.unknown)
            } else if !self.meter.allowsReset(at: self.worker.now) {
                self.fail(.enhanceYourCalm)
            }
            return
        }
        if self.countsResets, !self.meter.allowsReset(at: self.worker.now) { return self.fail(.enhanceYourCalm) }
        if stream.gathered != nil { self.deliver(stream, nil, endStream: false) }
        // What was delivered may have ended the exchange.
        guard self.streams[id: id] === stream else { return }
        self.streams.remove(id)
        stream.resetReceived(code)
        stream.recycle()
        self.checkIdle()
    }

    private func settings(_ payload: RawSpan) {
        guard self.judge(.settings) else { return }
        // There are six; some more may be made up, but not thousands.
        guard payload.byteCount <= Self.mostSettings * 6 else { return self.fail(.enhanceYourCalm) }
        let windowBefore = self.peerInitialWindow
        var offset = 0
        while offset < payload.byteCount {
            let key = UInt16(payload.byte(at: offset)) &<< 8 | UInt16(payload.byte(at: offset &+ 1))
            let value = Int(payload.uint32(at: offset &+ 2))
            offset &+= 6
            switch HTTP2Setting(rawValue: key) {
            case .headerTableSize: self.encoder.setLimit(value)
            case .enablePush: if value > 1 { return self.fail(.protocolError) }
            case .maxConcurrentStreams: self.peerMaxStreams = value
            case .initialWindowSize:
                guard value <= HTTP2.maxWindow else { return self.fail(.flowControlError) }
                self.peerInitialWindow = value
            case .maxFrameSize:
                // We never send more than the least that everybody takes.
                guard (HTTP2.maxFrameSize...0xff_ffff).contains(value) else { return self.fail(.protocolError) }
            case .maxHeaderListSize, nil: break
            }
        }
        guard self.moveWindows(by: self.peerInitialWindow &- windowBefore) else {
            return self.fail(.flowControlError)
        }
        FrameWriter.settingsAck(to: &self.output)
        self.controlWritten()
        self.settingsReceived()
    }

    private static let mostSettings = 32

    /// - Source: RFC 9113 §6.9.2: a new initial window moves those of all open streams.
    private func moveWindows(by change: Int) -> Bool {
        guard change != 0 else { return true }
        for stream in self.streams.all {
            stream.sendWindow &+= change
            guard stream.sendWindow <= HTTP2.maxWindow else { return false }
            if change > 0, stream.pending != nil { self.wait(stream) }
        }
        return true
    }

    /// The peer's settings hold.
    func settingsReceived() {}

    private func windowUpdate(_ id: UInt32, _ increment: Int) {
        guard self.judge(.windowUpdate) else { return }
        if id == 0 {
            self.sendWindow &+= increment
            guard self.sendWindow <= HTTP2.maxWindow else { return self.fail(.flowControlError) }
            if !self.waiting.isEmpty { self.markDirty() }
            return
        }
        guard let stream = self.streams[id: id] else {
            if self.isIdle(id) { self.fail(.protocolError) }
            return
        }
        stream.sendWindow &+= increment
        guard stream.sendWindow <= HTTP2.maxWindow else { return self.streamError(id, .flowControlError) }
        if stream.pending != nil { self.wait(stream) }
    }

    // MARK: Ends

    /// Ends the connection for what the peer did.
    final func fail(_ code: HTTP2ErrorCode) {
        guard !self.isClosed else { return }
        self.worker.metrics.count(code)
        if code == .enhanceYourCalm { self.worker.metrics.count(.http2Frames) }
        FrameWriter.goAway(lastStream: self.lastPeerStream, code, to: &self.output)
        self.close()
    }

    /// Sends what is left, and waits a moment for the peer to read it.
    final func close() {
        guard !self.isClosed else {
            self.context?.close(promise: nil)
            return
        }
        if let context = self.context { self.writeOut(context) }
        self.isClosed = true
        self.unread = nil
        self.loseStreams()
        self.ended()
        self.setOwnDeadline(.seconds(1))
        self.context?.close(mode: .output, promise: nil)
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

    @inline(__always)
    private func notice(_ deadline: NIODeadline, _ amount: TimeAmount) {
        if deadline < self.deadline { self.deadline = deadline }
        self.worker.deadlines.notice(amount)
    }

    package final func deadlineReached() {
        self.worker.tick()
        let now = self.worker.now
        if self.ownDeadline <= now {
            self.ownDeadline = .distantFuture
            if self.block != nil { self.fail(.enhanceYourCalm) } else { self.ownDeadlineReached() }
        }
        for stream in self.streams.all where stream.deadline <= now {
            stream.deadline = .distantFuture
            if stream.id != 0 { stream.deadlineReached() }
        }
        var earliest = self.ownDeadline
        for stream in self.streams.all { earliest = min(earliest, stream.deadline) }
        self.deadline = min(self.deadline, earliest)
    }
}

extension HeadLimits {
    /// Keeps nothing.
    fileprivate static var nothing: Self { Self(startLine: 0, field: 0, section: 0, fields: 0) }
}
