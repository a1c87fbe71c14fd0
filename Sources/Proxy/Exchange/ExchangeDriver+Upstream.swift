// SPDX-License-Identifier: Apache-2.0
// request path

package import Common
package import NIOCore

/// The way to the upstream: connections, tries, and what is sent again.
extension ExchangeDriver {
    /// Statuses of HTTP/2 that say "not looked at" are believed so often for one call: RFC 9113 §8.7.
    private static var mostRefusals: Int { 3 }
    /// The largest body that is kept because an upstream may say that it has not looked at the request.
    private static var refusalLimit: Int { 64 * 1024 }
    /// How soon a connection that has gone stale says so; what fails later has been looked at.
    private static var staleWithin: TimeAmount { .seconds(1) }

    // MARK: Connecting

    /// - Parameter until: When a try gives up to wait that has waited for a connection before, and lost it.
    func connect(until: NIODeadline = .distantFuture) {
        guard let endpoint = self.exchange.endpoint else {
            self.fail(ProxyError(.internal, "no stage chose an endpoint"))
            return
        }
        self.phase = .connecting
        self.exchange.attempts &+= 1
        self.renewTicket()
        if let effect = self.exchange.effect {
            if let stream = effect.stream, !self.call.hasStreamLimit { self.limitStream(stream) }
            if !effect.mirrors.isEmpty, self.exchange.attempts == 1 { self.beginMirrors(effect.mirrors) }
            if self.call.isRequestComplete { self.beginCall(effect) }
        }
        // After a connection that went stale only a fresh one will do: its siblings are likely stale too.
        let mayReuse = self.exchange.attempts == 1
        switch self.worker.pool.open(endpoint, for: self.currentTicket, mayReuse: mayReuse) {
        case .ready(let upstream): self.send(on: upstream, until: until)
        case .pending:
            self.armIdle()
            if until < self.call.idleDeadline { self.giveUpWaiting(at: until) }
        case .refused(let error):
            self.exchange.attempt.isCrowdedOut = error.reason == .bulkheadFull
            self.attemptFailed(error)
        }
    }

    /// The pool has a connection.
    package func connected(_ upstream: any Upstream, _ number: UInt64) {
        assert(self.worker.isInEvent)
        guard self.ticket == number, self.phase == .connecting else { return }
        let until = self.call.idleDeadline
        self.waitNoLonger()
        self.disarmIdle()
        self.send(on: upstream, until: until)
    }

    /// The pool has none.
    package func connectFailed(_ number: UInt64, _ error: ProxyError) {
        assert(self.worker.isInEvent)
        guard self.ticket == number, self.phase == .connecting else { return }
        self.attemptFailed(error)
    }

    /// - Parameter until: When it gives up to wait, if the connection is lost and another one has to be waited for.
    private func send(on upstream: any Upstream, until: NIODeadline) {
        self.phase = .waiting
        if self.exchange.request.method == .connect {
            self.connectTunnel(upstream)
            return
        }
        let body = self.call.pendingBody.take()
        let isComplete = self.call.isRequestComplete
        self.exchange.hasWholeBody = true
        if self.exchange.request.hasBody { self.keep(body, mayRefuse: upstream.mayRefuse) }
        self.exchange.attempt.sentAt = self.worker.now
        switch upstream.sendRequest(self.currentTicket, body: body, isComplete: isComplete) {
        case .sent(let takesMore):
            self.exchange.attempt.upstream = upstream
            self.exchange.attempt.wasSent = true
            if isComplete { self.requestSent() } else { self.upstreamTakes(takesMore) }
        case .lost:
            self.call.pendingBody = body
            if self.exchange.attempts <= Self.mostRefusals {
                self.connect(until: until)
            } else {
                // Closed before a byte could be sent, again and again.
                self.attemptFailed(ProxyError(.connectFailed, self.connectFailure))
            }
        }
    }

    /// Answers CONNECT; from now on both sides exchange bytes.
    ///
    /// - Source: RFC 9110 §9.3.6.
    private func connectTunnel(_ upstream: any Upstream) {
        guard upstream.openTunnel(self.currentTicket) else {
            self.attemptFailed(ProxyError(.connectFailed, self.connectFailure))
            return
        }
        self.exchange.attempt.upstream = upstream
        self.exchange.response.status = 200
        self.beginTunnel(self.ticket)
    }

    /// The last byte of the request was handed to the upstream.
    func requestSent() {
        if let effect = self.exchange.effect { self.beginCall(effect) }
        guard self.phase == .waiting else { return self.armIdle() }
        let limit = self.exchange.timeout ?? self.plan.settings.firstByte
        self.call.bodyDeadline = .distantFuture
        self.call.headDeadline = self.worker.now + limit
        if self.silenceLimit == nil { self.disarmIdle() } else { self.armIdle() }
        self.arm(limit)
    }

    /// The time of the call runs from the last byte of its request, over all tries.
    func beginCall(_ effect: RouteEffect) {
        guard !self.call.hasCallLimit,
            let limit = self.exchange.isGRPC ? effect.grpcCallLimit : effect.callLimit
        else { return }
        self.call.hasCallLimit = true
        self.call.callDeadline = min(self.call.callDeadline, self.worker.now + limit)
        self.arm(limit)
    }

    /// Whether the upstream takes more of the request, which the client may send or not.
    func upstreamTakes(_ takesMore: Bool) {
        self.call.isUpstreamFull = !takesMore
        self.call.downstream?.setReading(takesMore)
        self.armBody()
    }

    // MARK: Further tries

    /// Keeps the first of the request's body, when it is allowed to be sent again.
    private func keep(_ body: ByteBuffer?, mayRefuse: Bool) {
        self.call.replay = nil
        self.retain(body, mayRefuse: mayRefuse)
    }

    func retain(_ body: ByteBuffer?) {
        guard body != nil, self.exchange.hasWholeBody else { return }
        self.retain(body, mayRefuse: self.exchange.attempt.upstream?.mayRefuse == true)
    }

    private func retain(_ body: ByteBuffer?, mayRefuse: Bool) {
        guard var body, self.exchange.hasWholeBody else { return }
        let retry = self.exchange.retryPolicy
        var limit = retry?.bodyLimit(for: self.exchange.request.method.isIdempotent) ?? 0
        // An HTTP/2 upstream, or a peer sidecar, may say that nobody has looked at the request.
        if mayRefuse || retry?.isEnabled == true { limit = max(limit, Self.refusalLimit) }
        guard (self.call.replay?.readableBytes ?? 0) + body.readableBytes <= limit else {
            self.exchange.hasWholeBody = false
            self.call.replay = nil
            if limit > 0 { self.worker.metrics.count(.replayedBody) }
            return
        }
        if self.call.replay == nil { self.call.replay = body } else { self.call.replay?.writeBuffer(&body) }
    }

    /// A try has failed before anything of a response was passed on: another one, or the end.
    func attemptFailed(_ error: ProxyError) {
        self.exchange.error = error
        self.exchange.outcome = Outcome(error, hasHead: false)
        if self.tryAgain() { return }
        self.fail(error)
    }

    /// Begins another try, if a stage wants one.
    private func tryAgain() -> Bool {
        guard !self.plan.isMirror, let wait = self.plan.chain.recover(&self.exchange) else { return false }
        self.beginAgain()
        guard wait > .zero else {
            self.advance()
            return true
        }
        let loop = self.worker.eventLoop
        self.wait(for: loop.scheduleTask(in: TimeAmount(wait)) {}.futureResult)
        return true
    }

    /// Ends the present try, so that nothing of it is left for the next one.
    private func beginAgain() {
        // A request that was not sent still waits as it came.
        if self.exchange.attempt.wasSent { self.call.pendingBody = self.call.replay.take() }
        self.letGo(.unwanted)
        self.call.headDeadline = .distantFuture
        self.call.bodyDeadline = .distantFuture
        self.disarmIdle()
        // An instance whose circuit has refused the request was passed over, and nothing was sent.
        if self.exchange.outcome != .refused { self.worker.metrics.retries.add() }
        self.exchange.beginAttempt()
    }

    // MARK: From the upstream

    /// An interim response; its head is in the exchange.
    ///
    /// When it is one too many, the exchange fails and the upstream is cancelled.
    package func interimResponse(_ number: UInt64) {
        guard self.ticket == number, self.phase == .waiting else { return }
        self.call.interimResponses += 1
        guard self.call.interimResponses <= self.plan.settings.maxInterimResponses else {
            self.worker.metrics.count(.interimResponses)
            self.letGo(.unwanted)
            self.fail(ProxyError(.badUpstreamResponse, "too many interim responses"))
            return
        }
        self.call.downstream?.sendInterim(self)
        self.exchange.responseHeaders.clear()
        // A sign of life, which an upstream that takes nothing of a body owes.
        if !self.call.isRequestComplete || self.silenceLimit != nil { self.armIdle() }
    }

    /// The final response; its head is in the exchange.
    ///
    /// With `isComplete` the upstream is done with this exchange and must not be called again.
    package func finalResponse(_ number: UInt64, bodyLength: Int?, body: ByteBuffer?, isComplete: Bool) {
        assert(self.worker.isInEvent)
        guard self.ticket == number, self.phase == .waiting else { return }
        // Its owner has it back already: whoever uses it now must not hear of this call.
        if isComplete { self.exchange.attempt.upstream = nil }
        // A gRPC call that ends with its head has its status there.
        if self.exchange.isGRPC, isComplete {
            self.exchange.readGRPCStatus(inTrailers: false)
            if self.exchange.attempt.grpcStatus == nil { self.exchange.readGRPCStatus(inTrailers: true) }
        }
        if self.isFailedThere() {
            self.exchange.attempt.isUnseen = true
            self.exchange.outcome = .connectFailed
            if self.tryAgain() { return }
        } else if self.plan.isFailure(self.exchange.meaningfulStatus) {
            self.exchange.attempt.isFailure = true
            self.exchange.outcome = .listedStatus
            if self.tryAgain() { return }
        } else if let retry = self.exchange.effect?.action.retry, self.exchange.isUnwanted(by: retry) {
            self.exchange.outcome = .unwantedStatus
            if self.tryAgain() { return }
            self.exchange.outcome = .open
        }
        self.phase = .responding
        self.call.headDeadline = .distantFuture
        self.call.bodyDeadline = .distantFuture
        self.exchange.status = self.exchange.response.status
        self.exchange.hasWholeBody = false
        self.call.replay = nil
        self.plan.chain.respond(&self.exchange)
        if let body { self.exchange.responseBytes = body.readableBytes }
        if isComplete {
            self.answered { _ = $0.sendResponse(self, bodyLength: bodyLength, body: body, isComplete: true) }
            return
        }
        let takesMore =
            self.call.downstream?.sendResponse(self, bodyLength: bodyLength, body: body, isComplete: false) ?? true
        if self.call.hasClientLeft, self.isEventStream { return self.abandon() }
        self.downstreamTakes(takesMore)
    }

    /// More of the response's body; with `isComplete` as in
    /// ``finalResponse(_:bodyLength:body:isComplete:)``.
    package func responseBody(_ number: UInt64, _ body: ByteBuffer?, isComplete: Bool) {
        assert(self.worker.isInEvent)
        guard self.ticket == number, self.phase == .responding else { return }
        if let body { self.exchange.responseBytes &+= body.readableBytes }
        if isComplete {
            self.exchange.attempt.upstream = nil
            if self.exchange.isGRPC {
                self.exchange.readGRPCStatus(inTrailers: true)
                if self.plan.isFailure(self.exchange.meaningfulStatus) { self.exchange.attempt.isFailure = true }
            }
            self.answered { _ = $0.sendBody(self, body: body, isComplete: true) }
            return
        }
        self.downstreamTakes(self.call.downstream?.sendBody(self, body: body, isComplete: false) ?? true)
    }

    /// The response is complete.
    @inline(__always)
    private func answered(_ last: (any Downstream) -> Void) {
        self.exchange.grpcStatus = self.exchange.attempt.grpcStatus
        let outcome: Outcome =
            self.exchange.attempt.isUnseen
            ? .connectFailed : self.exchange.attempt.isFailure ? .listedStatus : .answered
        self.conclude(outcome, last)
    }

    /// Whether a peer sidecar has answered that it could not hand the request to its application.
    ///
    /// It says so in a field that no application sees or says: the incoming side takes it away from its application's
    /// answers, and this side from all that it passes on. `x-mesher-error` would not do, which applications hand on.
    private func isFailedThere() -> Bool {
        guard self.plan.direction == .outgoing, self.exchange.responseHeaders.contains(.xMesherUnserved) else {
            return false
        }
        self.exchange.responseHeaders.remove(.xMesherUnserved)
        return true
    }

    /// The upstream has failed and is done with this exchange.
    ///
    /// - Parameter wasReused: It had served other requests before and sent no byte of a response to this one, so it was
    ///   most likely closed before the request reached it.
    /// - Parameter wasSent: Whether a byte of the request may have been looked at.
    /// - Parameter wasReset: Whether the upstream has reset its connection, and not just closed it.
    package func upstreamFailed(
        _ number: UInt64, _ error: ProxyError, wasReused: Bool, wasSent: Bool = true, wasReset: Bool = false
    ) {
        assert(self.worker.isInEvent)
        guard self.ticket == number, self.phase != .idle else { return }
        self.exchange.attempt.upstream = nil
        guard self.phase == .waiting else {
            self.fail(error)
            return
        }
        if !wasSent { self.exchange.attempt.isUnseen = true }
        if wasReused, self.mayResend(wasSent: wasSent, wasReset: wasReset) {
            self.beginAgain()
            self.connect()
            return
        }
        // It waited for the client's body, and gave up. One that has not looked at the request has waited for nothing.
        if wasSent, self.isClientSilent { return self.fail(error, outcome: .clientFault) }
        self.attemptFailed(error)
    }

    /// Whether the upstream has nothing to answer because the client does not go on with its request.
    private var isClientSilent: Bool {
        guard self.phase == .waiting, !self.call.isRequestComplete, !self.call.isUpstreamFull,
            self.call.idleDeadline != .distantFuture
        else { return false }
        let since = self.call.idleDeadline - self.plan.settings.requestBody
        return self.worker.now - since > Self.staleWithin
    }

    /// Whether the request goes out once more because its connection had been closed under it, whatever the retry policy.
    ///
    /// Only where it has failed at once, within the budget, and where nothing can have been executed twice.
    private func mayResend(wasSent: Bool, wasReset: Bool) -> Bool {
        guard self.exchange.hasWholeBody, !self.plan.isMirror else { return false }
        // A route that names its failures says whether this is one.
        if wasReset, let retry = self.exchange.effect?.action.retry, !retry.conditions.isEmpty { return false }
        if !wasSent { return self.exchange.attempts <= Self.mostRefusals }
        let now = self.worker.now
        guard self.exchange.attempts == 1, self.exchange.isReplayable,
            now - self.exchange.attempt.sentAt <= Self.staleWithin
        else { return false }
        guard self.worker.mayResend(for: self.exchange.target) else {
            self.worker.metrics.count(.retryBudget)
            return false
        }
        return true
    }

    // MARK: Back-pressure

    /// Whether the client takes more of the response.
    package func downstreamWritable(_ isWritable: Bool) {
        guard self.phase == .responding || self.phase == .tunnel else { return }
        self.downstreamTakes(isWritable)
    }

    /// The client has taken some of the response, though not all that waits for it.
    package func downstreamProgressed() {
        if self.phase == .responding { self.armIdle() }
    }

    private func downstreamTakes(_ takesMore: Bool) {
        if self.call.isDownstreamFull == takesMore {
            self.call.isDownstreamFull = !takesMore
            self.exchange.attempt.upstream?.setReading(takesMore)
        }
        self.armIdle()
    }

    /// The upstream has taken the last of the request: its time begins now.
    package func upstreamDrained(_ number: UInt64) {
        guard self.ticket == number else { return }
        if self.call.isRequestComplete { self.requestSent() } else { self.upstreamWritable(number, true) }
    }

    /// Whether the upstream takes more of the request.
    package func upstreamWritable(_ number: UInt64, _ isWritable: Bool) {
        guard self.ticket == number, !self.call.isRequestComplete || self.phase == .tunnel else { return }
        self.call.isUpstreamFull = !isWritable
        self.call.downstream?.setReading(isWritable)
        self.armBody()
    }
}
