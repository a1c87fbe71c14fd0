// SPDX-License-Identifier: Apache-2.0
// request path

import Common
import NIOCore

/// One HTTP/1.1 connection to an upstream: the only handler of its pipeline.
///
/// - Source: RFC 9112; promises S5 to S8, limits L3 and L9.
final class HTTP1ClientConnection: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    /// What the next bytes are.
    private enum Input {
        /// None are expected: the connection is idle.
        case nothing
        case head
        case body
        case tunnel
    }

    let group: ConnectionPool.Group
    var deadline = NIODeadline.distantFuture
    let worker: Worker
    private var context: ChannelHandlerContext?
    private var slot: DeadlineTable.Slot?
    private var driver: ExchangeDriver?
    private var input = Input.nothing
    private var scanner = HeadScanner()
    private var body = BodyReader()
    /// Received and not understood yet.
    private var unread: ByteBuffer?
    private var framing = HTTP1Writer.Framing.byHead
    private var isRequestComplete = true
    private var keepsAlive = true
    private var isReading = true
    private var isIdle = false
    private var isClosing = false
    private var hasFailed = false
    /// Requests sent so far.
    private var served = 0
    private var hasAnswered = false

    init(worker: Worker, group: ConnectionPool.Group) {
        self.worker = worker
        self.group = group
    }

    // MARK: Pool

    /// Waits to be used again.
    func waitIdle(_ amount: TimeAmount) {
        self.isIdle = true
        self.setDeadline(after: amount)
    }

    /// Waits no longer than this from now.
    func limitIdle(_ amount: TimeAmount) {
        if self.isIdle, self.worker.now + amount < self.deadline { self.setDeadline(after: amount) }
    }

    /// Was taken from the pool.
    func leaveIdle() { self.isIdle = false }

    /// Closes the connection; nobody waits for anything on it.
    func close() {
        if self.isIdle { self.worker.pool.removeIdle(self) }
        self.isIdle = false
        self.isClosing = true
        self.context?.close(promise: nil)
    }

    private func setDeadline(after amount: TimeAmount) {
        self.deadline = self.worker.now + amount
        self.worker.deadlines.notice(amount)
    }

    // MARK: Channel

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        self.slot = self.worker.deadlines.add(self)
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.context = nil
        if let slot = self.slot.take() { self.worker.deadlines.remove(slot) }
    }

    func channelInactive(context: ChannelHandlerContext) {
        if self.isIdle { self.worker.pool.removeIdle(self) }
        self.isIdle = false
        self.isClosing = true
        self.worker.pool.closed(self)
        guard let driver = self.driver.take() else { return }
        switch self.input {
        case .tunnel: driver.tunnelEnded()
        case .body where self.body.endsWithConnection && !self.hasFailed: driver.responseBody(nil, isComplete: true)
        case .nothing, .head, .body:
            driver.upstreamFailed(ProxyError(.upstreamReset), wasReused: self.served > 1 && !self.hasAnswered)
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        self.hasFailed = true
        context.close(promise: nil)
    }

    /// Nobody behind this handler waits for it.
    func channelReadComplete(context: ChannelHandlerContext) {}

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        guard let driver = self.driver else { return }
        self.worker.tick()
        driver.setDownstreamReading(context.channel.isWritable)
        if !self.isRequestComplete { self.limitTaking(driver, context) }
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if self.input == .tunnel, event as? ChannelEvent == .inputClosed { self.driver?.tunnelOutputEnded() }
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        self.worker.tick()
        var input = Self.unwrapInboundIn(data)
        if var unread = self.unread.take() {
            unread.writeBuffer(&input)
            input = unread
        }
        guard let driver = self.driver else {
            // Octets that nobody asked for: whatever answer they might be part of must not reach the next request.
            self.close()
            return
        }
        switch self.input {
        case .nothing: self.close()
        case .head: self.readHead(&input, driver)
        case .body: self.readBody(&input, driver)
        case .tunnel: driver.tunnelFromUpstream(input)
        }
    }

    // MARK: Response

    private func readHead(_ input: inout ByteBuffer, _ driver: ExchangeDriver) {
        while input.readableBytes > 0 {
            self.hasAnswered = true
            let result = driver.exchange.scanResponse(
                input.readableBytesSpan, &self.scanner, limits: driver.responseLimits)
            switch result {
            case .incomplete:
                self.unread = input
                return
            case .invalid(let violation):
                self.fail(ProxyError(.badUpstreamResponse, "upstream sent a malformed response: \(violation.text)"))
                return
            case .complete(let length): input.moveReaderIndex(forwardBy: length)
            }
            let status = driver.exchange.response.status
            if status == 101 {
                self.switchProtocols(input, driver)
                return
            }
            guard status < 200 else {
                self.readFinalHead(&input, driver)
                return
            }
            guard driver.interimResponse() else {
                self.driver = nil
                self.close()
                return
            }
            // Sending the interim response may have shown that the client is gone.
            guard self.driver === driver else { return }
        }
    }

    private func readFinalHead(_ input: inout ByteBuffer, _ driver: ExchangeDriver) {
        let keepsAlive = driver.exchange.response.keepsAlive
        self.body = BodyReader(driver.exchange.response, to: driver.exchange.request.method)
        let length = self.body.knownRemaining
        var piece = BodyReader.Piece(data: nil, next: .end)
        if !self.body.isComplete { piece = self.takeBody(&input, driver) }
        self.input = .body
        switch piece.next {
        case .more:
            if input.readableBytes > 0 { self.unread = input }
            self.keepsAlive = keepsAlive
            self.setDeadline(after: driver.settings.stream)
            driver.finalResponse(bodyLength: length, body: piece.data, isComplete: false)
        case .end:
            self.keepsAlive = keepsAlive
            self.finish(leftOver: input.readableBytes, driver)
            driver.finalResponse(bodyLength: length, body: piece.data, isComplete: true)
        case .invalid: self.fail(ProxyError(.badUpstreamResponse, "upstream sent a malformed response body"))
        }
    }

    private func readBody(_ input: inout ByteBuffer, _ driver: ExchangeDriver) {
        let piece = self.takeBody(&input, driver)
        switch piece.next {
        case .more:
            if input.readableBytes > 0 { self.unread = input }
            self.setDeadline(after: driver.settings.stream)
            driver.responseBody(piece.data, isComplete: false)
        case .end:
            self.finish(leftOver: input.readableBytes, driver)
            driver.responseBody(piece.data, isComplete: true)
        case .invalid: self.fail(ProxyError(.badUpstreamResponse))
        }
    }

    private func takeBody(_ input: inout ByteBuffer, _ driver: ExchangeDriver) -> BodyReader.Piece {
        self.body.take(from: &input, limits: driver.responseLimits, trailers: &driver.exchange.responseTrailers)
    }

    /// The response is complete: the connection goes back to the pool before the driver hears of it, so that a
    /// pipelined request can have it.
    ///
    /// - Parameter leftOver: Bytes behind the response. They belong to no request, so the connection is not used again.
    private func finish(leftOver: Int, _ driver: ExchangeDriver) {
        self.driver = nil
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
        guard let driver = self.driver.take() else { return }
        self.close()
        driver.upstreamFailed(error, wasReused: false)
    }

    private func switchProtocols(_ input: ByteBuffer, _ driver: ExchangeDriver) {
        guard driver.exchange.request.isWebSocketUpgrade, driver.exchange.response.flags.contains(.websocket) else {
            self.fail(ProxyError(.badUpstreamResponse, "upstream switched protocols unasked"))
            return
        }
        self.input = .tunnel
        self.deadline = .distantFuture
        // Each side of a tunnel may end by itself.
        try? self.context?.channel.syncOptions?.setOption(.allowRemoteHalfClosure, value: true)
        driver.beginTunnel()
        if input.readableBytes > 0, self.driver === driver { driver.tunnelFromUpstream(input) }
    }
}

extension HTTP1ClientConnection: Upstream {
    var mayRefuse: Bool { false }

    func sendRequest(_ driver: ExchangeDriver, body: ByteBuffer?, isComplete: Bool) {
        guard let context = self.context, !self.isClosing else {
            driver.upstreamFailed(ProxyError(.upstreamReset), wasReused: true, wasSent: false)
            return
        }
        self.driver = driver
        self.served &+= 1
        self.hasAnswered = false
        self.input = .head
        self.scanner = HeadScanner()
        self.isRequestComplete = isComplete
        self.framing = driver.exchange.request.flags.contains(.chunked) ? .chunked : .byHead
        driver.exchange.responseHeaders.clear()
        self.worker.scratch.clear()
        HTTP1Writer.write(
            driver.exchange.request, driver.exchange.requestHeaders, framing: self.framing,
            isUpgrade: driver.exchange.request.isWebSocketUpgrade, to: &self.worker.scratch)
        self.flush(body, isComplete: isComplete, driver, context)
    }

    func sendBody(_ driver: ExchangeDriver, body: ByteBuffer?, isComplete: Bool) {
        guard let context = self.context, !self.isClosing else { return }
        self.isRequestComplete = isComplete
        self.worker.scratch.clear()
        self.flush(body, isComplete: isComplete, driver, context)
    }

    func openTunnel(_ driver: ExchangeDriver) -> Bool {
        guard let context = self.context, !self.isClosing else { return false }
        self.driver = driver
        self.served &+= 1
        self.input = .tunnel
        self.deadline = .distantFuture
        try? context.channel.syncOptions?.setOption(.allowRemoteHalfClosure, value: true)
        return true
    }

    private func flush(
        _ body: ByteBuffer?, isComplete: Bool, _ driver: ExchangeDriver, _ context: ChannelHandlerContext
    ) {
        MessageWriter.add(
            body, framing: self.framing, isComplete: isComplete, trailers: driver.exchange.requestTrailers,
            worker: self.worker, to: context)
        MessageWriter.flush(self.worker, to: context, isLast: isComplete)
        if isComplete {
            if self.input == .head { self.setDeadline(after: driver.firstByteLimit) }
        } else {
            if !context.channel.isWritable { driver.setDownstreamReading(false) }
            self.limitTaking(driver, context)
        }
    }

    /// Gives up an upstream that takes nothing of a request body; while it does take, the silence is the client's.
    private func limitTaking(_ driver: ExchangeDriver, _ context: ChannelHandlerContext) {
        guard self.input == .head else { return }
        self.deadline = .distantFuture
        if !context.channel.isWritable { self.setDeadline(after: driver.settings.stream) }
    }

    func cancel() {
        self.driver = nil
        self.close()
    }

    func setReading(_ isReading: Bool) {
        guard isReading != self.isReading, let context = self.context else { return }
        self.isReading = isReading
        // While the client takes nothing, the silence is not the upstream's.
        if self.input == .body {
            self.deadline = .distantFuture
            if isReading, let driver = self.driver { self.setDeadline(after: driver.settings.stream) }
        }
        try? context.channel.syncOptions?.setOption(.autoRead, value: isReading)
    }

    func writeTunnel(_ bytes: ByteBuffer) {
        guard let context = self.context, !self.isClosing else { return }
        context.writeAndFlush(NIOAny(bytes), promise: nil)
        if !context.channel.isWritable { self.driver?.setDownstreamReading(false) }
    }

    func endTunnelOutput() { self.context?.close(mode: .output, promise: nil) }
}

extension HTTP1ClientConnection: DeadlineOwner {
    func deadlineReached() {
        let driver = self.driver.take()
        driver?.exchange.worker.metrics.count(.upstreamTime)
        self.close()
        driver?.upstreamFailed(ProxyError(.upstreamTimeout), wasReused: false)
    }
}
