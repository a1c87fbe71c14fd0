// SPDX-License-Identifier: Apache-2.0
// request path

package import Common
package import NIOCore

/// Takes one request through its stages to an upstream, and the response back.
///
/// It knows no protocol. Loop-bound, and reused: a worker keeps those that are free. Both sides call it inside an event
/// of the loop, and answer its calls by return values: nobody calls it while it runs.
///
/// - Source: ARCHITECTURE.md, "The life of a call", whose rules it keeps.
package final class ExchangeDriver: DeadlineOwner {
    enum Phase {
        /// Free, or over.
        case idle
        /// A stage is being asked.
        case inChain
        /// A stage holds the request, or another try waits for its time.
        case held
        /// Waiting for an upstream connection.
        case connecting
        /// The request is being sent; no byte of a final response has come.
        case waiting
        /// The response is being passed on.
        case responding
        case tunnel
    }

    /// What the driver itself keeps of one call; made anew for each.
    struct Call {
        var downstream: (any Downstream)?
        /// What has been received of the request's body, or for a tunnel, while there was nowhere to send it.
        var pendingBody: ByteBuffer?
        /// What was received of the request's body, for another try.
        var replay: ByteBuffer?
        var isRequestComplete = false
        var interimResponses = 0
        /// The upstream takes no more of the request at the moment.
        var isUpstreamFull = false
        /// The client takes no more of the response at the moment.
        var isDownstreamFull = false
        /// The client has closed its sending side after a complete request.
        var hasClientLeft = false
        /// Ends of the two ways through a tunnel.
        var isTunnelInputClosed = false
        var isTunnelOutputClosed = false
        /// Copies that get the request's body too; none for most.
        var mirrors: [MirrorCall] = []
        /// Whether the route's own limit of the call has begun.
        var hasCallLimit = false
        /// Whether the route's limit of the call as a whole has begun.
        var hasStreamLimit = false
        /// Which of the route's limits of it is over.
        var overdue: OverdueStream?
        /// Bytes of the request's body since its pace was measured last.
        var unmeasured = 0
        /// From the last byte of the request to the head of the response: for each try.
        var headDeadline = NIODeadline.distantFuture
        /// From the beginning of a gRPC call to its end, or from the last byte of the request where the route says so; over
        /// all tries.
        var callDeadline = NIODeadline.distantFuture
        /// From the beginning of the call to its end, where the route says so; one of those that ``callDeadline`` is.
        var streamDeadline = NIODeadline.distantFuture
        /// The pace of a request body that is awaited.
        var bodyDeadline = NIODeadline.distantFuture
        /// The silence of whoever has to act.
        var idleDeadline = NIODeadline.distantFuture
    }

    /// The request's fields, for stages and codecs.
    package var exchange: Exchange
    /// The earliest of the deadlines of the call.
    package var deadline = NIODeadline.distantFuture
    var plan = TrafficPlan.none
    var phase = Phase.idle
    var call = Call()
    /// What is waited for now: nobody else's number is listened to.
    package private(set) var ticket: UInt64 = 0
    package var slot: DeadlineTable.Slot?

    /// The exchange's, for whoever asks often.
    let worker: Worker

    /// A driver that is free.
    package init(worker: Worker) {
        self.worker = worker
        self.exchange = Exchange(worker: worker)
    }

    /// Limits and timeouts of this exchange.
    package var settings: ProxySettings { self.plan.settings }

    /// How large the head of the response may be.
    package var responseLimits: HeadLimits { self.plan.responseLimits }

    /// Whether no exchange is under way.
    package var isIdle: Bool { self.phase == .idle }

    /// Bytes of the request that are kept.
    var heldBytes: Int { (self.call.pendingBody?.readableBytes ?? 0) + (self.call.replay?.readableBytes ?? 0) }

    /// What the client is told when no connection could be made.
    ///
    /// Which instance it was stands in the log: addresses are nobody's business.
    var connectFailure: String { "connect to \(self.exchange.service?.name ?? "the local service") failed" }

    // MARK: From the downstream

    /// Begins with the request whose head the exchange holds.
    ///
    /// - Parameter body: What has already come of its body.
    /// - Parameter isComplete: Nothing follows.
    package func begin(_ downstream: any Downstream, plan: TrafficPlan, body: ByteBuffer?, isComplete: Bool) {
        self.take(downstream, plan)
        self.call.pendingBody = body
        self.call.isRequestComplete = isComplete
        if let body {
            self.exchange.requestBytes = body.readableBytes
            // What was sent ahead may be as much as is kept.
            if !isComplete, body.readableBytes > plan.settings.buffer {
                self.call.isUpstreamFull = true
                downstream.setReading(false)
            }
        }
        if self.exchange.request.flags.contains(.grpc) { self.exchange.isGRPC = true }
        if self.exchange.isGRPC, let limit = self.askedTime {
            self.call.callDeadline = self.exchange.startedAt + limit
            self.arm(limit)
        }
        self.advance()
    }

    /// Answers a request that no stage is to see.
    package func refuse(_ downstream: any Downstream, plan: TrafficPlan, _ reply: LocalReply) {
        self.take(downstream, plan)
        if let reason = reply.reason { self.exchange.error = ProxyError(reason) }
        self.reply(reply, outcome: .clientFault)
    }

    private func take(_ downstream: any Downstream, _ plan: TrafficPlan) {
        assert(self.phase == .idle, "a driver has one exchange at a time")
        self.phase = .inChain
        self.call.downstream = downstream
        self.plan = plan
        self.exchange.direction = plan.direction
        self.exchange.startedAt = self.worker.now
    }

    /// More of the request's body; with `isComplete` the trailers are in the exchange, if there are any.
    package func requestBody(_ body: ByteBuffer?, isComplete: Bool) {
        assert(self.worker.isInEvent)
        guard self.phase != .idle, self.phase != .tunnel else { return }
        // Framing alone, such as extensions of chunks: no sign that the request goes on.
        guard body != nil || isComplete else { return }
        self.call.isRequestComplete = isComplete
        if let body {
            self.exchange.requestBytes &+= body.readableBytes
            self.call.unmeasured &+= body.readableBytes
        }
        if !self.call.mirrors.isEmpty { self.mirror(body, isComplete: isComplete) }
        guard self.phase == .waiting || self.phase == .responding, let upstream = self.exchange.attempt.upstream else {
            self.keepForLater(body)
            // Whoever waits for a connection waits within the time of the call.
            if isComplete, self.phase == .connecting, let effect = self.exchange.effect { self.beginCall(effect) }
            return
        }
        self.retain(body)
        let takesMore = upstream.sendBody(self.currentTicket, body: body, isComplete: isComplete)
        if isComplete { self.requestSent() } else { self.upstreamTakes(takesMore) }
    }

    /// Keeps what has come while there is nowhere to send it, and asks for no more.
    func keepForLater(_ bytes: ByteBuffer?) {
        guard var bytes else { return }
        if self.call.pendingBody == nil {
            self.call.pendingBody = bytes
        } else {
            self.call.pendingBody?.writeBuffer(&bytes)
        }
        self.call.isUpstreamFull = true
        self.call.downstream?.setReading(false)
    }

    /// The request cannot go on: its framing is broken, or it was silent for too long.
    ///
    /// Answers if that is still possible, cuts the response otherwise.
    package func requestFailed(_ error: ProxyError) {
        guard self.phase != .idle else { return }
        self.letGo(.gone)
        self.fail(error)
    }

    /// The client is gone.
    package func clientGone() {
        guard self.phase != .idle else { return }
        let isEnding = self.call.isTunnelInputClosed || self.call.isTunnelOutputClosed
        // One side of a tunnel has said that it is done: this is how the other one says it.
        if self.phase == .tunnel, isEnding {
            self.letGo(.gone)
            self.conclude(.answered) { _ in }
            return
        }
        self.letGo(.gone)
        self.exchange.error = ProxyError(.clientGone)
        self.conclude(.clientFault) { _ in }
    }

    /// The client has closed its sending side after a complete request: its answer is still sent, if it comes soon.
    package func clientHalfClosed() {
        guard self.phase != .idle, self.phase != .tunnel else { return }
        if self.phase == .responding, self.isEventStream { return self.abandon() }
        self.call.idleDeadline = .distantFuture
        self.call.hasClientLeft = true
        self.armIdle()
    }

    /// Nobody is left to be answered: the client's connection ends with the call.
    func abandon() {
        self.letGo(.gone)
        self.exchange.error = ProxyError(.clientGone)
        self.conclude(.clientFault) { $0.abortResponse(self) }
    }

    /// Whether the response is one that goes on for as long as somebody listens.
    var isEventStream: Bool {
        guard let index = self.exchange.responseHeaders.firstIndex(of: .contentType) else { return false }
        return self.exchange.responseHeaders.withValue(at: index) { value in
            value.byteCount >= 17 && value.matches("text/event-stream", at: 0)
        }
    }

    // MARK: Chain

    func advance() {
        self.phase = .inChain
        switch self.plan.chain.advance(&self.exchange) {
        case .forward: self.connect()
        case .reply(let reply): self.reply(reply, outcome: .replied)
        case .fail(let error): self.attemptFailed(error)
        case .wait(let future): self.wait(for: future)
        }
    }

    func wait(for future: EventLoopFuture<Void>) {
        self.phase = .held
        self.renewTicket()
        self.armIdle()
        let ticket = self.currentTicket
        let worker = self.worker
        // The future may belong to another loop; after the hop the closure need not be Sendable.
        future.hop(to: worker.eventLoop).assumeIsolated().whenComplete { result in
            guard ticket.isValid else { return }
            // A future that is complete already calls inside the event that asked.
            worker.event { ticket.driver.resume(ticket.number, result) }
        }
    }

    private func resume(_ number: UInt64, _ result: Result<Void, any Error>) {
        guard self.ticket == number, self.phase == .held else { return }
        self.renewTicket()
        self.disarmIdle()
        switch result {
        case .success: self.advance()
        case .failure: self.fail(ProxyError(.internal))
        }
    }

    // MARK: Tickets

    /// What is handed out for what is waited for now.
    var currentTicket: Ticket { Ticket(driver: self, number: self.ticket) }

    /// What was handed out so far is over.
    func renewTicket() { self.ticket &+= 1 }

    /// Ends what the present try has under way.
    func letGo(_ reason: Cancellation) {
        if let upstream = self.exchange.attempt.upstream.take() { upstream.cancel(self.currentTicket, because: reason) }
        self.waitNoLonger()
        self.renewTicket()
    }

    /// It waits no longer for a connection that its cluster could not have.
    func waitNoLonger() {
        self.exchange.attempt.hasQueued = false
        self.exchange.attempt.pending.take()?.giveBackPending()
    }

    // MARK: Ends

    /// The call has failed: an answer if none has begun, a cut otherwise.
    ///
    /// - Parameter outcome: Where it is not what `error` says.
    func fail(_ error: ProxyError, outcome: Outcome? = nil) {
        self.exchange.error = error
        self.letGo(.gone)
        if self.phase == .responding || self.phase == .tunnel {
            self.conclude(outcome ?? Outcome(error, hasHead: true)) { $0.abortResponse(self) }
        } else {
            let profile = self.profile
            var reply = LocalReply(error, profile)
            // What clients of Envoy know: its own answers are changed like all others.
            if profile == .envoy { self.call.overdue?.tell(&reply) }
            if profile == .envoy, let effect = self.exchange.effect {
                effect.edit(&reply, of: self.exchange)
            }
            self.reply(reply, outcome: outcome ?? Outcome(error, hasHead: false))
        }
    }

    /// What our own answers are like: those of the virtual host, or of none that a control plane has.
    private var profile: ReplyProfile {
        if let target = self.exchange.target { return target.policy.host?.profile ?? .serviceComb }
        return self.exchange.error?.reason == .noRule ? .envoy : .serviceComb
    }

    private func reply(_ reply: LocalReply, outcome: Outcome) {
        if reply.leadsInside { return self.leadInside(reply) }
        var reply = reply
        if self.plan.direction == .incoming { reply.stateUnserved() }
        if self.exchange.visit != nil { self.exchange.showOrigin(in: &reply) }
        let isTrailersOnly = !self.exchange.isGRPC && self.profile == .envoy && self.exchange.requestHeaders.isGRPC
        if self.exchange.isGRPC || isTrailersOnly { reply.settleGRPC() }
        if isTrailersOnly { reply = reply.trailersOnly }
        self.exchange.status = reply.status
        self.exchange.responseBytes = reply.bodyLength
        if self.exchange.isGRPC { self.exchange.grpcStatus = reply.codeOfGRPC }
        self.conclude(outcome) { $0.sendReply(reply, self) }
    }

    /// The client goes on inside a CONNECT: it was no call, and each of its requests will be one.
    private func leadInside(_ reply: LocalReply) {
        self.plan.chain.finish(&self.exchange)
        self.close { $0.sendReply(reply, self) }
    }

    /// The one end of an exchange.
    ///
    /// Stages and metrics hear of it before the last bytes go out: whoever has the answer may look at them the next
    /// moment.
    ///
    /// - Parameter last: Sends what is left to be sent.
    @inline(__always)
    func conclude(_ outcome: Outcome, _ last: (any Downstream) -> Void) {
        assert(self.phase != .idle, "an exchange ends once")
        assert(self.exchange.attempt.upstream == nil, "the upstream is let go before the end")
        self.exchange.outcome = outcome
        self.plan.chain.finish(&self.exchange)
        if self.plan.isMirror {
            self.worker.metrics.count(self.exchange.outcome.isAnswer ? MirrorResult.answered : .failed)
        } else {
            self.worker.metrics.count(&self.exchange)
            self.worker.telemetry.ended(self.exchange, self.plan.records)
        }
        self.close(last)
    }

    @inline(__always)
    private func close(_ last: (any Downstream) -> Void) {
        self.phase = .idle
        self.renewTicket()
        self.deadline = .distantFuture
        let downstream = self.call.downstream.take()
        if !self.call.mirrors.isEmpty { self.abandonMirrors() }
        self.call = Call()
        if let downstream { last(downstream) }
        self.exchange.reset()
        downstream?.exchangeEnded()
    }
}
