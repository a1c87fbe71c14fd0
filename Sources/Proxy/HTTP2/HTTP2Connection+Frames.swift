// SPDX-License-Identifier: Apache-2.0
// request path

import Common
import NIOCore

/// What a connection receives: one frame after the other.
extension HTTP2Connection {
    func handle(_ frame: FrameParser.Frame, _ input: ByteBuffer) {
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
        case .settingsAck: self.settingsAcknowledged()
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
    func judge(_ act: AbuseMeter.Act) -> Bool {
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
    func credit(_ stream: HTTP2Stream) {
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
        self.setBlockDeadline(self.headLimit)
    }

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
        self.blockDeadline = .distantFuture
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
    func ignore(_ block: RawSpan) {
        var headers = HeaderBlock()
        var pseudo = PseudoFields()
        switch self.decoder.decode(block, limits: .nothing, into: &headers, &pseudo) {
        case .broken: self.fail(.compressionError)
        case .bomb: self.fail(.enhanceYourCalm)
        case .complete, .malformed, .tooLarge: break
        }
    }

    /// Whether we have reset the stream a moment ago, so that the peer may not know yet.
    func wasResetLately(_ id: UInt32) -> Bool { self.lately.contains(id) }

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

    private static var mostSettings: Int { 32 }
    private static var continuations: Int { 8 }

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

    /// The peer sends by our settings from here on.
    ///
    /// What it sent before obeyed the window that everybody begins with.
    ///
    /// - Source: RFC 9113 §6.9.3.
    private func settingsAcknowledged() {
        guard !self.isAcknowledged else { return }
        self.isAcknowledged = true
        let change = self.streamWindow &- HTTP2.initialWindow
        for stream in self.streams.all { stream.receiveWindow &+= change }
    }

    /// What a stream that the peer opens, or answers on, may be sent at first.
    var receiveInitialWindow: Int { self.isAcknowledged ? self.streamWindow : HTTP2.initialWindow }

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
}

extension HeadLimits {
    /// Keeps nothing.
    fileprivate static var nothing: Self { Self(startLine: 0, field: 0, section: 0, fields: 0) }
}
