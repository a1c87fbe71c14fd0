// SPDX-License-Identifier: Apache-2.0
// request path

package import Common
package import NIOCore

/// Takes one request through its stages to an upstream, and the response back.
///
/// It knows no protocol.
///
/// Loop-bound, and reused: a worker keeps those that are free. Both sides call it and are called by it synchronously,
/// so after each call to a side the driver looks again whether it is still in the state that it was in.
package final class ExchangeDriver {
    private enum Phase {
        /// Free, or over.
        case idle
        /// A stage is being asked.
        case inChain
        /// A stage holds the request.
        case held
        /// Waiting for an upstream connection.
        case connecting
        /// The request is being sent; no byte of a final response has come.
        case waiting
        /// The response is being passed on.
        case responding
        case tunnel
    }

    /// The request's fields, for stages and codecs.
    package var exchange: Exchange
    private var plan = TrafficPlan.none
    private var phase = Phase.idle
    private var downstream: (any Downstream)?
    private var upstream: (any Upstream)?
    /// What has been received of the request's body while there was nowhere to send it.
    private var pendingBody: ByteBuffer?
    private var isRequestComplete = false
    /// What was received of the request's body, for another attempt.
    private var replay: ByteBuffer?
    private var interimResponses = 0
    /// The exchange is in the metrics already.
    private var isCounted = false
    /// A stage ended the exchange while the chain had it: done when the chain returns.
    private var endedInChain = false
    /// Tells a late answer to a request that is over from one to the present request.
    package private(set) var serial = 0

    init(worker: Worker) { self.exchange = Exchange(worker: worker) }

    // MARK: From the downstream

    /// Begins with the request whose head the exchange holds.
    ///
    /// - Parameter body: What has already come of its body.
    /// - Parameter isComplete: Nothing follows.
    package func begin(_ downstream: any Downstream, plan: TrafficPlan, body: ByteBuffer?, isComplete: Bool) {
        self.downstream = downstream
        self.plan = plan
        self.pendingBody = body
        self.isRequestComplete = isComplete
        self.interimResponses = 0
        self.exchange.direction = plan.direction
        self.exchange.startedAt = self.exchange.worker.now
        if let body { self.exchange.requestBytes = body.readableBytes }
        if self.exchange.request.flags.contains(.grpc) { self.exchange.isGRPC = true }
        if self.exchange.isGRPC, let index = self.exchange.requestHeaders.firstIndex(of: .grpcTimeout) {
            self.exchange.callTimeout = self.exchange.requestHeaders.withValue(at: index) { GRPCStatus.timeout($0) }
        }
        self.advance()
    }

    /// Answers a request that no stage is to see.
    package func refuse(_ downstream: any Downstream, plan: TrafficPlan, _ reply: LocalReply) {
        self.downstream = downstream
        self.plan = plan
        self.exchange.direction = plan.direction
        self.exchange.startedAt = self.exchange.worker.now
        if let reason = reply.reason { self.exchange.error = ProxyError(reason) }
        self.reply(reply, outcome: .failed)
    }

    /// More of the request's body; with `isComplete` the trailers are in the exchange, if there are any.
    package func requestBody(_ body: ByteBuffer?, isComplete: Bool) {
        self.isRequestComplete = isComplete
        if let body { self.exchange.requestBytes &+= body.readableBytes }
        switch self.phase {
        case .waiting, .responding:
            self.retain(body)
            self.upstream?.sendBody(self, body: body, isComplete: isComplete)
        case .inChain, .held, .connecting:
            guard var body else { return }
            if self.pendingBody == nil { self.pendingBody = body } else { self.pendingBody?.writeBuffer(&body) }
            self.downstream?.setReading(false)
        case .idle, .tunnel: break
        }
    }

    /// The request cannot go on: its framing is broken, or it was silent for too long.
    ///
    /// Answers if that is still possible, cuts the response otherwise.
    package func requestFailed(_ error: ProxyError) {
        self.upstream?.cancel()
        self.upstream = nil
        self.fail(error)
    }

    /// The client is gone.
    package func downstreamGone() {
        guard self.phase != .idle else { return }
        self.downstream = nil
        self.upstream?.cancel()
        self.upstream = nil
        self.exchange.error = ProxyError(.clientGone)
        self.end(.aborted)
    }

    /// Bytes of the tunnel from the client.
    package func tunnelFromDownstream(_ bytes: ByteBuffer) { self.upstream?.writeTunnel(bytes) }

    /// The client has closed its sending side of the tunnel.
    package func tunnelInputClosed() { self.upstream?.endTunnelOutput() }

    /// Back-pressure from the client: whether it takes more of the response.
    package func setUpstreamReading(_ isReading: Bool) { self.upstream?.setReading(isReading) }

    /// Limits and timeouts of this exchange.
    package var settings: ProxySettings { self.plan.settings }

    /// How large the head of the response may be.
    package var responseLimits: HeadLimits { self.plan.responseLimits }

    /// What the client is told when no connection could be made.
    ///
    /// Which instance it was stands in the log: addresses are nobody's business.
    var connectFailure: String { "connect to \(self.exchange.service?.name ?? "the local service") failed" }

    /// The longest wait for the first byte of the answer.
    package var firstByteLimit: TimeAmount {
        let limit = self.exchange.timeout ?? self.plan.settings.firstByte
        return self.callLimit.map { min($0, limit) } ?? limit
    }

    /// What is left of the time that a gRPC call may take, where its client has said so.
    var callLimit: TimeAmount? {
        guard let timeout = self.exchange.callTimeout else { return nil }
        return max(.milliseconds(1), timeout - (self.exchange.worker.now - self.exchange.startedAt))
    }

    /// Whether the whole request was received.
    package var hasWholeRequest: Bool { self.isRequestComplete }

    // MARK: Chain

    private func advance() {
        self.phase = .inChain
        let action = self.plan.chain.advance(&self.exchange)
        if self.endedInChain {
            self.end(.aborted)
            return
        }
        switch action {
        case .forward: self.connect()
        case .reply(let reply): self.reply(reply, outcome: .succeeded)
        case .fail(let error): self.fail(error)
        case .wait(let future): self.wait(for: future)
        }
    }

    private func wait(for future: EventLoopFuture<Void>) {
        self.phase = .held
        let serial = self.serial
        // The future may belong to another loop; after the hop the closure need not be Sendable.
        future.hop(to: self.exchange.worker.eventLoop).assumeIsolated().whenComplete { result in
            guard self.serial == serial, self.phase == .held else { return }
            switch result {
            case .success: self.advance()
            case .failure: self.fail(ProxyError(.internal))
            }
        }
    }

    // MARK: Upstream connection

    private func connect() {
        guard let endpoint = self.exchange.endpoint else {
            self.fail(ProxyError(.internal, "no stage chose an endpoint"))
            return
        }
        self.phase = .connecting
        self.exchange.attempts &+= 1
        // After a connection that went stale only a fresh one will do: its siblings are likely stale too.
        self.exchange.worker.pool.open(endpoint, for: self, mayReuse: self.exchange.attempts == 1)
    }

    /// The pool has a connection.
    package func connected(_ upstream: any Upstream) {
        guard self.phase == .connecting else { return }
        self.upstream = upstream
        self.phase = .waiting
        if self.exchange.request.method == .connect {
            self.connectTunnel(upstream)
            return
        }
        let body = self.pendingBody.take()
        let isComplete = self.isRequestComplete
        self.exchange.wasSent = true
        if self.exchange.request.hasBody { self.keep(body) } else { self.exchange.hasWholeBody = true }
        upstream.sendRequest(self, body: body, isComplete: isComplete)
        if !isComplete { self.downstream?.setReading(true) }
    }

    /// Answers CONNECT; from now on both sides exchange bytes.
    ///
    /// - Source: RFC 9110 §9.3.6.
    private func connectTunnel(_ upstream: any Upstream) {
        guard upstream.openTunnel(self) else {
            self.upstream = nil
            self.attemptFailed(ProxyError(.connectFailed, self.connectFailure))
            return
        }
        self.exchange.response = ResponseHead()
        self.exchange.response.status = 200
        self.beginTunnel()
    }

    /// The pool has none.
    package func connectFailed(_ error: ProxyError) {
        guard self.phase == .connecting else { return }
        self.attemptFailed(error)
    }

    // MARK: Further attempts

    /// Keeps the first of the request's body, when it is allowed to be sent again.
    private func keep(_ body: ByteBuffer?) {
        self.exchange.hasWholeBody = true
        self.replay = nil
        self.retain(body)
    }

    private func retain(_ body: ByteBuffer?) {
        guard var body, self.exchange.hasWholeBody else { return }
        var limit = self.exchange.target?.policy.retry.bodyLimit(for: self.exchange.request.method.isIdempotent) ?? 0
        // An HTTP/2 upstream may say that it has not looked at the request.
        if self.upstream?.mayRefuse == true { limit = max(limit, Self.refusalLimit) }
        guard (self.replay?.readableBytes ?? 0) + body.readableBytes <= limit else {
            self.exchange.hasWholeBody = false
            self.replay = nil
            if limit > 0 { self.exchange.worker.metrics.count(.replayedBody) }
            return
        }
        if self.replay == nil { self.replay = body } else { self.replay?.writeBuffer(&body) }
    }

    /// An attempt has failed before anything of a response was passed on: another one, or the end.
    private func attemptFailed(_ error: ProxyError) {
        self.exchange.error = error
        if self.tryAgain() { return }
        self.fail(error)
    }

    private static let refusalLimit = 64 * 1024
    private static let mostRefusals = 3

    /// Begins another attempt, if a stage wants one.
    private func tryAgain() -> Bool {
        guard self.phase == .connecting || self.phase == .waiting,
            let wait = self.plan.chain.recover(&self.exchange)
        else { return false }
        // A request that was not sent still waits as it came.
        if self.exchange.wasSent { self.pendingBody = self.replay.take() }
        self.exchange.error = nil
        self.exchange.wasSent = false
        self.exchange.isFailure = false
        self.exchange.responseTrailers = nil
        self.exchange.worker.metrics.retries.add()
        guard wait > .zero else {
            self.advance()
            return true
        }
        let loop = self.exchange.worker.eventLoop
        self.wait(for: loop.scheduleTask(in: TimeAmount(wait)) {}.futureResult)
        return true
    }

    // MARK: From the upstream

    /// An interim response; its head is in the exchange.
    ///
    /// - Returns: `false` when there were too many of them, and the exchange has failed.
    package func interimResponse() -> Bool {
        self.interimResponses += 1
        guard self.interimResponses <= self.plan.settings.maxInterimResponses else {
            self.upstream = nil
            self.exchange.worker.metrics.count(.interimResponses)
            self.fail(ProxyError(.badUpstreamResponse, "too many interim responses"))
            return false
        }
        self.downstream?.sendInterim(self)
        self.exchange.responseHeaders.clear()
        return true
    }

    /// The final response; its head is in the exchange.
    ///
    /// With `isComplete` the upstream is done with this exchange and must not be called again.
    package func finalResponse(bodyLength: Int?, body: ByteBuffer?, isComplete: Bool) {
        guard self.phase == .waiting else { return }
        // A gRPC call that ends with its head has its status there.
        if self.exchange.isGRPC, isComplete { self.exchange.readGRPCStatus(inTrailers: false) }
        if self.plan.isFailure(self.exchange.meaningfulStatus) {
            self.exchange.isFailure = true
            let upstream = isComplete ? nil : self.upstream
            if self.tryAgain() {
                upstream?.cancel()
                return
            }
        }
        self.phase = .responding
        self.exchange.status = self.exchange.response.status
        self.exchange.hasWholeBody = false
        self.replay = nil
        self.plan.chain.respond(&self.exchange)
        if isComplete { self.upstream = nil }
        if let body { self.exchange.responseBytes = body.readableBytes }
        let serial = self.serial
        self.downstream?.sendResponse(self, bodyLength: bodyLength, body: body, isComplete: isComplete)
        if isComplete, self.serial == serial { self.end(.succeeded) }
    }

    /// More of the response's body; with `isComplete` as in ``finalResponse(bodyLength:body:isComplete:)``.
    package func responseBody(_ body: ByteBuffer?, isComplete: Bool) {
        guard self.phase == .responding else { return }
        if let body { self.exchange.responseBytes &+= body.readableBytes }
        if isComplete {
            self.upstream = nil
            if self.exchange.isGRPC {
                self.exchange.readGRPCStatus(inTrailers: true)
                if self.plan.isFailure(self.exchange.meaningfulStatus) { self.exchange.isFailure = true }
            }
        }
        let serial = self.serial
        self.downstream?.sendBody(self, body: body, isComplete: isComplete)
        if isComplete, self.serial == serial { self.end(.succeeded) }
    }

    /// The upstream has failed and is done with this exchange.
    ///
    /// - Parameter wasReused: It had served other requests before and sent no byte of a response to this one, so it was
    ///   most likely closed before the request reached it.
    /// - Parameter wasSent: Whether a byte of the request may have left.
    package func upstreamFailed(_ error: ProxyError, wasReused: Bool, wasSent: Bool = true) {
        self.upstream = nil
        guard self.phase == .waiting else {
            self.fail(error)
            return
        }
        if !wasSent, self.exchange.hasWholeBody {
            self.pendingBody = self.replay.take()
            self.exchange.wasSent = false
        }
        // What was refused unseen may be sent again, though not for ever: RFC 9113 §8.7.
        let isUnseen = !self.exchange.wasSent && self.exchange.attempts <= Self.mostRefusals
        if wasReused, isUnseen || (self.exchange.attempts == 1 && self.exchange.isReplayable) {
            self.connect()
            return
        }
        self.attemptFailed(error)
    }

    /// Back-pressure from the upstream: whether it takes more of the request.
    package func setDownstreamReading(_ isReading: Bool) {
        if !self.isRequestComplete || self.phase == .tunnel { self.downstream?.setReading(isReading) }
    }

    /// The upstream has switched protocols.
    package func beginTunnel() {
        guard self.phase == .waiting else { return }
        self.phase = .tunnel
        self.exchange.status = self.exchange.response.status
        self.plan.chain.respond(&self.exchange)
        self.downstream?.beginTunnel(self)
    }

    /// Bytes of the tunnel from the upstream.
    package func tunnelFromUpstream(_ bytes: ByteBuffer) { self.downstream?.writeTunnel(bytes) }

    /// The upstream has closed its sending side of the tunnel.
    package func tunnelOutputEnded() { self.downstream?.endTunnelOutput() }

    /// Both sides of the tunnel are closed, or one is gone.
    package func tunnelEnded() {
        guard self.phase == .tunnel else { return }
        self.upstream = nil
        self.downstream?.abortResponse()
        self.end(.succeeded)
    }

    // MARK: Ends

    private func fail(_ error: ProxyError) {
        self.exchange.error = error
        if self.phase == .responding || self.phase == .tunnel {
            self.downstream?.abortResponse()
            self.end(.failed)
        } else {
            self.reply(LocalReply(error), outcome: .failed)
        }
    }

    private func reply(_ reply: LocalReply, outcome: Outcome) {
        self.phase = .responding
        self.exchange.status = reply.status
        self.exchange.responseBytes = reply.body.utf8.count
        if self.exchange.isGRPC {
            self.exchange.grpcStatus = reply.reason?.grpcStatus ?? GRPCStatus.code(ofHTTP: reply.status)
        }
        // Before the answer goes out: whoever has it may look at the metrics the next moment.
        self.exchange.worker.metrics.count(&self.exchange)
        self.isCounted = true
        let serial = self.serial
        self.downstream?.sendReply(reply)
        if self.serial == serial { self.end(outcome) }
    }

    private func end(_ outcome: Outcome) {
        if self.phase == .inChain, !self.endedInChain {
            // The chain has the exchange: touching it now would be a second access.
            self.endedInChain = true
            return
        }
        self.endedInChain = false
        self.phase = .idle
        self.exchange.outcome = outcome == .succeeded && self.exchange.isFailure ? .failed : outcome
        self.replay = nil
        self.plan.chain.finish(&self.exchange)
        if !self.isCounted { self.exchange.worker.metrics.count(&self.exchange) }
        self.isCounted = false
        self.exchange.worker.telemetry.ended(self.exchange, self.plan.records)
        let downstream = self.downstream.take()
        self.pendingBody = nil
        self.serial &+= 1
        self.exchange.reset()
        downstream?.exchangeEnded()
    }
}
