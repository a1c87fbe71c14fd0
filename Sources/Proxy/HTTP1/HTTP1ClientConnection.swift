// SPDX-License-Identifier: Apache-2.0
// request path

import Common
package import NIOCore

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
    enum Input {
        /// None are expected: the connection is idle.
        case nothing
        case head
        case body
        case tunnel
    }

    package let group: ConnectionPool.Group
    package var deadline = NIODeadline.distantFuture
    let worker: Worker
    var context: ChannelHandlerContext?
    package var slot: DeadlineTable.Slot?
    /// Whom it serves.
    var ticket: Ticket?
    var input = Input.nothing
    var scanner = HeadScanner()
    private var body = BodyReader()
    /// Received and not understood yet.
    private var unread: ByteBuffer?
    var framing = HTTP1Writer.Framing.byHead
    var isRequestComplete = true
    private var keepsAlive = true
    var isReading = true
    /// What the channel has said last.
    var isWritable = true
    var isIdle = false
    var isClosing = false
    /// The channel is closed, and whoever waits has not been told.
    private var isLost = false
    /// The upstream has closed its sending side, in order.
    private var hasEnded = false
    private var isInputEnding = false
    /// Our side of a tunnel is closed: the end of the other one closes the channel, without a word of its own.
    private var isOutputClosed = false
    private var hasFailed = false
    private var mayHaveDrained = false
    /// Everything that the client has sent through a tunnel is sent on.
    var isWrittenOut = false
    /// What the channel has read inside a write that failed; in order before its end.
    private var early: ByteBuffer?
    /// Requests sent so far.
    package internal(set) var served = 0
    /// When it began.
    package let madeAt: NIODeadline
    var hasAnswered = false

    /// Whether it was handed to whoever dialled, and has not ended.
    private var isMade = false

    /// It is made, and handed to whoever has dialled: from now on its end is told.
    func made() { self.isMade = true }

    /// A connection that is not made yet.
    init(worker: Worker, group: ConnectionPool.Group) {
        self.worker = worker
        self.group = group
        self.madeAt = worker.now
    }

    func setDeadline(after amount: TimeAmount) {
        self.deadline = self.worker.now + amount
        self.worker.deadlines.notice(amount)
    }

    // MARK: Channel

    package func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        self.worker.deadlines.add(self)
    }

    package func handlerRemoved(context: ChannelHandlerContext) {
        self.context = nil
        self.worker.deadlines.remove(self)
        // NIO does not say that a channel is inactive which was closed before it said that it is active.
        if self.isMade { self.becameInactive() }
    }

    package func channelInactive(context: ChannelHandlerContext) { self.becameInactive() }

    private func becameInactive() {
        self.isMade = false
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
        // TLS says first that its farewell is missing, and what comes after a failure is no end.
        guard event as? ChannelEvent == .inputClosed, !self.hasFailed else { return }
        self.hasEnded = true
        self.isInputEnding = true
        self.worker.putOff(self)
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
        if self.isInputEnding {
            self.isInputEnding = false
            self.inputEnded()
        }
        if self.isWrittenOut {
            self.isWrittenOut = false
            self.deadline = .distantFuture
            self.isOutputClosed = true
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

    /// The upstream sends no more, which is told apart from its loss where the connection's end is that of an answer.
    private func inputEnded() {
        guard let ticket = self.ticket else { return self.close() }
        switch self.input {
        case .tunnel: ticket.driver.tunnelOutputEnded(ticket.number)
        case .body where self.body.endsWithConnection:
            self.ticket = nil
            self.close()
            ticket.driver.responseBody(ticket.number, nil, isComplete: true)
        case .nothing, .head, .body: self.close()
        }
    }

    private func lost() {
        self.worker.pool.closed(self)
        guard let ticket = self.ticket.take() else { return }
        let driver = ticket.driver
        switch self.input {
        case .tunnel:
            driver.tunnelLost(ticket.number, isBroken: self.hasFailed || !self.hasEnded && !self.isOutputClosed)
        // The farewell of TLS may have come together with the head. Without TLS nothing tells a lost answer from a whole one.
        case .body where self.body.endsWithConnection && self.group.tls != nil && !self.hasFailed:
            driver.responseBody(ticket.number, nil, isComplete: true)
        case .nothing, .head, .body:
            driver.upstreamFailed(
                ticket.number, ProxyError(.upstreamReset), wasReused: self.served > 1 && !self.hasAnswered,
                wasReset: self.hasFailed)
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
        if self.body.endsWithConnection { self.allowHalfClosure() }
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

    func becomeTunnel() {
        self.input = .tunnel
        // Each side of a tunnel may end by itself.
        self.allowHalfClosure()
    }

    private func allowHalfClosure() {
        try? self.context?.channel.syncOptions?.setOption(.allowRemoteHalfClosure, value: true)
    }
}
