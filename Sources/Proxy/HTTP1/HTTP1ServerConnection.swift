// SPDX-License-Identifier: Apache-2.0
// request path

package import Common
package import NIOCore

#if canImport(Glibc)
    import Glibc
#endif

/// One HTTP/1.1 client connection: the only handler of its pipeline.
///
/// Codec, stages and bodies are plain calls inside it.
///
/// Bytes are scanned where they were received. What cannot be used yet waits in `unread`: a head that is not complete,
/// or requests that were sent before the answer to an earlier one.
package final class HTTP1ServerConnection: ChannelInboundHandler, RemovableChannelHandler {
    package typealias InboundIn = ByteBuffer
    package typealias OutboundOut = ByteBuffer

    package var deadline = NIODeadline.distantFuture
    let worker: Worker
    let plans: Snapshot<TrafficPlan>.Reader
    let isGRPC: Bool
    /// The plan of the request in flight, or of the last one.
    var plan: TrafficPlan
    var context: ChannelHandlerContext?
    /// Where the connection has a place, until it is removed or handed over.
    var budget: ConnectionBudget?
    private var slot: DeadlineTable.Slot?
    private var peer: SocketAddress?
    /// Whether `plan` trusts the peer; asked again when there is another plan.
    private var isPeerTrusted: Bool?
    var state = HTTP1ServerState()
    private var scanner = HeadScanner()
    private var body = BodyReader()
    var unread: ByteBuffer?
    /// Taken from the worker with the first byte of a request, and kept until its answer is complete.
    private var driver: ExchangeDriver?
    private var framing = HTTP1Writer.Framing.byHead
    /// Whether nothing has come yet that would tell the protocol.
    var mayBeHTTP2 = true
    private var isReading = true
    private var isProcessing = false
    /// Whether bytes of later requests came together with the one in flight.
    private var hasLater = false

    /// A connection that obeys the newest plan of its listener.
    ///
    /// - Parameter isGRPC: Whether everything on the listener counts as gRPC.
    /// - Parameter budget: Where it has a place, which is given back when the handler is removed.
    package init(
        worker: Worker, plans: Snapshot<TrafficPlan>.Reader, isGRPC: Bool = false, budget: ConnectionBudget? = nil
    ) {
        self.budget = budget
        self.worker = worker
        self.isGRPC = isGRPC
        self.plans = plans
        self.plan = plans.value
    }

    // MARK: Channel

    package func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        self.slot = self.worker.deadlines.add(self)
        self.worker.metrics.clientConnections.add()
        self.worker.clientCount &+= 1
        self.worker.tick()
        // One that was accepted just before the listener was closed still gets an answer, but is not waited for as long.
        let settings = self.plan.settings
        self.setDeadline(
            after: self.plan.isDraining ? min(settings.keepAlive, settings.halfClosed) : settings.keepAlive)
    }

    package func handlerRemoved(context: ChannelHandlerContext) {
        self.context = nil
        self.worker.clientCount &-= 1
        self.budget?.leave()
        if let slot = self.slot.take() { self.worker.deadlines.remove(slot) }
    }

    package func channelInactive(context: ChannelHandlerContext) {
        self.context = nil
        self.state.requestFailed()
        guard let driver = self.driver else { return }
        driver.downstreamGone()
        // A head that is not complete has not begun an exchange that could clear it.
        driver.exchange.reset()
        self.releaseDriver()
    }

    package func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

    package func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        self.worker.tick()
        var input = Self.unwrapInboundIn(data)
        if var unread = self.unread.take() {
            unread.writeBuffer(&input)
            input = unread
        }
        switch self.state.input {
        case .head:
            if self.mayBeHTTP2, self.takesHTTP2(&input, context) { return }
            self.process(&input)
        case .body:
            self.readBody(&input)
            if self.state.input == .head { self.process(&input) } else { self.keep(input) }
        case .later: self.keep(input)
        case .tunnel:
            self.setDeadline(after: self.plan.settings.tunnel)
            self.driver?.tunnelFromDownstream(input)
        case .discarded: break
        }
    }

    /// Nobody behind this handler waits for it.
    package func channelReadComplete(context: ChannelHandlerContext) {}

    package func channelWritabilityChanged(context: ChannelHandlerContext) {
        guard let driver = self.driver else { return }
        let isWritable = context.channel.isWritable
        driver.setUpstreamReading(isWritable)
        if self.state.input == .tunnel { return }
        // A client that takes nothing is given up after a while.
        if self.state.hasResponseBegun {
            self.deadline = .distantFuture
            if !isWritable { self.setDeadline(after: self.plan.settings.stream) }
        }
    }

    package func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        switch event as? ChannelEvent {
        case .inputClosed: self.inputClosed()
        case .outputClosed where self.state.input == .discarded:
            if self.state.isInputClosed { context.close(promise: nil) }
        case .outputClosed, nil: break
        }
    }

    private func inputClosed() {
        switch self.state.inputClosed() {
        case .close: self.close()
        case .abort: self.context?.close(promise: nil)
        case .endTunnelInput: self.driver?.tunnelInputClosed()
        case .awaitResponse:
            if !self.state.hasResponseBegun {
                self.worker.tick()
                self.setDeadline(after: self.plan.settings.halfClosed)
            }
        }
    }

    private func setDeadline(after amount: TimeAmount) {
        self.deadline = self.worker.now + amount
        self.worker.deadlines.notice(amount)
    }

    // MARK: Requests

    /// Serves the requests in `input`, one after the other, as far as they are complete and their answers are.
    private func process(_ input: inout ByteBuffer) {
        self.isProcessing = true
        while self.state.input == .head, input.readableBytes > 0, self.readHead(&input) {
            if self.state.input == .body, input.readableBytes > 0 { self.readBody(&input) }
        }
        self.isProcessing = false
        self.keep(input)
        if self.state.isInputClosed, self.context != nil { self.inputClosed() }
    }

    private func keep(_ input: ByteBuffer) {
        guard input.readableBytes > 0, self.state.input != .discarded else { return }
        self.unread = input
        if self.state.input == .later, input.readableBytes > self.plan.settings.buffer { self.setReading(false) }
    }

    /// Reads a head and begins its exchange.
    ///
    /// - Returns: `false` when the head is not complete.
    private func readHead(_ input: inout ByteBuffer) -> Bool {
        guard Self.skipEmptyLines(&input) else { return false }
        let driver = self.driver ?? self.beginHead()
        let result = driver.exchange.scanRequest(
            input.readableBytesSpan, &self.scanner, limits: self.plan.requestLimits)
        switch result {
        case .incomplete: return false
        case .invalid(let violation):
            self.state.requestFailed()
            if let limit = violation.limit { self.worker.metrics.count(limit) }
            driver.exchange.request.method = .other
            driver.refuse(self, plan: self.plan, LocalReply(violation))
        case .complete(let length):
            input.moveReaderIndex(forwardBy: length)
            self.begin(driver, &input)
        }
        return true
    }

    /// - Source: RFC 9112 §2.2: empty lines before a request line are ignored.
    private static func skipEmptyLines(_ input: inout ByteBuffer) -> Bool {
        while let first = input.getInteger(at: input.readerIndex, as: UInt8.self), first == .carriageReturn {
            guard let second = input.getInteger(at: input.readerIndex + 1, as: UInt8.self) else { return false }
            guard second == .lineFeed else { return true }
            input.moveReaderIndex(forwardBy: 2)
        }
        return input.readableBytes > 0
    }

    private func beginHead() -> ExchangeDriver {
        let driver = self.worker.takeDriver()
        self.driver = driver
        let plan = self.plans.value
        if plan !== self.plan {
            self.plan = plan
            self.isPeerTrusted = nil
        }
        self.scanner = HeadScanner()
        // The channel's, which remembers it; the context's asks the kernel each time.
        if self.peer == nil { self.peer = self.context?.channel.remoteAddress }
        driver.exchange.peer = self.peer
        self.setDeadline(after: self.plan.settings.requestHead)
        return driver
    }

    private func begin(_ driver: ExchangeDriver, _ input: inout ByteBuffer) {
        self.deadline = .distantFuture
        self.state.requestBegan(driver.exchange.request)
        driver.exchange.isPeerTrusted = self.isPeerTrusted ?? self.judgePeer()
        if self.worker.overload.refusesRequests {
            driver.refuse(self, plan: self.plan, LocalReply(ProxyError(.overloaded)))
            return
        }
        driver.exchange.isGRPC = self.isGRPC
        if driver.exchange.request.method == .connect, self.leadsToService(driver) {
            self.answerConnect(driver, &input)
            return
        }
        if let reply = driver.exchange.takeFirstReply(tunnels: self.plan.tunnels) {
            driver.refuse(self, plan: self.plan, reply)
            return
        }
        driver.exchange.prepareForForwarding()
        self.hasLater = input.readableBytes > 0
        guard driver.exchange.request.hasBody else {
            driver.begin(self, plan: self.plan, body: nil, isComplete: true)
            return
        }
        self.body = BodyReader(driver.exchange.request)
        let piece = self.takeBody(&input, driver)
        self.hasLater = input.readableBytes > 0
        switch piece.next {
        case .end: self.state.requestEnded()
        case .more: self.setDeadline(after: self.plan.settings.requestBody)
        case .invalid:
            self.state.requestFailed()
            driver.refuse(self, plan: self.plan, LocalReply(ProxyError(.badRequest, "malformed request body")))
            return
        }
        driver.begin(self, plan: self.plan, body: piece.data, isComplete: piece.next == .end)
    }

    private func judgePeer() -> Bool {
        let isTrusted = self.peer.map(self.plan.trusts) ?? false
        self.isPeerTrusted = isTrusted
        return isTrusted
    }

    private func readBody(_ input: inout ByteBuffer) {
        guard let driver = self.driver else { return }
        let piece = self.takeBody(&input, driver)
        switch piece.next {
        case .more:
            self.setDeadline(after: self.plan.settings.requestBody)
            driver.requestBody(piece.data, isComplete: false)
        case .end:
            self.deadline = .distantFuture
            self.state.requestEnded()
            driver.requestBody(piece.data, isComplete: true)
        case .invalid:
            self.state.requestFailed()
            driver.requestFailed(ProxyError(.badRequest, "malformed request body"))
        }
    }

    private func takeBody(_ input: inout ByteBuffer, _ driver: ExchangeDriver) -> BodyReader.Piece {
        self.body.take(
            from: &input, limits: self.plan.requestLimits, trailers: &driver.exchange.requestTrailers)
    }

    func releaseDriver() {
        if let driver = self.driver.take() { self.worker.giveBack(driver) }
    }

    // MARK: Closing

    func closeIfIdle(_ direction: Direction) {
        guard self.plan.direction == direction, self.state.isIdle, self.unread == nil else { return }
        self.context?.flush()
        self.context?.close(promise: nil)
    }

    func limitIdle(_ amount: TimeAmount) {
        guard self.state.isIdle, self.driver == nil, self.worker.now + amount < self.deadline else { return }
        self.setDeadline(after: amount)
    }

    /// Whether the connection ends with the answer in flight, whatever the client wishes.
    private var isEnding: Bool { self.plans.value.isDraining || self.worker.overload.endsConnections }

    /// Closes once everything written is sent.
    private func close() {
        guard let context = self.context else { return }
        context.flush()
        self.state.requestFailed()
        self.unread = nil
        self.setDeadline(after: self.plan.settings.linger)
        let waiting = try? context.channel.syncOptions?.getOption(.bufferedWritableBytes)
        context.close(mode: waiting == 0 ? .all : .output, promise: nil)
    }

    /// Closes the sending side once everything written is sent, and reads on for a while: closing at once would reset
    /// the connection and destroy an answer that the client, still sending, has not read.
    private func closeLingering() {
        guard let context = self.context else { return }
        context.flush()
        self.unread = nil
        self.setReading(true)
        self.setDeadline(after: self.plan.settings.linger)
        context.close(mode: .output, promise: nil)
    }
}

// MARK: - Responses

extension HTTP1ServerConnection: Downstream {
    package func sendInterim(_ driver: ExchangeDriver) {
        guard let context = self.context, driver.exchange.request.minorVersion >= 1 else { return }
        driver.exchange.responseHeaders.removeHopByHop()
        driver.exchange.responseHeaders.remove(.contentLength)
        self.worker.scratch.clear()
        HTTP1Writer.write(
            driver.exchange.response, driver.exchange.responseHeaders, framing: .byHead, connection: .none,
            to: &self.worker.scratch)
        MessageWriter.flush(self.worker, to: context)
    }

    package func sendResponse(_ driver: ExchangeDriver, bodyLength: Int?, body: ByteBuffer?, isComplete: Bool) {
        guard let context = self.context else { return }
        let (framing, connection) = self.state.responseBegan(
            hasUnknownLength: bodyLength == nil, hasLater: self.hasLater || self.unread != nil,
            isDraining: self.isEnding)
        self.framing = framing
        driver.exchange.responseHeaders.removeHopByHop()
        if driver.exchange.response.status == 204 { driver.exchange.responseHeaders.remove(.contentLength) }
        if driver.exchange.response.flags.contains(.http2) { driver.exchange.stateEmptyBody(bodyLength) }
        self.worker.scratch.clear()
        HTTP1Writer.write(
            driver.exchange.response, driver.exchange.responseHeaders, framing: framing, connection: connection,
            to: &self.worker.scratch)
        self.write(body, isComplete: isComplete, driver, context)
    }

    package func sendBody(_ driver: ExchangeDriver, body: ByteBuffer?, isComplete: Bool) {
        guard let context = self.context else { return }
        self.worker.scratch.clear()
        self.write(body, isComplete: isComplete, driver, context)
    }

    private func write(
        _ body: ByteBuffer?, isComplete: Bool, _ driver: ExchangeDriver, _ context: ChannelHandlerContext
    ) {
        MessageWriter.add(
            body, framing: self.framing, isComplete: isComplete, trailers: driver.exchange.responseTrailers,
            worker: self.worker, to: context)
        MessageWriter.flush(self.worker, to: context, isLast: isComplete)
        if !isComplete, !context.channel.isWritable { driver.setUpstreamReading(false) }
    }

    package func sendReply(_ reply: LocalReply) {
        guard let context = self.context, let driver = self.driver else { return }
        let connection = self.state.responseBegan(
            hasUnknownLength: false, hasLater: self.hasLater || self.unread != nil,
            isDraining: self.isEnding
        ).connection
        self.worker.scratch.clear()
        HTTP1Writer.write(reply, to: driver.exchange.request.method, connection: connection, to: &self.worker.scratch)
        MessageWriter.flush(self.worker, to: context)
    }

    package func abortResponse() {
        guard let context = self.context else { return }
        self.state.requestFailed()
        if self.framing == .untilClose {
            // An orderly end would look like the end of the body.
            let channel = context.channel as? any SocketOptionProvider
            _ = channel?.setSoLinger(linger(l_onoff: 1, l_linger: 0))
        }
        context.close(promise: nil)
    }

    package func exchangeEnded() {
        self.releaseDriver()
        guard self.context != nil else { return }
        let plan = self.plans.value
        switch self.state.responseEnded() {
        // Its head has promised to go on, but that was before the process began to stop.
        case .nextRequest where plan.isDraining && self.unread == nil && !self.isProcessing: self.close()
        case .nextRequest:
            self.setReading(true)
            self.setDeadline(after: plan.settings.keepAlive)
            if self.isProcessing { return }
            if var input = self.unread.take() {
                self.process(&input)
            } else if self.state.isInputClosed {
                self.close()
            }
        case .close: self.close()
        case .linger: self.closeLingering()
        }
    }

    package func setReading(_ isReading: Bool) {
        guard isReading != self.isReading, let context = self.context else { return }
        self.isReading = isReading
        // While the upstream takes nothing, the silence is not the client's.
        if self.state.input == .body {
            self.deadline = .distantFuture
            if isReading { self.setDeadline(after: self.plan.settings.requestBody) }
        }
        try? context.channel.syncOptions?.setOption(.autoRead, value: isReading)
    }

    package func beginTunnel(_ driver: ExchangeDriver) {
        guard let context = self.context else { return }
        self.state.tunnelBegan()
        driver.exchange.responseHeaders.removeHopByHop()
        self.worker.scratch.clear()
        HTTP1Writer.write(
            driver.exchange.response, driver.exchange.responseHeaders, framing: .byHead, connection: .upgrade,
            to: &self.worker.scratch)
        MessageWriter.flush(self.worker, to: context)
        self.setDeadline(after: self.plan.settings.tunnel)
        self.setReading(true)
        if let input = self.unread.take() { driver.tunnelFromDownstream(input) }
    }

    package func writeTunnel(_ bytes: ByteBuffer) {
        guard let context = self.context else { return }
        self.setDeadline(after: self.plan.settings.tunnel)
        context.writeAndFlush(NIOAny(bytes), promise: nil)
        if !context.channel.isWritable { self.driver?.setUpstreamReading(false) }
    }

    package func endTunnelOutput() { self.context?.close(mode: .output, promise: nil) }
}

extension HTTP1ServerConnection: ClientConnection, DeadlineOwner {
    package func deadlineReached() {
        self.worker.tick()
        guard let driver = self.driver, !self.state.hasResponseBegun || self.state.isIdle else {
            // Idle between two requests, lingering, or taking nothing of its answer.
            if self.state.isIdle || self.driver != nil {
                self.worker.metrics.count(self.state.isIdle ? .keepAliveTime : .clientStallTime)
            }
            self.context?.close(promise: nil)
            return
        }
        switch self.state.input {
        case .head:
            self.state.requestFailed()
            driver.exchange.requestHeaders.clear()  // half a head
            driver.exchange.request.method = .other
            self.worker.metrics.count(.requestHeadTime)
            driver.refuse(self, plan: self.plan, LocalReply(ProxyError(.requestTimeout)))
        case .body:
            self.state.requestFailed()
            self.worker.metrics.count(.requestBodyTime)
            driver.requestFailed(ProxyError(.requestTimeout, "request body not received in time"))
        case .later, .tunnel, .discarded: self.context?.close(promise: nil)
        }
    }
}
