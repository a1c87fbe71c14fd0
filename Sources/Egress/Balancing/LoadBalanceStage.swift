// SPDX-License-Identifier: Apache-2.0
// request path

import Common
import Logging
import NIOCore
import Proxy

/// Chooses the instance that an outgoing request goes to, and another one when it fails: `loadbalance`.
///
/// - Source: governance of go-chassis; promise U3 for what may be repeated.
struct LoadBalanceStage: Stage {
    static let name = "loadbalance"

    let own: OwnListeners
    /// Finds the places that requests name by themselves.
    private let requested: ExternalDestinations

    /// - Parameter limit: How long a name is looked up.
    init(own: OwnListeners, limit: TimeAmount) {
        self.own = own
        self.requested = ExternalDestinations(limit: limit)
    }

    func onRequest(_ exchange: inout Exchange) -> Verdict {
        if exchange.balancing.isAwaiting { Self.lookAgain(&exchange) }
        guard let target = exchange.target else {
            return .reject(ProxyError(.internal, "no stage found the service"))
        }
        if !Self.stays(&exchange) {
            let balancer = target.cluster(exchange.cluster, isGRPC: exchange.isGRPC, exchange.worker)
            exchange.counters = balancer.counters
            if let requested = target.policy.requested, case .requested? = balancer.cluster?.members {
                return self.goWhereAsked(&exchange, target, requested)
            }
            if let foreign = balancer.foreign { foreign.use.set() }
            if let future = balancer.preparation(on: exchange.worker.eventLoop), Self.hash(&exchange, balancer) != nil {
                return .again(future)
            }
            guard var index = Self.choose(&exchange, target, balancer) else {
                let name = Self.owner(target, balancer)
                if let future = Self.ask(&exchange, name, balancer.set) { return .again(future) }
                if balancer.foreign == nil, name != nil, target.policy.host?.service != nil {
                    return .reject(
                        ProxyError(.noRule, "no such cluster", status: exchange.effect?.action.missingStatus ?? 503))
                }
                return .reject(Self.absence(of: name ?? balancer.cluster?.name, balancer.set, isGRPC: exchange.isGRPC))
            }
            if self.own.contains(balancer.set.endpoints[index]) {
                guard let other = self.chooseElsewhere(than: index, &exchange, target, balancer) else {
                    return .reject(
                        ProxyError(.destinationRefused, "destination refused: an instance is the sidecar itself"))
                }
                index = other
            }
            let endpoint = balancer.set.endpoints[index]
            exchange.balancing.balancer = balancer
            exchange.balancing.index = index
            if !balancer.hosts.isEmpty, !balancer.isAssigned || exchange.effect?.action.takesHost == true {
                exchange.setHost(of: balancer.hosts[index])
            }
            exchange.endpoint =
                balancer.port == 0 ? endpoint : exchange.worker.endpoint(at: endpoint, port: balancer.port)
        }
        if let balancer = exchange.balancing.balancer, let tickets = balancer.tickets,
            let error = Self.take(tickets, balancer, &exchange)
        {
            return .reject(error)
        }
        if let balancer = exchange.balancing.balancer { balancer.loads[exchange.balancing.index].shard.attempts.add() }
        exchange.balancing.chosenAt = exchange.worker.now
        if let balancer = exchange.balancing.balancer, balancer.countsLoad {
            balancer.loads[exchange.balancing.index].outstanding += 1
            exchange.balancing.isCounted = true
        }
        if !exchange.balancing.isCharged, Self.mayRetry(exchange, target) {
            exchange.balancing.isCharged = true
            target.budget.request(at: exchange.worker.now)
        }
        return .proceed
    }

    /// Whether this try goes where the last one went, which an operator may have disabled since.
    @inline(__always)
    private static func stays(_ exchange: inout Exchange) -> Bool {
        guard exchange.balancing.staysOnSame else { return false }
        exchange.balancing.staysOnSame = false
        let last = exchange.balancing.balancer?.set.endpoints[exchange.balancing.index]
        return last?.health.order != .disabled
    }

    /// Takes the place that the request itself names, as a cluster of a control plane may have it, unless it is one that
    /// nobody may be taken to.
    private func goWhereAsked(
        _ exchange: inout Exchange, _ target: ServiceState, _ requested: RequestedHosts
    ) -> Verdict {
        let authority = exchange.request.authority
        let host = exchange.requestHeaders.string(in: authority.host).lowercased()
        let port = authority.portDigits.isEmpty ? 80 : authority.port
        switch self.requested.look(&exchange, host, port, requested, target.rules, self.own) {
        case .found: return .proceed
        case .wait(let future): return .again(future)
        case .refused(let error): return .reject(error)
        }
    }

    func onResponse(_ exchange: inout Exchange) {
        guard let balancer = exchange.balancing.balancer else { return }
        if exchange.balancing.isCounted, !exchange.attempt.isFailure, !exchange.attempt.isUnseen {
            let latency = Duration(exchange.worker.now - exchange.balancing.chosenAt)
            balancer.observe(latency, of: exchange.balancing.index, at: exchange.worker.now)
        }
        if exchange.target?.policy.sessions != nil { SessionCookie.answer(&exchange) }
        if let cookie = exchange.balancing.newCookie {
            exchange.responseHeaders.append(.setCookie, "Set-Cookie", cookie)
        }
    }

    /// Whether a retry is possible at all.
    @inline(__always)
    private static func mayRetry(_ exchange: borrowing Exchange, _ target: ServiceState) -> Bool {
        if let effect = exchange.effect, let retry = effect.action.retry {
            return retry.policy.isEnabled && retry.conditions.isEmpty
        }
        return target.policy.retry.isEnabled
    }

    /// Takes the place of a try among those of a cluster that limits them.
    private static func take(
        _ tickets: ClusterTickets, _ balancer: ClusterBalancer, _ exchange: inout Exchange
    ) -> ProxyError? {
        let name = balancer.cluster?.name ?? ""
        guard tickets.takeRequest(most: balancer.cluster?.settings?.maxRequests) else {
            exchange.balancing.balancer = nil
            return ProxyError(.bulkheadFull, "as many requests as cluster \(name) allows are under way")
        }
        exchange.balancing.hasTicket = true
        exchange.balancing.hasRetryTicket = exchange.balancing.nextRetry.take() != nil
        return nil
    }

    private static func giveBack(_ tickets: ClusterTickets, _ exchange: inout Exchange) {
        if exchange.balancing.hasTicket { tickets.giveBackRequest() }
        if exchange.balancing.hasRetryTicket { tickets.giveBackRetry() }
        exchange.balancing.hasTicket = false
        exchange.balancing.hasRetryTicket = false
    }

    func onFinish(_ exchange: inout Exchange) {
        guard let balancer = exchange.balancing.balancer else { return }
        if let tickets = balancer.tickets { Self.giveBack(tickets, &exchange) }
        if exchange.balancing.isCounted {
            balancer.loads[exchange.balancing.index].outstanding -= 1
            exchange.balancing.isCounted = false
        }
        let health = balancer.set.endpoints[exchange.balancing.index].health
        if balancer.outliers != nil || balancer.isAssigned { return Self.countResult(&exchange, balancer, health) }
        switch exchange.outcome.health {
        case .succeeded: health.succeeded(at: exchange.worker.now)
        case .failed(let failure): Self.countFailure(&exchange, failure, balancer, health)
        case nil: break
        }
    }

    // MARK: Choice

    private static func choose(
        _ exchange: inout Exchange, _ target: ServiceState, _ balancer: ClusterBalancer
    ) -> Int? {
        let worker = exchange.worker
        let now = worker.now
        if let sessions = target.policy.sessions,
            let index = SessionCookie.instance(&exchange, sessions, balancer)
        {
            return index
        }
        let hash = Self.hash(&exchange, balancer)
        let failed = exchange.balancing.failed
        if balancer.isAssigned {
            return balancer.pickAssigned(hash: hash, at: now, using: &worker.random, besides: failed)
        }
        guard !failed.isEmpty else {
            return balancer.pick(hash: hash, at: now, using: &worker.random) { !$0.health.isEjected(at: now) }
        }
        let index = balancer.pick(hash: hash, at: now, using: &worker.random, besides: failed) { endpoint in
            !endpoint.health.isEjected(at: now) && !failed.contains { $0 === endpoint }
        }
        // Better one that is left out than one that has just failed this very request.
        guard let index, failed.contains(where: { $0 === balancer.set.endpoints[index] }) else { return index }
        return balancer.pick(hash: hash, at: now, using: &worker.random) { endpoint in
            !endpoint.health.isWithheld && !failed.contains { $0 === endpoint }
        }
    }

    /// The same among the instances that are not this very sidecar, which no request may be sent to.
    ///
    /// - Parameter own: One that is, and was chosen.
    /// - Returns: `nil` when there are no others.
    @inline(never)
    private func chooseElsewhere(
        than own: Int, _ exchange: inout Exchange, _ target: ServiceState, _ balancer: ClusterBalancer
    ) -> Int? {
        self.report(balancer.loads[own], target, exchange.worker)
        let worker = exchange.worker
        let now = worker.now
        let hash = Self.hash(&exchange, balancer)
        let failed = exchange.balancing.failed
        let endpoints = balancer.set.endpoints
        func isLeft(_ endpoint: Endpoint) -> Bool {
            self.isForeign(endpoint) && !failed.contains { $0 === endpoint }
        }
        func isEligible(_ endpoint: Endpoint) -> Bool { isLeft(endpoint) && !endpoint.health.isEjected(at: now) }
        let index = balancer.pick(hash: hash, at: now, using: &worker.random, isEligible: isEligible)
        if let index, isEligible(endpoints[index]) { return index }
        // All others are left out, or have failed this very request.
        return RandomChoice.pick(of: endpoints.count, using: &worker.random) { isLeft(endpoints[$0]) }
            ?? RandomChoice.pick(of: endpoints.count, using: &worker.random) { self.isForeign(endpoints[$0]) }
    }

    /// Whether requests may be sent there at all, which is another one than this sidecar.
    private func isForeign(_ endpoint: Endpoint) -> Bool {
        !self.own.contains(endpoint) && !endpoint.health.isWithheld
    }

    /// Says once that an instance is this sidecar.
    private func report(_ load: EndpointLoad, _ target: ServiceState, _ worker: Worker) {
        guard !load.isReported else { return }
        load.isReported = true
        guard self.own.isFirstReport(of: load.endpoint, in: target.service.name) else { return }
        worker.logger.warning(
            "instance left out: it is this sidecar itself",
            metadata: ["service": "\(target.service.name)", "endpoint": "\(load.endpoint)"])
    }

    private static func hash(_ exchange: inout Exchange, _ balancer: ClusterBalancer) -> UInt64? {
        guard balancer.policy.strategy.isHashed else { return nil }
        if let effect = exchange.effect, !effect.action.hashKeys.isEmpty { return exchange.hash(effect) }
        switch balancer.policy.hash {
        case .header(let name):
            guard let index = exchange.requestHeaders.firstIndex(ofLowercased: name) else { return nil }
            return exchange.requestHeaders.withValue(at: index) { HashRing.hash($0) }
        case .cookie(let name): return exchange.requestHeaders.withCookie(name) { HashRing.hash($0) }
        }
    }

    /// The service whose instances a cluster has; `nil` where they are written down.
    private static func owner(_ target: ServiceState, _ balancer: ClusterBalancer) -> String? {
        switch balancer.cluster?.members {
        case nil, .own: target.service.name
        case .service(let name, _): name
        case .fixed, .requested: nil
        }
    }

    /// Has the registry asked for the application that a route rule leads to, where nothing is known of it.
    ///
    /// - Returns: `nil` when there is no endpoint, and that is known.
    private static func ask(
        _ exchange: inout Exchange, _ service: String?, _ set: EndpointSet
    ) -> EventLoopFuture<Void>? {
        guard exchange.chain == .services, let service else { return nil }
        let worker = exchange.worker
        // Clusters of a control plane are of no application.
        let app = set.tags.app.isEmpty ? worker.rules.caller.app : set.tags.app
        let demand = ServiceDemand(app: app, name: service)
        guard !worker.directory.settles(demand, at: worker.now) else {
            worker.waits.refuses(demand, at: worker.now)
            return nil
        }
        guard let future = worker.waits.wait(for: [demand], &exchange) else { return nil }
        exchange.balancing.isAwaiting = true
        return future
    }

    /// Takes the service as the newest directory has it; what governs it is the same.
    ///
    /// A virtual host, which may have the name of a service, stays what it is: it looks its clusters up itself.
    private static func lookAgain(_ exchange: inout Exchange) {
        exchange.balancing.isAwaiting = false
        guard let target = exchange.target, target.service.kind == .service,
            let service = exchange.worker.directory[target.service.name]
        else { return }
        exchange.target = exchange.worker.state(of: service, under: target.rules)
    }

    /// Why there is no endpoint to choose.
    private static func absence(of service: String?, _ set: EndpointSet, isGRPC: Bool) -> ProxyError {
        let service = service ?? ""
        if let others = set.otherProtocols {
            return ProxyError(
                .noEndpoint,
                "lb: No available instance for protocol server [\(isGRPC ? "grpc" : "rest")] , microservice: "
                    + "\(service) has \(others)")
        }
        return Self.noInstance(of: service, set)
    }

    /// No endpoint of a set may be chosen.
    static func noInstance(of service: String, _ set: EndpointSet) -> ProxyError {
        let isWithheld = set.endpoints.contains { $0.health.isWithheld }
        return ProxyError(
            .noEndpoint,
            "lb: No available instance, key: \(service)(\(set.tags.label))"
                + (isWithheld ? ": an operator has disabled or drained them" : ""))
    }

    // MARK: Failures

    private static func countFailure(
        _ exchange: inout Exchange, _ failure: EndpointHealth.Failure, _ balancer: ClusterBalancer,
        _ health: EndpointHealth
    ) {
        guard let target = exchange.target else { return }
        let worker = exchange.worker
        Self.observeFailure(&exchange, balancer)
        let settings = target.policy.outliers
        let wasEjected = health.failed(failure, at: worker.now, settings: settings) {
            balancer.mayEject(at: worker.now, maxPercent: settings.maxEjectedPercent)
        }
        if let session = exchange.balancing.session {
            _ = target.policy.sessions?.failed(Array(session.utf8).rawSpan, at: worker.now)
        }
        if wasEjected { Self.reportEjection(&exchange, balancer) }
    }

    /// The same where the cluster alone says what is a failure, and when that is one too many.
    private static func countResult(
        _ exchange: inout Exchange, _ balancer: ClusterBalancer, _ health: EndpointHealth
    ) {
        if case .failed = exchange.outcome.health { Self.observeFailure(&exchange, balancer) }
        guard let outliers = balancer.outliers, let result = exchange.endpointResult else { return }
        let worker = exchange.worker
        let wasEjected = health.count(result, at: worker.now, by: outliers) {
            Int.random(in: 0..<100, using: &worker.random)
        } mayEject: {
            balancer.mayEject(at: worker.now, by: outliers)
        }
        if wasEjected { Self.reportEjection(&exchange, balancer) }
    }

    private static func observeFailure(_ exchange: inout Exchange, _ balancer: ClusterBalancer) {
        balancer.loads[exchange.balancing.index].shard.failures.add()
        guard balancer.countsLoad else { return }
        let now = exchange.worker.now
        let time = Duration(now - exchange.balancing.chosenAt)
        balancer.observeFailure(after: time, of: exchange.balancing.index, at: now)
    }

    private static func reportEjection(_ exchange: inout Exchange, _ balancer: ClusterBalancer) {
        let worker = exchange.worker
        worker.metrics.ejections.add()
        let endpoint = balancer.set.endpoints[exchange.balancing.index]
        let metadata: Logger.Metadata = [
            "service": "\(exchange.target?.service.name ?? "")", "endpoint": "\(endpoint)",
        ]
        let logger = worker.logger
        logger.notice("instance left out: it has failed again and again", metadata: metadata)
        guard let left = endpoint.health.ejectionLeft(at: worker.now), left < Self.longestReported else { return }
        worker.eventLoop.scheduleTask(in: TimeAmount(left)) { [weak endpoint] in
            // An operator may have ended it, or decided something else, and has been told so.
            guard endpoint?.health.wasEjected != false else { return }
            logger.notice("instance no longer left out: its time is over", metadata: metadata)
        }
    }

    /// Nobody waits for the end of an ejection that is longer.
    private static let longestReported = Duration.seconds(30 * 86_400)

    func onFailure(_ exchange: inout Exchange) -> Duration? {
        let wait = Self.retry(&exchange)
        guard wait == nil, exchange.outcome == .connectFailed, exchange.chain == .services,
            let target = exchange.target,
            let balancer = exchange.balancing.balancer
        else { return wait }
        // Nobody is left to try: others may have taken the place of those that are known.
        guard let owner = Self.owner(target, balancer) else { return nil }
        exchange.worker.waits.refuses(
            ServiceDemand(app: balancer.set.tags.app, name: owner), at: exchange.worker.now)
        return nil
    }

    private static func retry(_ exchange: inout Exchange) -> Duration? {
        guard let target = exchange.target, let balancer = exchange.balancing.balancer else { return nil }
        if exchange.outcome == .refused { return Self.passOver(&exchange, target.policy, balancer) }
        if let retry = exchange.effect?.action.retry, !retry.conditions.isEmpty {
            return Self.retry(&exchange, by: retry, balancer)
        }
        let policy = exchange.retryPolicy ?? target.policy.retry
        guard policy.isEnabled, Self.isRetriable(exchange, policy), Self.mayRepeat(exchange, policy) else {
            return nil
        }
        let staysOnSame = exchange.balancing.triesOnSame < policy.onSame
        guard staysOnSame || exchange.balancing.instances < policy.onNext,
            !policy.isFailover || balancer.availableCount > 1 + exchange.balancing.failed.count
        else {
            exchange.noted.insert(.retriesOver)
            return nil
        }
        guard target.budget.mayRetry(at: exchange.worker.now, percent: policy.budgetPercent) else {
            exchange.noted.insert(.overflow)
            exchange.worker.metrics.count(.retryBudget)
            return nil
        }
        guard Self.takeRetry(&exchange, balancer) else { return nil }
        if staysOnSame {
            exchange.balancing.triesOnSame += 1
            exchange.balancing.staysOnSame = true
        } else {
            exchange.balancing.triesOnSame = 0
            exchange.balancing.instances += 1
            exchange.balancing.failed.append(balancer.set.endpoints[exchange.balancing.index])
        }
        return policy.backoff.wait(before: exchange.attempts, using: &exchange.worker.random)
    }

    /// The same where the route names the failures.
    private static func retry(
        _ exchange: inout Exchange, by retry: RouteRetry, _ balancer: ClusterBalancer
    ) -> Duration? {
        guard exchange.hasFailed(by: retry), Self.mayRepeat(exchange, retry.policy) else { return nil }
        guard exchange.balancing.instances < retry.policy.onNext else {
            exchange.noted.insert(.retriesOver)
            return nil
        }
        guard Self.takeRetry(&exchange, balancer) else { return nil }
        exchange.balancing.instances += 1
        if retry.avoidsTried {
            exchange.balancing.failed.append(balancer.set.endpoints[exchange.balancing.index])
        }
        return retry.policy.backoff.wait(before: exchange.balancing.instances, using: &exchange.worker.random)
    }

    /// Takes the place of a retry among those of a cluster that limits them.
    private static func takeRetry(_ exchange: inout Exchange, _ balancer: ClusterBalancer) -> Bool {
        guard let tickets = balancer.tickets else { return true }
        // The try that is over does not count beside the next one.
        if exchange.balancing.hasRetryTicket {
            exchange.balancing.hasRetryTicket = false
            tickets.giveBackRetry()
        }
        let most = balancer.cluster?.settings?.mostRetries(of: tickets.requestCount)
        guard tickets.takeRetry(most: most) else {
            exchange.noted.insert(.overflow)
            exchange.worker.metrics.count(.retryBudget)
            return false
        }
        // Held through the wait; the present try is finished before.
        exchange.balancing.nextRetry = tickets
        return true
    }

    /// The circuit of the instance that was chosen has refused the request: another instance may take it.
    ///
    /// Nothing was sent, so it is no retry: it needs no policy and no budget, and ends with the instances.
    private static func passOver(
        _ exchange: inout Exchange, _ policy: ServicePolicy, _ balancer: ClusterBalancer
    ) -> Duration? {
        // Other instances of a cluster that has no connection to spare have none either.
        guard policy.scope.isPerInstance, !exchange.attempt.isCrowdedOut,
            exchange.error?.reason == .circuitOpen || exchange.error?.reason == .bulkheadFull,
            exchange.balancing.failed.count + 1 < min(balancer.set.endpoints.count, Self.mostPassedOver)
        else { return nil }
        exchange.balancing.failed.append(balancer.set.endpoints[exchange.balancing.index])
        return .zero
    }

    /// Instances that one request is offered to.
    private static let mostPassedOver = 16

    private static func isRetriable(_ exchange: borrowing Exchange, _ policy: RetryPolicy) -> Bool {
        switch exchange.outcome {
        case .listedStatus, .unwantedStatus, .connectFailed: true
        case .upstreamFailed:
            exchange.error?.reason == .upstreamTimeout
                ? !policy.isFailover : exchange.error?.reason.isRetriable ?? false
        case .open, .answered, .diedInBody, .clientFault, .refused, .replied, .noInstance, .callOver: false
        }
    }

    /// Whether a repetition can do no harm that one request alone could not.
    private static func mayRepeat(_ exchange: borrowing Exchange, _ policy: RetryPolicy) -> Bool {
        if !exchange.attempt.wasSent { return true }
        if exchange.attempt.isUnseen { return exchange.hasWholeBody }
        // More may be kept, for those who say that nobody has looked at it.
        return exchange.hasWholeBody && exchange.requestBytes <= policy.maxBody
            && (exchange.request.method.isIdempotent || policy.includesNonIdempotent)
    }
}
