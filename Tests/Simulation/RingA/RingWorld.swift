// SPDX-License-Identifier: Apache-2.0

import Common
@testable import Egress
@testable import Ingress
import Logging
import NIOCore
@testable import Proxy
import SimulationSupport

/// A worker on virtual time with its chain, pool and policies, and the fakes on both sides of it.
final class RingWorld: @unchecked Sendable {
    /// Who has begun the event that runs.
    enum Cause {
        case begin
        case client(Call)
        case upstream(Trial)
        /// A whole connection of HTTP/2.
        case upstreams
        case connector
        case time
    }

    /// What a schedule does not change.
    struct Constants {
        let logger = Logger(label: "simulate") { _ in SwiftLogNoOpLogHandler() }
        let own = Variants.all.map { OwnListeners($0.listeners) }
        let token = HopToken()
        let http = Resolvers.make(Variants.all[0].resolvers.http)
        let grpc = Resolvers.make(Variants.all[0].resolvers.grpc)
        let labels = MetricLabels()
    }

    static let constants = Constants()

    let schedule: Schedule
    let loop = SimulatedLoop()
    let worker: Worker
    let registry: MetricsRegistry
    let connector = FakeConnector()
    let mesh: Snapshot<Mesh>
    /// Of calls to services, of calls to the local application, and of CONNECT.
    var outgoing = TrafficPlan.none
    var incoming = TrafficPlan.none
    var tunnels = TrafficPlan.none
    var policies: [ObjectIdentifier: ServicePolicy] = [:]
    var providers: [ProviderPolicy] = []
    var endpoints: [Endpoint] = []

    var calls: [Call] = []
    /// Those that have not ended.
    var live: [Call] = []
    var trials: [Trial] = []
    var clients: [FakeClient] = []
    /// All that the pool has not been told are closed.
    var connections: [FakeConnection] = []
    var shared: [FakeShared] = []
    var drivers: [ObjectIdentifier: ExchangeDriver] = [:]
    private(set) var balancers: [ObjectIdentifier: ClusterBalancer] = [:]
    /// Of clusters that limit something.
    private(set) var tickets: [ObjectIdentifier: ClusterTickets] = [:]
    private var names = 0
    /// Copies of calls that have come to an upstream.
    private(set) var mirrors: [ObjectIdentifier: Call] = [:]
    /// Copies that the balancing stage has let through.
    private(set) var mirrorTries = 0

    private(set) var cause = Cause.begin
    /// The event that runs.
    private(set) var eventNumber = 0
    /// How many retries were counted before the event that runs.
    private var retriesBefore = 0
    private var violation: Violation?
    /// A service whose retry budget was used up, from when on, and what was sent again since.
    var drained: (state: ServiceState, at: NIODeadline, event: Int)?
    var sentAgain = 0
    /// Tries that the balancing stage has let through.
    private var chosen = 0

    /// Rules that are not looked at.
    private let ignored: Set<String>

    init(_ schedule: Schedule, ignored: Set<String>) {
        self.schedule = schedule
        self.ignored = ignored
        self.registry = MetricsRegistry(startTime: 0, own: Self.constants.labels)
        self.mesh = Snapshot(Mesh(.empty, MeshRules(Variants.all[0])), on: self.loop)
        self.worker = Worker(
            eventLoop: self.loop, loopCount: 1, mesh: self.mesh, metrics: self.registry,
            logger: Self.constants.logger, overload: Overload(), ask: { _ in true },
            connector: self.connector)
        self.worker.random = FastRandom(seed: schedule.seed())
        self.connector.world = self
        self.mesh.observe(on: self.loop) { [worker] in worker.arrived($0) }
        self.changePlan()
        self.changeDirectory()
    }

    /// Nothing holds any more.
    func forget() {
        self.outgoing = .none
        self.incoming = .none
        self.tunnels = .none
        self.balancers = [:]
        self.tickets = [:]
        self.mirrors = [:]
        self.drained = nil
        self.cause = .begin
    }

    // MARK: Events

    func note(_ text: @autoclosure () -> String) {
        self.schedule.note(
            "\(Double((self.loop.now.uptimeNanoseconds - 1_000_000_000) / 1000) / 1_000_000) s  \(text())")
    }

    func nextName() -> String {
        self.names += 1
        return "upstream \(self.names)"
    }

    /// One event of the loop, which somebody begins.
    func event(_ text: @autoclosure () -> String, _ cause: Cause, _ body: () -> Void) {
        self.note(text())
        self.nextEvent(cause)
        self.worker.event(body)
    }

    /// What begins by itself an event that nobody but the operator has caused: it may leave others a place.
    func change(_ body: () -> Void) {
        self.nextEvent(.upstreams)
        body()
    }

    private func nextEvent(_ cause: Cause) {
        self.cause = cause
        self.eventNumber += 1
        self.retriesBefore = self.worker.metrics.retries.current
    }

    /// A rule is broken; the first one counts.
    func violate(_ rule: String, _ text: @autoclosure () -> String) {
        if self.violation == nil, !self.ignored.contains(rule) { self.violation = Violation(rule, text()) }
    }

    func throwViolation() throws { if let violation = self.violation { throw violation } }

    /// Lets the loop do everything that it can do now.
    func settle() throws {
        while self.loop.hasDueTask {
            self.nextEvent(.time)
            self.loop.step()
            try self.check()
        }
    }

    /// Lets time pass, and what becomes due in it happen.
    func pass(_ amount: TimeAmount) throws {
        let end = self.loop.now + amount
        try self.settle()
        while true {
            var next = self.nextDeadline
            // The table looks now and then.
            if next <= self.loop.now { next = self.loop.nextDeadline ?? .distantFuture }
            guard next <= end else { break }
            self.loop.advance(to: next)
            self.connector.expire(at: self.loop.now)
            try self.check()
            try self.settle()
        }
        self.loop.advance(to: end)
        self.connector.expire(at: end)
        try self.check()
        try self.settle()
    }

    /// When something is due: everything between are looks at the deadlines, which find none.
    private var nextDeadline: NIODeadline {
        var next = NIODeadline.distantFuture
        for call in self.live {
            if call.driver.phase == .held { return self.loop.nextDeadline ?? .distantFuture }
            next = min(next, call.driver.deadline)
        }
        for call in self.mirrors.values where call.open != nil { next = min(next, call.driver.deadline) }
        for connection in self.connections { next = min(next, connection.deadline) }
        for connection in self.shared { next = min(next, connection.deadline) }
        for dial in self.connector.pending { next = min(next, dial.deadline) }
        return next
    }

    /// Lets time pass until something is due.
    func passToNextDeadline() throws {
        let next = min(self.nextDeadline, self.loop.now + .seconds(1))
        try self.pass(max(next - self.loop.now, .milliseconds(1)))
    }

    // MARK: What the fakes ask

    enum Field {
        case call, answer

        fileprivate static let names = [Array("x-call".utf8), Array("x-answer".utf8)]
    }

    /// The number that a field of ours has.
    func number(_ headers: borrowing HeaderBlock, _ field: Field) -> Int? {
        guard let index = headers.firstIndex(ofLowercased: Field.names[field == .call ? 0 : 1]) else { return nil }
        return headers.withValue(at: index) { UInt16(decimal: $0).map { Int($0) } }
    }

    func call(of exchange: borrowing Exchange) -> Call? {
        guard let number = self.number(exchange.requestHeaders, .call), number < self.calls.count else { return nil }
        return self.calls[number]
    }

    func takeDriver() -> ExchangeDriver {
        let driver = self.worker.takeDriver()
        self.drivers[ObjectIdentifier(driver)] = driver
        if !driver.isIdle || driver.deadline != .distantFuture { self.violate("ends", "a driver is free and busy") }
        return driver
    }

    /// A try begins at an upstream: whether it may.
    func begin(_ ticket: Ticket, _ upstream: FakeUpstream) -> Trial? {
        let driver = ticket.driver
        if let mirror = driver.call.downstream as? MirrorCall { return self.begin(mirror, ticket, upstream) }
        guard ticket.isValid, let call = self.call(of: driver.exchange), call.driver === driver, !call.hasEnded else {
            self.violate("over", "\(upstream.name) is given a request of a call that is over")
            return nil
        }
        let trial = Trial(
            number: self.trials.count, call: call, now: self.loop.now, endpoint: upstream.endpoint,
            wasReused: upstream.isUsed)
        self.judgeTry(trial, call)
        let exchange = driver.exchange.attempt
        if exchange.grpcStatus != nil || exchange.resetCode != nil || exchange.isFailure || exchange.isUnseen
            || driver.exchange.response.status != 0 || driver.exchange.responseTrailers != nil
        {
            self.violate("attempt", "call \(call.number): something of the try before is left")
        }
        self.trials.append(trial)
        call.trials.append(trial)
        call.movedAt = self.loop.now
        call.limit = driver.exchange.timeout ?? call.plan.settings.firstByte
        return trial
    }

    /// A copy of a call comes to an upstream: once, and whole.
    private func begin(_ mirror: MirrorCall, _ ticket: Ticket, _ upstream: FakeUpstream) -> Trial? {
        let driver = ticket.driver
        guard ticket.isValid, let original = self.call(of: driver.exchange) else {
            self.violate("over", "\(upstream.name) is given a copy that is over")
            return nil
        }
        if self.mirrors[ObjectIdentifier(mirror)] != nil {
            self.violate("mirror", "the copy of call \(original.number) is sent twice")
        }
        if !original.isComplete { self.violate("mirror", "call \(original.number) is copied before it is whole") }
        if driver === original.driver || !driver.plan.isMirror {
            self.violate("mirror", "the copy of call \(original.number) is no call of its own")
        }
        let copy = Call(
            number: original.number, kind: original.kind, client: "nobody", isHTTP2: original.isHTTP2,
            plan: driver.plan, driver: driver, now: self.loop.now, timeout: nil, length: original.length,
            hasTrailers: original.hasTrailers)
        copy.mirror = mirror
        copy.sent = original.sent
        copy.isComplete = true
        self.mirrors[ObjectIdentifier(mirror)] = copy
        let trial = Trial(
            number: self.trials.count, call: copy, now: self.loop.now, endpoint: upstream.endpoint,
            wasReused: upstream.isUsed)
        self.trials.append(trial)
        copy.trials.append(trial)
        return trial
    }

    /// What the pool has given is lost.
    func lost(_ ticket: Ticket) { self.call(of: ticket.driver.exchange)?.lostIn = self.eventNumber }

    private func judgeTry(_ trial: Trial, _ call: Call) {
        guard let last = call.trials.last else { return }
        let name = "call \(call.number)"
        if call.answer != .none { self.violate("retry", "\(name) is tried again although its answer has begun") }
        if last.state == .open { self.violate("retry", "\(name) is sent to two upstreams at once") }
        if last.hasHead, !last.isListed, !last.isUnwanted, !(last.isUnserved && call.plan.direction == .outgoing) {
            self.violate("retry", "\(name) is tried again although it was answered \(last.status ?? 0)")
        }
        let policy = call.driver.exchange.retryPolicy
        // A peer sidecar that says so has not handed it on.
        let isSeen = last.isSeen && !(last.isUnserved && call.plan.direction == .outgoing)
        if isSeen, !call.isIdempotent, policy?.includesNonIdempotent != true {
            self.violate("twice", "\(name), which may not be repeated, is executed twice")
        }
        let isHidden = last.entered == call.finished
        if isHidden {
            // What counts is how soon it failed; another connection may take its time.
            let time = (last.endedAt ?? self.loop.now) - last.sentAt
            if isSeen, time > .seconds(1) {
                self.violate(
                    "resend", "\(name) is sent again without a policy, after \(time.nanoseconds / 1_000_000) ms")
            }
            if isSeen, call.trials.count > 1 || call.hasBody || !call.isIdempotent {
                self.violate("resend", "\(name) is sent again without a policy, which it may not be")
            }
            if call.trials.count > 3 { self.violate("resend", "\(name) is sent for the fifth time without a policy") }
        } else if policy?.isEnabled != true {
            self.violate("retry", "\(name) is tried again although nobody wants it")
        }
        guard isSeen || !isHidden, let drained = self.drained, call.driver.exchange.target === drained.state,
            self.loop.now - drained.at < .seconds(9), last.endedIn ?? 0 > drained.event
        else { return }
        self.sentAgain += 1
        // A request more may be what fills up one retry.
        if (self.sentAgain - 1) * 100 > self.calls.count * (policy?.budgetPercent ?? 0) {
            self.violate("budget", "\(name) is sent again, and no retry is left")
        }
    }

    /// A try that is let go.
    func judgeCancel(_ reason: Cancellation, _ trial: Trial) {
        let call = trial.call
        switch reason {
        case .unwanted:
            if !trial.mayBeRepeated, call.interims <= call.plan.settings.maxInterimResponses {
                self.violate("retry", "call \(call.number): an answer is not wanted, \(trial.status ?? 0)")
            }
        case .late:
            guard case .time = self.cause else { return self.violate("limits", "late, though no time has passed") }
        case .gone: break
        }
    }

    // MARK: Probes

    func entered(_ exchange: inout Exchange) {
        self.chosen += 1
        guard let call = self.call(of: exchange) else { return }
        call.entered += 1
        call.movedAt = self.loop.now
        call.limit = exchange.timeout ?? call.plan.settings.firstByte
        guard let balancer = exchange.balancing.balancer else { return }
        self.balancers[ObjectIdentifier(balancer)] = balancer
        if let tickets = balancer.tickets { self.tickets[ObjectIdentifier(tickets)] = tickets }
    }

    /// The balancing stage has let a copy through.
    func enteredMirror(_ exchange: inout Exchange) {
        self.mirrorTries += 1
        guard let balancer = exchange.balancing.balancer else { return }
        self.balancers[ObjectIdentifier(balancer)] = balancer
        if let tickets = balancer.tickets { self.tickets[ObjectIdentifier(tickets)] = tickets }
    }

    func finished(_ exchange: inout Exchange) {
        guard let call = self.call(of: exchange) else { return }
        call.finished += 1
        if call.finished > call.entered { self.violate("chain", "a stage is finished more often than it was entered") }
        self.judgeTryOutcome(exchange.outcome, call)
    }

    func ended(_ exchange: inout Exchange) {
        guard let call = self.call(of: exchange) else { return }
        if call.outcome != nil { self.violate("ends", "call \(call.number) is finished twice") }
        call.outcome = exchange.outcome
        call.error = exchange.error
    }

    /// A try, or the call, has ended as `outcome` says: stages believe it.
    private func judgeTryOutcome(_ outcome: Outcome, _ call: Call) {
        guard let trial = call.trials.last, trial.endedIn == self.eventNumber, case .upstream(let mine) = self.cause,
            mine === trial
        else { return }
        if trial.state == .failed, !trial.isTunnel, trial.hasHead, outcome != .diedInBody {
            self.violate("outcome", "call \(call.number) died in its body, and stages hear \(outcome)")
        }
    }

    // MARK: Ends

    /// An exchange is over: judges it by what the fakes know.
    func ended(_ call: Call) {
        self.live.removeAll { $0 === call }
        if !call.driver.isIdle { self.violate("ends", "call \(call.number) has ended, and its driver goes on") }
        if call.open != nil, !(call.open?.isTunnel ?? false) {
            self.violate("ends", "call \(call.number) has ended, and its upstream was not let go")
        }
        if call.answer == .none, call.fault != .gone {
            self.violate("answer", "call \(call.number) ends without a word")
        }
        if call.answer == .begun, call.fault != .gone {
            self.violate("answer", "call \(call.number) ends with half an answer, and its client does not see it")
        }
        if call.isRefused { return }
        guard let outcome = call.outcome else {
            return self.violate("outcome", "call \(call.number) has ended, and no stage has heard of it")
        }
        let expected = self.expected(call)
        if !expected.contains(outcome) {
            self.violate(
                "outcome",
                "call \(call.number) is booked as \(outcome) (\(call.error?.reason.rawValue ?? "no error")), and was \(expected) by \(self.cause)"
            )
        }
        if let reason = call.error?.reason, reason.blame == .client,
            outcome == .diedInBody || outcome == .upstreamFailed
        {
            self.violate("outcome", "call \(call.number): \(outcome), and the error says \(reason)")
        }
    }

    /// How it may have ended, by what the fakes know.
    private func expected(_ call: Call) -> [Outcome] {
        if call.fault != .none {
            return call.isTunnelKind && call.answer != .none && (call.isInputEnded || call.isOutputEnded)
                ? [.answered, .clientFault] : [.clientFault]
        }
        let last = call.trials.last
        let isNow = last?.endedIn == self.eventNumber
        var others: [Outcome] = []
        if self.worker.metrics.retries.current > self.retriesBefore {
            others = [.refused, .noInstance, .replied, .connectFailed]
            if call.lostIn == self.eventNumber { others.append(.upstreamFailed) }
        }
        if let last, last.isTunnel { return self.expectedOfTunnel(call, last) }
        if let last, isNow, last.state == .answered {
            return [last.outcome] + (last.mayBeRepeated ? others : [])
        }
        if let last, isNow, last.state == .failed { return self.expectedOfDeath(call, last) + others }
        var own: [Outcome] = [.refused, .noInstance, .replied, .connectFailed]
        if call.lostIn == self.eventNumber { own.append(.upstreamFailed) }
        switch self.cause {
        case .begin, .connector, .upstreams: return own
        case .upstream(let trial):
            // One interim response too many, or a client that has left and is sent events.
            if trial.call === call, call.hasHalfClosed, trial.isEvents { return [.clientFault] + others }
            if trial.call === call, call.interims > call.plan.settings.maxInterimResponses { return [.upstreamFailed] }
            return own
        // Another one has left it a place, and was refused at once; or nobody listens to a stream of events any more.
        case .client(let other) where other !== call && !self.tickets.isEmpty: return own
        case .client: return call.hasHalfClosed && last?.isEvents == true ? [.clientFault] : []
        case .time: return self.expectedOfTime(call, last, isNow) + own
        }
    }

    private func expectedOfTunnel(_ call: Call, _ last: Trial) -> [Outcome] {
        // A tunnel that breaks before its upstream has said that it sends no more.
        if last.state == .failed, last.isBroken, !call.isOutputEnded { return [.diedInBody] }
        return [.answered]
    }

    private func expectedOfDeath(_ call: Call, _ last: Trial) -> [Outcome] {
        if last.hasHead { return [.diedInBody] }
        // It has waited for the client, and has given up. A trickle is as good as silence.
        let isClientSilent = !call.isComplete && !last.isFull && self.loop.now - call.begunAt > .seconds(1)
        if last.isSeen, isClientSilent { return [.clientFault, .upstreamFailed] }
        return [.upstreamFailed]
    }

    private func expectedOfTime(_ call: Call, _ last: Trial?, _ isNow: Bool) -> [Outcome] {
        var outcomes: [Outcome] = []
        let age = self.loop.now - call.begunAt
        if let timeout = call.timeout, age >= timeout {
            outcomes += last?.hasHead == true ? [.callOver, .diedInBody] : [.callOver, .upstreamFailed]
        }
        if call.hasHalfClosed { outcomes.append(.clientFault) }
        guard let last, isNow, last.state == .cancelled else { return outcomes }
        // Of the side that has to act; what the other one does meanwhile is no sign of life of it.
        let silence = self.loop.now - last.sentAt
        let settings = call.plan.settings
        if last.hasHead {
            if silence >= settings.stream { outcomes.append(call.isFull ? .clientFault : .diedInBody) }
        } else if call.isComplete, !last.isFull || last.isRequestComplete {
            if self.loop.now - (last.waitsSince ?? last.sentAt) >= call.limit { outcomes.append(.upstreamFailed) }
        } else if last.isFull {
            if silence >= settings.stream { outcomes.append(.upstreamFailed) }
        } else if !call.isGRPC, self.loop.now - call.begunAt >= settings.requestBody {
            outcomes.append(.clientFault)
        }
        return outcomes
    }
}
