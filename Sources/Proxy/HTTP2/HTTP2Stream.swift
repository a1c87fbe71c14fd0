// SPDX-License-Identifier: Apache-2.0
// request path

import Common
import NIOCore

/// One exchange on an HTTP/2 connection: what both ends of mesher have in common.
class HTTP2Stream {
    /// The connection, which lets go of its streams when it ends.
    final let connection: HTTP2Connection
    /// 0 until the stream is open.
    final var id: UInt32 = 0
    /// When the peer must have taken what its call has left behind; looked after by the connection.
    final var deadline = NIODeadline.distantFuture

    /// How much the peer may still be sent.
    final var sendWindow = 0
    /// How much the peer may still send.
    final var receiveWindow = 0
    /// What was received and not given back to the peer's window.
    final var uncredited = 0
    /// What a `Content-Length` promised and has not come; `nil` when nothing was promised.
    final var promised: Int?
    /// Small pieces that were received in this turn of the loop and not passed on.
    final var gathered: ByteBuffer?
    /// What waits for the window, or for the connection.
    final var pending: ByteBuffer?
    /// Whether nothing follows what is pending.
    final var isLastPending = false
    /// Whether it is among those that wait for the connection.
    final var isWaiting = false
    final var isReading = true
    /// Whether we have ended our side.
    final var hasEnded = false
    /// Whether the peer has ended its side.
    final var hasPeerEnded = false

    init(_ connection: HTTP2Connection) { self.connection = connection }

    /// Ready for the next exchange.
    func reset() {
        self.id = 0
        self.deadline = .distantFuture
        self.uncredited = 0
        self.promised = nil
        self.gathered = nil
        self.pending = nil
        self.isLastPending = false
        self.isReading = true
        self.hasEnded = false
        self.hasPeerEnded = false
    }

    // MARK: For subclasses

    /// A header block after the first.
    func headersReceived(_ block: RawSpan, endStream: Bool) {}

    /// Data; `endStream` says that nothing follows.
    func dataReceived(_ data: ByteBuffer?, endStream: Bool) {}

    /// Whether trailers follow the body.
    var hasTrailers: Bool { false }

    /// The trailers, to be written now.
    func takeTrailers() -> HeaderBlock? { nil }

    /// They are written; a request may have to be sent again with them.
    func giveBackTrailers(_ trailers: consuming HeaderBlock) {}

    /// The peer has reset the stream, which is no longer in the table.
    func resetReceived(_ code: UInt32) {}

    /// We have to reset the stream for what the peer did; it is no longer in the table.
    func failed(_ error: ProxyError) {}

    /// The connection is gone.
    func connectionLost() {}

    /// Everything that was pending is sent; with `hasEnded` nothing follows.
    func drained() {}

    /// Some of what is pending was sent.
    func progressed() {}

    /// The deadline has passed; it is `.distantFuture` by now.
    func deadlineReached() {}

    /// The stream is in no table any more and may serve another exchange.
    func recycle() {}

    // MARK: Deadlines

    final func setDeadline(after amount: TimeAmount) {
        self.connection.setDeadline(amount, of: self)
    }

    // MARK: Sending

    /// Sends a piece of the body, or keeps it until the windows allow.
    ///
    /// - Parameter isComplete: Nothing follows but trailers, if there are some.
    final func send(_ body: ByteBuffer?, isComplete: Bool) {
        if var waiting = self.pending {
            self.pending = nil
            if let body { waiting.writeImmutableBuffer(body) }
            self.pending = waiting
            self.isLastPending = isComplete
            return
        }
        guard var body, body.readableBytes > 0 else {
            if isComplete { self.connection.end(self) }
            return
        }
        if self.connection.write(&body, of: self, isLast: isComplete) { return }
        // A copy: the piece may be a small part of a large buffer.
        var copy = ByteBuffer()
        copy.reserveCapacity(body.readableBytes)
        copy.writeImmutableBuffer(body)
        self.pending = copy
        self.isLastPending = isComplete
        self.connection.wait(self)
    }

    /// The windows have grown: sends what is pending as far as they allow.
    ///
    /// - Returns: Whether the stream has to wait for the connection again.
    final func resume() -> Bool {
        guard var body = self.pending.take() else { return false }
        let isLast = self.isLastPending
        let before = body.readableBytes
        guard self.connection.write(&body, of: self, isLast: isLast) else {
            self.pending = body
            if body.readableBytes < before { self.progressed() }
            return self.sendWindow > 0
        }
        self.isLastPending = false
        self.drained()
        return false
    }

    // MARK: Receiving

    final func setReading(_ isReading: Bool) {
        guard isReading != self.isReading else { return }
        self.isReading = isReading
        if isReading { self.credit() }
    }

    /// Gives back what was received, once it is half of the window.
    @inline(__always)
    final func credit() {
        guard self.isReading, !self.hasPeerEnded, self.uncredited >= self.connection.streamWindow / 2 else {
            return
        }
        self.connection.credit(self)
    }
}
