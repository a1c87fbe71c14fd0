// SPDX-License-Identifier: Apache-2.0
// request path

import Common
import NIOCore

/// What a connection sends: data as far as windows allow, resets, and everything of one turn in one write.
extension HTTP2Connection {
    /// Writes DATA as far as the windows and the connection allow.
    ///
    /// - Returns: Whether all of `body` is written; with `isLast` the stream is ended then.
    func write(_ body: inout ByteBuffer, of stream: HTTP2Stream, isLast: Bool) -> Bool {
        self.markDirty()
        while body.readableBytes > 0 {
            let room = min(self.sendWindow, stream.sendWindow, HTTP2.maxFrameSize)
            guard room > 0, self.hasRoom else { return false }
            let count = min(body.readableBytes, room)
            let endStream = isLast && count == body.readableBytes && !stream.hasTrailers
            FrameWriter.begin(
                .data, flags: endStream ? HTTP2Flags.endStream : 0, stream: stream.id, length: count,
                to: &self.output)
            guard let piece = body.readSlice(length: count) else { return false }
            self.output.writeImmutableBuffer(piece)
            self.sendWindow &-= count
            stream.sendWindow &-= count
            self.meter.sentData()
            if endStream { stream.hasEnded = true }
        }
        if isLast, !stream.hasEnded { self.end(stream) }
        return true
    }

    /// Whether the connection takes more data now.
    private var hasRoom: Bool {
        self.output.readableBytes < Self.outputLimit && self.context?.channel.isWritable == true
    }

    static var outputLimit: Int { 64 * 1024 }
    private static var resetMemory: Int { 128 }
    private static var queuedControlLimit: Int { 1000 }

    /// Ends our side of a stream, with its trailers if it has some.
    func end(_ stream: HTTP2Stream) {
        guard !stream.hasEnded else { return }
        stream.hasEnded = true
        switch stream.takeTrailers() {
        case .some(var trailers):
            FrameWriter.trailers(&trailers, stream: stream.id, encoder: &self.encoder, to: &self.output)
            stream.giveBackTrailers(trailers)
        case .none:
            FrameWriter.begin(.data, flags: HTTP2Flags.endStream, stream: stream.id, length: 0, to: &self.output)
        }
        self.markDirty()
    }

    /// Calls the stream when there is room.
    func wait(_ stream: HTTP2Stream) {
        guard !stream.isWaiting, stream.sendWindow > 0 else { return }
        stream.isWaiting = true
        self.waiting.append(stream)
        self.markDirty()
    }

    /// Resets a stream and forgets it.
    func reset(_ stream: HTTP2Stream, _ code: HTTP2ErrorCode) {
        guard stream.id != 0, self.streams[id: stream.id] === stream else { return }
        self.streams.remove(stream.id)
        self.writeReset(stream.id, code)
        stream.recycle()
        self.checkIdle()
    }

    /// Forgets a stream that both sides have ended.
    func finish(_ stream: HTTP2Stream) {
        self.streams.remove(stream.id)
        stream.recycle()
        self.checkIdle()
    }

    func checkIdle() {
        if self.streams.count == 0, !self.isClosed { self.becameIdle() }
    }

    func writeReset(_ id: UInt32, _ code: HTTP2ErrorCode) {
        guard !self.isClosed else { return }
        if self.lately.count < Self.resetMemory {
            self.lately.append(id)
        } else {
            self.lately[self.latelyNext] = id
            self.latelyNext = (self.latelyNext + 1) % Self.resetMemory
        }
        FrameWriter.reset(id, code, to: &self.output)
        self.controlWritten()
    }

    /// Ends a stream for what the peer did on it.
    func streamError(_ id: UInt32, _ code: HTTP2ErrorCode) {
        let stream = self.streams[id: id]
        self.streams.remove(id)
        self.forceReset(id, code)
        guard let stream else { return }
        stream.failed(ProxyError(.badUpstreamResponse, "upstream broke the rules of HTTP/2"))
        stream.recycle()
        self.checkIdle()
    }

    func forceReset(_ id: UInt32, _ code: HTTP2ErrorCode) {
        self.writeReset(id, code)
        if !self.meter.allowsForcedReset(at: self.worker.now) { self.fail(.enhanceYourCalm) }
    }

    /// Something was written that no window bounds.
    func controlWritten() {
        self.markDirty()
        guard self.context?.channel.isWritable == false else { return }
        self.queuedControl += 1
        if self.queuedControl > Self.queuedControlLimit { self.context?.close(promise: nil) }
    }

    @inline(__always)
    func markDirty() {
        if self.isDirty { return }
        self.isDirty = true
        self.worker.flushes.add(self, self.worker)
    }

    /// Sends what was written since the last time, and what has waited for it.
    func flush() {
        guard let context = self.context, !self.isClosed else { return }
        self.writeOut(context)
        // Each stream in turn, so that none takes the whole connection.
        while !self.waiting.isEmpty, context.channel.isWritable, self.sendWindow > 0 {
            let streams = self.waiting
            self.waiting.removeAll(keepingCapacity: true)
            for stream in streams {
                stream.isWaiting = false
                if stream.id != 0, stream.resume() {
                    stream.isWaiting = true
                    self.waiting.append(stream)
                }
            }
            if self.output.readableBytes == 0 { break }
            self.writeOut(context)
        }
        // Not before: what was written meanwhile is on its way.
        self.isDirty = false
    }

    func writeOut(_ context: ChannelHandlerContext) {
        let count = self.output.readableBytes
        guard count > 0 else { return }
        context.writeAndFlush(NIOAny(self.output), promise: nil)
        if !context.channel.isWritable { self.backlog &+= count }
        // A buffer that a burst has made big is not kept.
        if self.output.capacity > 4 * Self.outputLimit { self.output = ByteBuffer() } else { self.output.clear() }
    }

    /// Sends what every connection begins with.
    func writeSettings(_ settings: [(HTTP2Setting, Int)]) {
        FrameWriter.settings(settings, to: &self.output)
        if self.connectionWindow > HTTP2.initialWindow {
            FrameWriter.windowUpdate(0, self.connectionWindow - HTTP2.initialWindow, to: &self.output)
            self.receiveWindow = self.connectionWindow
        }
        self.markDirty()
    }
}
