// SPDX-License-Identifier: Apache-2.0
// request path

import Common
package import NIOCore

#if canImport(Glibc)
    import Glibc
#endif

/// One HTTP/1.1 connection to an upstream: the only handler of its pipeline.
///
/// It has one owner at a time: the pool while it is idle, a ticket while it serves one, itself while it closes. Deadlines
/// of a call are the driver's; its own is how long it may be idle, or be writing out what a tunnel left.
///
/// - Source: RFC 9112.
package final class HTTP1ClientConnection: ChannelInboundHandler, EventTail {
    package typealias InboundIn = ByteBuffer
    package typealias OutboundOut = ByteBuffer

    /// What the next bytes are.
    private enum Input {
        /// None are expected: the connection is idle.
        case nothing
        case head
        case body
        case tunnel
    }

    package let group: ConnectionPool.Group
    package var deadline = NIODeadline.distantFuture
    private let worker: Worker
    private var context: ChannelHandlerContext?
    private var slot: DeadlineTable.Slot?
    /// Whom it serves.
    private var ticket: Ticket?
    private var input = Input.nothing
    private var scanner = HeadScanner()
    private var body = BodyReader()
    /// Received and not understood yet.
    private var unread: ByteBuffer?
    private var framing = HTTP1Writer.Framing.byHead
    private var isRequestComplete = true
    private var keepsAlive = true
    private var isReading = true
    /// What the channel has said last.
    private var isWritable = true
    private var isIdle = false
    private var isClosing = false
    /// The channel is closed, and whoever waits has not been told.
    private var isLost = false
    private var hasFailed = false
    private var mayHaveDrained = false
    /// Everything that the client has sent through a tunnel is sent on.
    private var isWrittenOut = false
    /// What the channel has read inside a write that failed; in order before its end.
    private var early: ByteBuffer?
    /// Requests sent so far.
    private var served = 0
    private var hasAnswered = false

    /// A connection that is not made yet.
    init(worker: Worker, group: ConnectionPool.Group) {
        self.worker = worker
        self.group = group
    }

    private func setDeadline(after amount: TimeAmount) {
        self.deadline = self.worker.now + amount
        self.worker.deadlines.notice(amount)
    }

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
        if self.isIdle { self.worker.pool.removeIdle(self) }
        self.isIdle = false
        self.isClosing = true
        self.isLost = true
        self.context = nil
        // It may be that this very connection is being written to.
        self.worker.putOff(self)
    }

    package func errorCaught(context: ChannelHandlerContext, error: any Error) {
        self.hasFailed = true
        context.close(promise: nil)
    }

    /// Nobody behind this handler waits for it.
    package func channelReadComplete(context: ChannelHandlerContext) {}

    package func channelWritabilityChanged(context: ChannelHandlerContext) {
        self.isWritable = context.channel.isWritable
        guard self.ticket != nil else { return }
        self.mayHaveDrained = true
        self.worker.putOff(self)
    }

    package func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        guard self.input == .tunnel, event as? ChannelEvent == .inputClosed, let ticket = self.ticket else { return }
        self.worker.event { ticket.driver.tunnelOutputEnded(ticket.number) }
    }

    package func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let bytes = Self.unwrapInboundIn(data)
        guard !self.worker.isInEvent else { return self.keep(bytes) }
        self.worker.event { self.received(bytes) }
    }

    /// A write that fails makes the channel read what is left, inside the write: it is looked at afterwards.
    private func keep(_ bytes: ByteBuffer) {
        var bytes = bytes
        if self.early == nil { self.early = bytes } else { self.early?.writeBuffer(&bytes) }
        self.worker.putOff(self)
    }

    package func eventEnds() {
        if let bytes = self.early.take() { self.received(bytes) }
        if self.isWrittenOut {
            self.isWrittenOut = false
            // With the other way ended too, this closes the connection.
            self.context?.close(mode: .output, promise: nil)
        }
        if self.isLost {
            self.isLost = false
            self.lost()
        } else if self.mayHaveDrained {
            self.mayHaveDrained = false
            guard let ticket = self.ticket else { return }
            ticket.driver.upstreamWritable(ticket.number, self.isWritable)
        }
    }

    private func lost() {
        self.worker.pool.closed(self)
        guard let ticket = self.ticket.take() else { return }
        let driver = ticket.driver
        switch self.input {
        case .tunnel: driver.tunnelLost(ticket.number, isBroken: self.hasFailed)
        case .body where self.body.endsWithConnection && !self.hasFailed:
            driver.responseBody(ticket.number, nil, isComplete: true)
        case .nothing, .head, .body:
            driver.upstreamFailed(
                ticket.number, ProxyError(.upstreamReset), wasReused: self.served > 1 && !self.hasAnswered)
        }
    }

    private func received(_ bytes: ByteBuffer) {
        var input = bytes
        if var unread = self.unread.take() {
            unread.writeBuffer(&input)
            input = unread
        }
        guard let ticket = self.ticket, ticket.isValid else {
            // Octets that nobody asked for: whatever answer they might be part of must not reach the next request.
            self.close()
            return
        }
        switch self.input {
        case .nothing: self.close()
        case .head: self.readHead(&input, ticket)
        case .body: self.readBody(&input, ticket)
        case .tunnel: ticket.driver.tunnelFromUpstream(ticket.number, input)
        }
    }

    // MARK: Response

    private func readHead(_ input: inout ByteBuffer, _ ticket: Ticket) {
        let driver = ticket.driver
        while input.readableBytes > 0 {
            self.hasAnswered = true
            let result = driver.exchange.scanResponse(
                input.readableBytesSpan, &self.scanner, limits: driver.responseLimits)
            switch result {
            case .incomplete:
                self.unread = input
                return
            case .invalid(let violation):
                let text = self.scanner.explain(
                    violation, input.readableBytesSpan, limits: driver.responseLimits, of: .response)
                return self.fail(self.worker.malformed(text, self.group))
            case .complete(let length): input.moveReaderIndex(forwardBy: length)
            }
            let status = driver.exchange.response.status
            if status == 101 {
                self.switchProtocols(input, ticket)
                return
            }
            guard status < 200 else {
                self.readFinalHead(&input, ticket)
                return
            }
            driver.interimResponse(ticket.number)
            // It may have been one too many.
            guard ticket.isValid else { return }
        }
    }

    private func readFinalHead(_ input: inout ByteBuffer, _ ticket: Ticket) {
        let driver = ticket.driver
        self.keepsAlive = driver.exchange.response.keepsAlive
        self.body = BodyReader(driver.exchange.response, to: driver.exchange.request.method)
        let length = self.body.knownRemaining
        var piece = BodyReader.Piece(data: nil, next: .end)
        if !self.body.isComplete { piece = self.takeBody(&input, driver) }
        self.input = .body
        switch piece.next {
        case .more:
            if input.readableBytes > 0 { self.unread = input }
            driver.finalResponse(ticket.number, bodyLength: length, body: piece.data, isComplete: false)
        case .end:
            self.finish(leftOver: input.readableBytes, driver)
            driver.finalResponse(ticket.number, bodyLength: length, body: piece.data, isComplete: true)
        case .invalid: self.fail(self.worker.malformed("its body", self.group))
        }
    }

    private func readBody(_ input: inout ByteBuffer, _ ticket: Ticket) {
        let driver = ticket.driver
        let piece = self.takeBody(&input, driver)
        switch piece.next {
        case .more:
            if input.readableBytes > 0 { self.unread = input }
            driver.responseBody(ticket.number, piece.data, isComplete: false)
        case .end:
            self.finish(leftOver: input.readableBytes, driver)
            driver.responseBody(ticket.number, piece.data, isComplete: true)
        case .invalid: self.fail(self.worker.malformed("its body", self.group))
        }
    }

    private func takeBody(_ input: inout ByteBuffer, _ driver: ExchangeDriver) -> BodyReader.Piece {
        self.body.take(from: &input, limits: driver.responseLimits, trailers: &driver.exchange.responseTrailers)
    }

    /// The response is complete: the connection goes back to the pool before the driver hears of it.
    ///
    /// - Parameter leftOver: Bytes behind the response. They belong to no request, so the connection is not used again.
    private func finish(leftOver: Int, _ driver: ExchangeDriver) {
        self.ticket = nil
        self.input = .nothing
        guard self.keepsAlive, leftOver == 0, self.isRequestComplete, !self.body.endsWithConnection, !self.isClosing,
            !self.worker.overload.endsConnections
        else {
            self.close()
            return
        }
        self.setReading(true)
        self.worker.pool.giveBack(
            self, idle: driver.settings.upstreamIdle, most: driver.settings.maxIdleUpstream)
    }

    private func fail(_ error: ProxyError) {
        guard let ticket = self.ticket.take() else { return }
        self.close()
        ticket.driver.upstreamFailed(ticket.number, error, wasReused: false)
    }

    private func switchProtocols(_ input: ByteBuffer, _ ticket: Ticket) {
        let driver = ticket.driver
        guard driver.exchange.request.isWebSocketUpgrade, driver.exchange.response.flags.contains(.websocket) else {
            self.fail(ProxyError(.badUpstreamResponse, "upstream switched protocols unasked"))
            return
        }
        self.becomeTunnel()
        driver.beginTunnel(ticket.number)
        if input.readableBytes > 0 { driver.tunnelFromUpstream(ticket.number, input) }
    }

    private func becomeTunnel() {
        self.input = .tunnel
        // Each side of a tunnel may end by itself.
        try? self.context?.channel.syncOptions?.setOption(.allowRemoteHalfClosure, value: true)
    }
}

extension HTTP1ClientConnection: SingleConnection {
    package var isOpen: Bool { self.context != nil && !self.isClosing }

    package func waitIdle(_ amount: TimeAmount) {
        self.isIdle = true
        self.setDeadline(after: amount)
    }

    package func limitIdle(_ amount: TimeAmount) {
        if self.isIdle, self.worker.now + amount < self.deadline { self.setDeadline(after: amount) }
    }

    package func leaveIdle() {
        self.isIdle = false
        self.deadline = .distantFuture
    }

    package func close() {
        if self.isIdle { self.worker.pool.removeIdle(self) }
        self.isIdle = false
        self.isClosing = true
        self.context?.close(promise: nil)
    }
}

extension HTTP1ClientConnection: Upstream {
    package var mayRefuse: Bool { false }

    package func sendRequest(_ ticket: Ticket, body: ByteBuffer?, isComplete: Bool) -> SentRequest {
        assert(self.ticket == nil && !self.isIdle, "an upstream has one owner")
        guard let context = self.context, !self.isClosing else { return .lost }
        let driver = ticket.driver
        self.ticket = ticket
        self.served &+= 1
        self.hasAnswered = false
        self.input = .head
        self.scanner = HeadScanner()
        self.isRequestComplete = isComplete
        self.framing = driver.exchange.request.flags.contains(.chunked) ? .chunked : .byHead
        self.worker.flushes.scratch.clear()
        HTTP1Writer.write(
            driver.exchange.request, driver.exchange.requestHeaders, framing: self.framing,
            isUpgrade: driver.exchange.request.isWebSocketUpgrade, to: &self.worker.flushes.scratch)
        self.flush(body, isComplete: isComplete, driver, context)
        return .sent(takesMore: self.isWritable)
    }

    package func sendBody(_ ticket: Ticket, body: ByteBuffer?, isComplete: Bool) -> Bool {
        // Closed under the call: what has been put off says so.
        guard let context = self.context, !self.isClosing else { return true }
        self.isRequestComplete = isComplete
        self.worker.flushes.scratch.clear()
        self.flush(body, isComplete: isComplete, ticket.driver, context)
        return self.isWritable
    }

    package func openTunnel(_ ticket: Ticket) -> Bool {
        guard self.context != nil, !self.isClosing else { return false }
        self.ticket = ticket
        self.served &+= 1
        self.becomeTunnel()
        return true
    }

    private func flush(
        _ body: ByteBuffer?, isComplete: Bool, _ driver: ExchangeDriver, _ context: ChannelHandlerContext
    ) {
        MessageWriter.add(
            body, framing: self.framing, isComplete: isComplete, trailers: driver.exchange.requestTrailers,
            worker: self.worker, to: context)
        MessageWriter.flush(self.worker, to: context, isLast: isComplete)
    }

    package func cancel(_ ticket: Ticket, because reason: Cancellation) {
        guard let mine = self.ticket, mine.number == ticket.number, mine.driver === ticket.driver else { return }
        self.ticket = nil
        // A peer sidecar would take an orderly end for a client that still wants its answer.
        if let channel = self.context?.channel as? any SocketOptionProvider {
            _ = channel.setSoLinger(linger(l_onoff: 1, l_linger: 0))
        }
        self.close()
    }

    package func setReading(_ isReading: Bool) {
        guard isReading != self.isReading, let context = self.context else { return }
        self.isReading = isReading
        try? context.channel.syncOptions?.setOption(.autoRead, value: isReading)
    }

    package func writeTunnel(_ bytes: ByteBuffer) -> Bool {
        guard let context = self.context, !self.isClosing else { return true }
        context.writeAndFlush(NIOAny(bytes), promise: nil)
        return self.isWritable
    }

    package func endTunnelOutput() {
        guard let context = self.context, !self.isClosing else { return }
        // Its call may be over before that, and with it whoever would notice that it takes too long.
        if let settings = self.ticket?.driver.settings { self.setDeadline(after: settings.stream) }
        MessageWriter.whenWritten(context, self.worker) {
            self.isWrittenOut = true
            return self
        }
    }
}

extension HTTP1ClientConnection: DeadlineOwner {
    package func deadlineReached() { self.worker.event { self.close() } }
}
