// SPDX-License-Identifier: Apache-2.0
// request path

import Common
import NIOCore

/// The deadlines of a call: four fields, of which the worker's table sees the earliest.
extension ExchangeDriver {
    /// A request body has to bring so many bytes within some times of what it may be silent: one that drips would hold
    /// its upstream for ever.
    private static var leastBody: Int { 1024 }
    private static var bodyPatience: Int { 4 }

    /// The longest that a connection, or a stream of one that is shared, is waited for.
    private var connectLimit: TimeAmount { self.exchange.timeout ?? self.plan.settings.firstByte }

    /// A deadline was set to `amount` from now.
    @inline(__always)
    func arm(_ amount: TimeAmount) {
        self.deadline = self.earliest
        self.worker.deadlines.notice(amount)
    }

    /// The time that a call of gRPC asks for; `nil` where it says none.
    var askedTime: TimeAmount? {
        guard let index = self.exchange.requestHeaders.firstIndex(of: .grpcTimeout) else { return nil }
        let time = self.exchange.requestHeaders.withValue(at: index) { GRPCStatus.timeout($0) }
        return time.map { max(.milliseconds(1), $0) }
    }

    /// The time of the call as a whole, which has begun with the head of its request.
    func limitStream(_ limits: StreamEffect) {
        self.call.hasStreamLimit = true
        guard let limit = limits.limit(asked: self.exchange.isGRPC ? self.askedTime : nil) else { return }
        self.call.streamDeadline = self.exchange.startedAt + limit
        self.call.callDeadline = min(self.call.callDeadline, self.call.streamDeadline)
        self.arm(max(.milliseconds(1), self.call.streamDeadline - self.worker.now))
    }

    /// The limit of silence that the route sets, also before the answer.
    @inline(__always)
    var silenceLimit: TimeAmount? { self.exchange.effect?.stream?.silence }

    private var earliest: NIODeadline {
        min(min(self.call.headDeadline, self.call.callDeadline), min(self.call.idleDeadline, self.call.bodyDeadline))
    }

    /// Measures the silence of the request's body anew, and its pace when enough of it has come.
    func armBody() {
        let isAwaited =
            self.phase == .waiting && !self.call.isRequestComplete && !self.call.isUpstreamFull
            && !self.exchange.request.flags.contains(.grpc)
        if !isAwaited {
            self.call.bodyDeadline = .distantFuture
        } else if self.call.bodyDeadline == .distantFuture || self.call.unmeasured >= Self.leastBody {
            self.call.unmeasured = 0
            self.call.bodyDeadline = self.worker.now + self.plan.settings.requestBody * Self.bodyPatience
        }
        self.armIdle()
    }

    /// Nobody's silence is measured, unless the client has left: its grace goes on.
    @inline(__always)
    func disarmIdle() {
        if !self.call.hasClientLeft { self.call.idleDeadline = .distantFuture }
    }

    /// Measures the silence of whoever has to act from now on.
    ///
    /// The grace of a client that has left begins once, and not anew with each thing that happens before its answer.
    func armIdle() {
        if self.call.hasClientLeft, self.phase != .responding, self.call.idleDeadline != .distantFuture {
            // The table may have forgotten it: another deadline was over.
            return self.arm(self.call.idleDeadline - self.worker.now)
        }
        guard let limit = self.idleLimit else {
            self.call.idleDeadline = .distantFuture
            return
        }
        self.call.idleDeadline = self.worker.now + limit
        self.arm(limit)
    }

    /// A connection is waited for no longer than this.
    func giveUpWaiting(at deadline: NIODeadline) {
        self.call.idleDeadline = deadline
        self.arm(max(.milliseconds(1), deadline - self.worker.now))
    }

    private var idleLimit: TimeAmount? {
        let settings = self.plan.settings
        switch self.phase {
        case .idle, .inChain: return nil
        case .held: return self.call.hasClientLeft ? settings.halfClosed : settings.stream
        case .connecting:
            // Whoever has left waits no longer than others.
            return self.call.hasClientLeft ? min(settings.halfClosed, self.connectLimit) : self.connectLimit
        case .waiting:
            if self.call.isRequestComplete { return self.call.hasClientLeft ? settings.halfClosed : self.silenceLimit }
            if self.call.isUpstreamFull { return settings.stream }
            // A stream of messages may be silent as long as its call lasts.
            return self.exchange.request.flags.contains(.grpc) ? nil : settings.requestBody
        case .responding:
            return self.call.hasClientLeft && !self.call.isDownstreamFull
                ? settings.halfClosed : self.exchange.effect?.idleLimit ?? settings.stream
        case .tunnel: return self.silenceLimit ?? settings.tunnel
        }
    }

    package func deadlineReached() { self.worker.event { self.expire() } }

    private func expire() {
        guard self.phase != .idle else { return }
        let now = self.worker.now
        if self.call.callDeadline <= now {
            self.callIsOver()
        } else if self.call.headDeadline <= now {
            self.upstreamIsLate()
        } else if self.call.idleDeadline <= now || self.call.bodyDeadline <= now {
            self.call.idleDeadline = .distantFuture
            self.call.bodyDeadline = .distantFuture
            self.expireIdle()
        }
        // The table has forgotten what it called for: whatever is still to come is told again.
        if self.phase != .idle { self.deadline = self.earliest }
    }

    /// The time that the client or its route has set is over: no other try, and no blame for who had no fair chance.
    private func callIsOver() {
        self.worker.metrics.count(.upstreamTime)
        // All that the route gives is fair.
        let fair = min(Self.fairChance, self.exchange.effect?.callLimit ?? Self.fairChance)
        let isFair =
            self.exchange.attempt.upstream != nil && self.worker.now - self.exchange.attempt.sentAt >= fair
        self.exchange.noted.insert(.callOver)
        if self.call.streamDeadline <= self.worker.now {
            self.call.overdue = .whole
            self.exchange.noted.insert(.wholeOver)
        }
        self.letGo(.late)
        self.fail(ProxyError(.upstreamTimeout), outcome: isFair ? nil : .callOver)
    }

    /// Nobody has said anything for as long as the route allows: no other try.
    private func silenceIsOver() {
        self.worker.metrics.count(.upstreamTime)
        self.call.overdue = .silence
        self.exchange.noted.insert(.silent)
        self.letGo(.late)
        self.fail(ProxyError(.upstreamTimeout))
    }

    private static var fairChance: TimeAmount { .seconds(1) }

    private func expireIdle() {
        let metrics = self.worker.metrics
        if self.call.hasClientLeft, !self.call.isDownstreamFull { return self.abandon() }
        switch self.phase {
        case .idle, .inChain: break
        case .held: self.fail(ProxyError(.internal, "held for too long"))
        case .connecting where self.exchange.attempt.hasQueued: self.crowdedOut()
        case .connecting: self.upstreamIsLate()
        case .waiting where self.call.isRequestComplete && self.silenceLimit != nil: self.silenceIsOver()
        case .waiting where self.call.isRequestComplete || self.call.isUpstreamFull: self.upstreamIsLate()
        case .waiting:
            metrics.count(.requestBodyTime)
            self.requestFailed(ProxyError(.requestTimeout, "request body not received in time"))
        case .responding where self.call.isDownstreamFull:
            metrics.count(.clientStallTime)
            self.requestFailed(ProxyError(.clientGone))
        case .responding:
            if self.silenceLimit != nil { self.exchange.noted.insert(.silent) }
            self.upstreamIsLate()
        case .tunnel:
            metrics.count(.tunnelTime)
            self.letGo(.gone)
            self.conclude(.answered) { $0.abortResponse(self) }
        }
    }

    /// No connection became free in time, or one too late to be made: nobody is to blame for it but the limit.
    private func crowdedOut() {
        let name = self.exchange.balancing.balancer?.cluster?.name ?? ""
        self.letGo(.late)
        self.exchange.attempt.isCrowdedOut = true
        self.attemptFailed(ProxyError(.bulkheadFull, "no connection of cluster \(name) became free in time"))
    }

    private func upstreamIsLate() {
        self.worker.metrics.count(.upstreamTime)
        let error = ProxyError(.upstreamTimeout)
        let mayTryAgain = self.phase == .waiting || self.phase == .connecting
        self.letGo(.late)
        if mayTryAgain { self.attemptFailed(error) } else { self.fail(error) }
    }
}
