// SPDX-License-Identifier: Apache-2.0
// request path

package import Common
package import NIOCore
import NIOSSL

/// One HTTP/1.1 client connection: the only handler of its pipeline.
///
/// Codec, stages and bodies are plain calls inside it. Bytes are scanned where they were received. What cannot be used
/// yet waits in `unread`: a head that is not complete, or requests that were sent before the answer to an earlier one.
/// While answers wait to be taken by the client, nothing is read and no further request begins.
package final class HTTP1ServerConnection: ChannelInboundHandler, RemovableChannelHandler, EventTail {
    package typealias InboundIn = ByteBuffer
    package typealias OutboundOut = ByteBuffer

    package var deadline = NIODeadline.distantFuture
    let worker: Worker
    let plans: Snapshot<TrafficPlan>.Reader
    let isGRPC: Bool
    /// What TLS has agreed on, and nothing else is spoken then; `nil` without TLS.
    let negotiated: NegotiatedProtocol?
    /// Who the client is, where its certificate says it.
    let caller: RequestSource?
    /// Counts the connection, until it is closed or handed over.
    var budget: ConnectionBudget?
    /// The plan of the request in flight, or of the last one.
    var plan: TrafficPlan
    var context: ChannelHandlerContext?
    package var slot: DeadlineTable.Slot?
    private var peer: SocketAddress?
    /// Whether `plan` trusts the peer; asked again when there is another plan.
    private var isPeerTrusted: Bool?
    var state = HTTP1ServerState()
    private var scanner = HeadScanner()
    private var body = BodyReader()
    var unread: ByteBuffer?
    /// Taken from the worker with the first byte of a request, and kept until its answer is complete.
    var driver: ExchangeDriver?
    var framing = HTTP1Writer.Framing.byHead
    /// Whether nothing has come yet that would tell the protocol.
    var mayBeHTTP2 = true
    /// Whom a CONNECT has named, inside which requests come now.
    var inside: TunnelTarget?
    /// Whether bytes of later requests came together with the one in flight.
    var hasLater = false
    /// Why the channel is not read.
    var pauses: Pauses = []
    private var emptyLines = EmptyLines()
    var closing = Closing.not
    /// What the channel has said last; asking it costs more than a request should.
    var isWritable = true
    /// Whether the channel may read several times in an event; see ``readOnce(_:)``.
    var mayReadOften: Bool
    /// Whether our side of a tunnel is closed.
    var isOutputClosed = false

    // What the channel has reported inside a call, and is looked at at the end of the event.
    private var early: ByteBuffer?
    private var isInputEnding = false
    private var mayHaveDrained = false
    private var isLost = false
    private var hasFailed = false
    var isWrittenOut = false
    private var isResuming = false

    /// How far a connection that ends has come.
    enum Closing {
        case not
        /// Everything that was written goes out first; then it closes, or reads on for a while.
        case writing(lingers: Bool)
        case lingering
    }

    /// Requests of one client that are answered in one event, before others have their turn.
    private static let mostInTurn = 64
    /// A connection that obeys the newest plan of its listener.
    ///
    /// - Parameter isGRPC: Whether everything on the listener counts as gRPC.
    /// - Parameter negotiated: What TLS has agreed on; `nil` when nothing stands between this handler and the socket.
    /// - Parameter budget: Counts the connection; it is given back when the handler is removed.
    package init(
        worker: Worker, plans: Snapshot<TrafficPlan>.Reader, isGRPC: Bool = false,
        negotiated: NegotiatedProtocol? = nil, caller: RequestSource? = nil, budget: ConnectionBudget? = nil
    ) {
        (self.worker, self.budget, self.isGRPC) = (worker, budget, isGRPC)
        (self.plans, self.plan) = (plans, plans.value)
        (self.negotiated, self.caller) = (negotiated, caller)
        (self.mayBeHTTP2, self.mayReadOften) = (negotiated != .http1, negotiated == nil)
    }

    // MARK: Channel

    package func handlerAdded(context: ChannelHandlerContext) {
        self.worker.event {
            self.context = context
            self.worker.deadlines.add(self)
            self.worker.metrics.clientConnections.add()
            self.worker.clientCount &+= 1
            // One that was accepted just before the listener was closed still gets an answer, but is not waited for as
            // long.
            let settings = self.plan.settings
            self.setDeadline(
                after: self.plan.isDraining ? min(settings.keepAlive, settings.halfClosed) : settings.keepAlive)
        }
    }

    package func handlerRemoved(context: ChannelHandlerContext) {
        self.context = nil
        self.worker.clientCount &-= 1
        self.worker.deadlines.remove(self)
        self.budget.take()?.leave()
    }

    package func channelInactive(context: ChannelHandlerContext) {
        self.context = nil
        self.isLost = true
        self.worker.putOff(self)
    }

    package func errorCaught(context: ChannelHandlerContext, error: any Error) {
        // A client may close its TCP connection without a farewell of TLS; what it has sent is whole by its framing.
        if case .uncleanShutdown = error as? NIOSSLError { return }
        self.hasFailed = true
        context.close(promise: nil)
    }

    package func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let bytes = Self.unwrapInboundIn(data)
        if self.mayReadOften, bytes.writableBytes == 0 { self.readOnce(context) }
        guard !self.worker.isInEvent else { return self.keepEarly(bytes) }
        self.worker.event { self.received(bytes) }
    }

    /// A write that fails makes the channel read what is left, inside the write: it is looked at afterwards.
    private func keepEarly(_ bytes: ByteBuffer) {
        var bytes = bytes
        if self.early == nil { self.early = bytes } else { self.early?.writeBuffer(&bytes) }
        self.worker.putOff(self)
    }

    /// Nobody behind this handler waits for it.
    package func channelReadComplete(context: ChannelHandlerContext) {}

    package func channelWritabilityChanged(context: ChannelHandlerContext) {
        self.isWritable = context.channel.isWritable
        self.mayHaveDrained = true
        self.worker.putOff(self)
    }

    package func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        guard event as? ChannelEvent == .inputClosed else { return }
        self.isInputEnding = true
        self.worker.putOff(self)
    }

    package func eventEnds() {
        self.isResuming = false
        if let bytes = self.early.take() { self.received(bytes) }
        if self.isInputEnding {
            self.isInputEnding = false
            self.inputClosed()
        }
        if self.isLost {
            self.isLost = false
            return self.lost()
        }
        if self.mayHaveDrained {
            self.mayHaveDrained = false
            self.writabilityChanged()
        }
        if self.isWrittenOut { self.writtenOut() }
        if self.state.input == .head { self.serve() }
    }

    private func lost() {
        self.state.requestFailed()
        self.unread = nil
        guard let driver = self.driver else { return }
        if driver.isIdle {
            // A head that is not complete has not begun an exchange that could clear it.
            driver.exchange.reset()
            self.releaseDriver()
        } else if self.isOutputClosed, !self.hasFailed {
            // A channel whose one way is closed is closed by the end of the other: of a tunnel, and in order.
            driver.tunnelInputClosed()
        } else {
            driver.clientGone()
        }
    }

    private func received(_ bytes: ByteBuffer) {
        var input = bytes
        if var unread = self.unread.take() {
            unread.writeBuffer(&input)
            input = unread
        }
        switch self.state.input {
        case .head:
            self.keep(input)
            self.serve()
        case .body:
            self.readBody(&input)
            self.keep(input)
            if self.state.input == .head { self.serve() }
        case .later: self.keep(input)
        case .tunnel: self.driver?.tunnelFromDownstream(input)
        case .discarded: break
        }
    }

    private func writabilityChanged() {
        guard self.context != nil else { return }
        let isWritable = self.isWritable
        if isWritable, self.pauses.contains(.answers) {
            self.pause(.answers, false)
            self.setDeadline(after: self.plan.settings.keepAlive)
        }
        self.driver?.downstreamWritable(isWritable)
    }

    private func inputClosed() {
        switch self.state.inputClosed() {
        case .close: if self.unread == nil || self.state.input == .discarded { self.end() }
        case .abort: self.abort()
        case .endTunnelInput: self.driver?.tunnelInputClosed()
        case .awaitResponse: self.driver?.clientHalfClosed()
        }
    }

    /// The request in flight will never be complete; answers to earlier ones are still sent.
    private func abort() {
        let hasBegun = self.state.hasResponseBegun
        self.state.requestFailed()
        guard let driver = self.driver, !driver.isIdle else { return self.end() }
        if hasBegun { return driver.abandon() }
        driver.clientGone()
        self.end()
    }

    func setDeadline(after amount: TimeAmount) {
        self.deadline = self.worker.now + amount
        self.worker.deadlines.notice(amount)
    }

    // MARK: Requests

    /// Serves the requests that wait, one after the other, as far as they are complete and their answers are.
    private func serve() {
        if self.mayBeHTTP2, self.unread != nil, self.takesAnotherProtocol() {
            // Too few bytes to tell the protocol, and no more will come.
            if self.unread != nil, self.state.isInputClosed { self.end() }
            return
        }
        guard var input = self.unread.take() else { return self.idleAgain() }
        for _ in 0..<Self.mostInTurn {
            guard self.state.input == .head, input.readableBytes > 0, self.context != nil else { break }
            guard self.isWritable else {
                self.keep(input)
                return self.awaitReader()
            }
            guard self.readHead(&input) else {
                self.keep(input)
                if self.state.isInputClosed { self.end() }
                return
            }
            if self.state.input == .body, input.readableBytes > 0 { self.readBody(&input) }
            if self.inside != nil, self.mayBeHTTP2 { break }
        }
        self.keep(input)
        // What the client said before this request holds for it as well.
        if self.state.isInputClosed, self.state.input == .body || self.state.input == .later { self.inputClosed() }
        if self.state.input == .head {
            if self.unread != nil { self.resume() } else { self.idleAgain() }
        }
    }

    /// Nothing is in flight, and nothing waits.
    private func idleAgain() {
        if self.state.isInputClosed || self.plans.value.isDraining && self.driver == nil && self.state.hasServed {
            self.end()
        }
    }

    /// Goes on when others have had their turn.
    private func resume() {
        if self.isResuming { return }
        self.isResuming = true
        self.worker.eventLoop.assumeIsolated().execute { self.worker.event { self.eventEnds() } }
    }

    /// Reads a head and begins its exchange.
    ///
    /// - Returns: `false` when the head is not complete.
    private func readHead(_ input: inout ByteBuffer) -> Bool {
        let before = self.emptyLines.skip(&input)
        if before == .incomplete { return false }
        let driver = self.driver ?? self.beginHead()
        if before == .tooMany {
            self.refuse(.emptyLines, HeadViolation.emptyLines.text, driver)
            return true
        }
        let result = driver.exchange.scanRequest(
            input.readableBytesSpan, &self.scanner, limits: self.plan.requestLimits)
        switch result {
        case .incomplete: return false
        case .invalid(let violation):
            let text = self.scanner.explain(
                violation, input.readableBytesSpan, limits: self.plan.requestLimits, of: .request)
            self.refuse(violation, text, driver)
        case .complete(let length):
            input.moveReaderIndex(forwardBy: length)
            self.begin(driver, &input)
        }
        return true
    }

    private func refuse(_ violation: HeadViolation, _ text: String, _ driver: ExchangeDriver) {
        self.state.requestFailed()
        if let limit = violation.limit { self.worker.metrics.count(limit) }
        driver.exchange.request.method = .other
        driver.refuse(self, plan: self.plan, LocalReply(violation, text))
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
        driver.exchange.source = self.caller
        self.setDeadline(after: self.plan.settings.requestHead)
        return driver
    }

    private func begin(_ driver: ExchangeDriver, _ input: inout ByteBuffer) {
        self.deadline = .distantFuture
        self.state.requestBegan(driver.exchange.request)
        driver.exchange.isPeerTrusted = self.isPeerTrusted ?? self.judgePeer()
        driver.exchange.isSecure = self.negotiated != nil
        driver.exchange.isGRPC = self.isGRPC
        self.hasLater = input.readableBytes > 0
        if let target = self.inside { driver.exchange.direct(to: target) }
        if let reply = driver.exchange.preflight(self.plan) {
            return driver.refuse(self, plan: self.plan, reply)
        }
        guard driver.exchange.request.hasBody else {
            driver.begin(self, plan: self.plan, body: nil, isComplete: true)
            return
        }
        self.body = BodyReader(driver.exchange.request)
        let piece = self.takeBody(&input, driver)
        self.hasLater = input.readableBytes > 0
        switch piece.next {
        case .end: self.state.requestEnded()
        case .more: break
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
        case .more: driver.requestBody(piece.data, isComplete: false)
        case .end:
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
}
