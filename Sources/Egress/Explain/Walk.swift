// SPDX-License-Identifier: Apache-2.0

import Common
import NIOCore
import Proxy

extension Explainer {
    /// One pass through the chain.
    struct Walk {
        let explainer: Explainer
        let target: Target
        var explanation: Explanation
        /// The route that decides.
        private var rule: Route?
        private var mark: Mark?
        private var reply: LocalReply?
        private var endpoints: [String] = []
        /// What becomes of the shares that have no instances, when others have some; and how many percent they are.
        private var failure: (reply: LocalReply, percent: Double)?

        init(explainer: Explainer, target: Target, explanation: Explanation) {
            self.explainer = explainer
            self.target = target
            self.explanation = explanation
        }

        private var policy: ServicePolicy { self.target.policy }
        private var now: NIODeadline { self.explainer.now }

        mutating func step(_ handler: String, _ request: borrowing Request) {
            switch handler {
            case "traffic-marker": self.marker(request)
            case "router": self.router(request)
            case "ratelimiter-consumer": self.limit(handler, self.policy.limit, self.policy.limiter)
            case "rate-limiter":
                let mark = self.mark ?? self.explainer.marks.mark(for: request.head, request.headers).mark
                self.limit(handler, mark.limit?.rate, mark.limiter)
            case "bizkeeper-consumer": self.circuit()
            case "fault-inject": self.fault()
            case "loadbalance": self.balance()
            default: self.add(handler, "nothing to tell")
            }
        }

        /// The explanation with its end.
        mutating func finish() -> Explanation {
            let action = self.rule?.action
            let timeout =
                action?.limits.head ?? self.policy.resilience.timeout
                ?? Duration(self.explainer.config.proxy.firstByte)
            var details: [String] = []
            if timeout > .zero {
                self.explanation.timeoutSeconds = timeout / .seconds(1)
                details.append("no answer within \(DurationText.write(timeout)) is a failure")
            } else {
                details.append("an answer may take any time")
            }
            let retry = action?.retry?.policy ?? self.policy.retry
            if let named = action?.retry, !named.conditions.isEmpty, retry.isEnabled {
                let tries = retry.onNext == 1 ? "one more try" : "up to \(retry.onNext) more tries"
                let codes = named.statuses.sorted().map { " \($0)" }.joined(separator: ",")
                details.append("after \(named.conditions): \(tries)")
                if !codes.isEmpty { details.append("retriable-status-codes are\(codes)") }
            } else if retry.isEnabled, self.target.chain == .services {
                let same = retry.onSame > 0 ? "\(retry.onSame) more on the same instance, " : ""
                details.append(
                    "after a failure: \(same)up to \(retry.onNext) other instance\(retry.onNext == 1 ? "" : "s")")
                let statuses = (action?.retry?.statuses ?? []).sorted().map(String.init)
                if !statuses.isEmpty { details.append("so after the status \(statuses.joined(separator: ", "))") }
            }
            self.add("transport", "sends the request", details)
            if let reply = self.reply {
                self.explanation.answer = .init(reply)
            } else {
                let reply = self.failure?.reply
                self.explanation.answer = .init(
                    isForwarded: true, endpoints: self.endpoints, status: reply?.status,
                    reason: reply?.reason?.rawValue, body: reply?.body, failingPercent: self.failure?.percent)
            }
            return self.explanation
        }

        private mutating func add(_ handler: String, _ summary: String, _ details: [String] = []) {
            self.explanation.steps.append(.init(handler: handler, summary: summary, details: details))
        }

        /// The handler answers, if none has before.
        private mutating func refuse(_ error: ProxyError) {
            self.answer(LocalReply(error, self.policy.host?.profile ?? .serviceComb))
        }

        private mutating func answer(_ reply: LocalReply) {
            guard self.reply == nil else { return }
            self.reply = reply
            self.explanation.steps[self.explanation.steps.count - 1].isAnswer = true
        }

        // MARK: Handlers

        private mutating func marker(_ request: borrowing Request) {
            let (mark, isPassedOn) = self.explainer.marks.mark(for: request.head, request.headers)
            self.mark = mark
            let travels = isPassedOn ? "; goes along as X-Mark" : ""
            self.add("traffic-marker", mark.name == "none" ? "no mark" : "marked \(mark.name)\(travels)")
        }

        private mutating func router(_ request: borrowing Request) {
            guard let routes = self.policy.host else {
                self.add("router", "no rules: the newest version")
                return
            }
            for rule in routes.routes {
                let failure = self.rule == nil ? self.failure(of: rule, request) : nil
                let isTried = self.rule == nil
                if isTried, failure == nil { self.rule = rule }
                self.explanation.rules.append(
                    .init(
                        precedence: rule.precedence, location: rule.location.description,
                        isMatch: isTried ? failure == nil : nil,
                        reason: isTried ? failure ?? Self.description(of: rule) : "not tried"))
            }
            guard let rule = self.rule else {
                guard routes.unmatched == .notFound else {
                    self.add("router", "none of \(routes.routes.count) rules: the newest version")
                    return
                }
                self.add("router", "none of \(routes.routes.count) routes")
                self.refuse(ProxyError(.noRule, "no route"))
                return
            }
            let effects = (rule.action.map { Self.effects(of: $0) } ?? []) + Self.mirrors(of: rule, routes)
            if let name = rule.name {
                self.add("router", "route \(name) at \(rule.location)", effects)
            } else if routes.unmatched == .notFound {
                self.add("router", "route at \(rule.location)", effects)
            } else {
                self.add("router", "rule at \(rule.location), precedence \(rule.precedence)")
            }
            self.hinder(rule)
            switch rule.action?.answer {
            case .reply(let fixed): self.answer(LocalReply(status: fixed.status, body: fixed.body))
            case .redirect(let redirect): self.answer(LocalReply(status: redirect.status))
            case nil: break
            }
            // All of them: one target alone is like an answer of the route.
            guard rule.targets.count == 1, case .reply(let fixed)? = rule.targets[0].action?.answer else { return }
            self.answer(LocalReply(status: fixed.status, body: fixed.body))
        }

        /// What the route's own limit and faults would do.
        private mutating func hinder(_ rule: Route) {
            if let index = self.policy.host?.routes.firstIndex(where: { $0.location == rule.location }),
                let limiter = self.policy.effects[index]?.limiter, let limit = rule.action?.limit
            {
                let available = limiter.available(at: self.now)
                self.explanation.limits.append(.init(handler: "router", rate: limit.rate, available: available))
                if available < 1 { self.refuse(ProxyError(.rateLimited)) }
            }
            guard let fault = rule.action?.fault, let status = fault.abortStatus, fault.abortShare >= RouteFault.all,
                fault.fields.isEmpty
            else { return }
            self.refuse(ProxyError(.faultInjected, status: status))
        }

        static func percent(_ share: Int) -> String {
            let percent = Double(share) * 100 / Double(RouteFault.all)
            return percent == percent.rounded() ? "\(Int(percent)) %" : "\(percent) %"
        }

        /// What a route does besides choosing a cluster, a line for each.
        private static func effects(of action: RouteAction) -> [String] {
            var lines: [String] = []
            switch action.rewrite {
            case .prefix(_, let path), .bytes(_, let path):
                let text = String(decoding: path, as: UTF8.self)
                lines.append(path.isEmpty ? "the prefix of the path goes" : "the prefix of the path becomes \(text)")
            case .whole(let path): lines.append("the path becomes \(String(decoding: path, as: UTF8.self))")
            case .pattern(let pattern):
                lines.append("\(pattern.pattern) becomes \(pattern.substitution) in the path")
            case nil: break
            }
            if let host = action.host { lines.append("Host becomes \(host)") }
            if let field = action.extras.hostField { lines.append("Host becomes what \(field) says") }
            if action.extras.refusesUpgrades { lines.append("no upgrade is allowed") }
            for (side, edits) in [("request", action.requestEdits), ("answer", action.responseEdits)] {
                for edit in edits { lines.append("\(edit) in the \(side)") }
            }
            if let limit = action.limits.call, limit > .zero {
                lines.append("the call has \(DurationText.write(limit))")
            }
            if let stream = action.limits.stream {
                if let whole = stream.whole { lines.append("the call has \(DurationText.write(whole)) in all") }
                if let most = stream.asked, most > .zero {
                    lines.append("calls of gRPC get \(DurationText.write(most)) of what they ask for at most")
                }
                if let silence = stream.silence {
                    lines.append("after a silence of \(DurationText.write(silence)) it ends")
                }
            }
            if let cors = action.extras.cors {
                lines.append(
                    cors.allowsAll
                        ? "pages of all origins may read the answer"
                        : "pages may read the answer whose origin \(cors.origins.map { "\($0)" }.joined(separator: ", or "))"
                )
            }
            if let limit = action.limit { lines.append("\(limit.rate) a second are let through") }
            if let fault = action.fault {
                if !fault.fields.isEmpty {
                    lines.append("where \(fault.fields.map { "\($0)" }.joined(separator: " and ")):")
                }
                if let most = fault.most { lines.append("of at most \(most) requests at a time:") }
                if let delay = fault.delay {
                    lines.append("\(Self.percent(fault.delayShare)) delayed by \(DurationText.write(delay))")
                }
                if let status = fault.abortStatus {
                    lines.append("\(Self.percent(fault.abortShare)) answered with \(status)")
                }
            }
            return lines
        }

        private static func description(of rule: Route) -> String {
            switch rule.match {
            case .always: "takes every request"
            case .request(let match) where match.share != nil:
                "takes \(match.share ?? 0) of a million requests that are so, at random"
            case .request, .never: "everything it asks for is there"
            case .marked(let policy): "the request is marked \(policy.name), or would be"
            }
        }

        /// Why a request is not one of a rule's; `nil` when it is.
        private func failure(of rule: Route, _ request: borrowing Request) -> String? {
            if rule.matches(request.head, request.headers, mark: self.mark?.name) {
                guard rule.match.isPossible(for: request.caller) else {
                    return Self.callerFailure(rule, request.caller)
                }
                if case .request(let match) = rule.match { return Self.rareFailure(of: match, request) }
                return nil
            }
            switch rule.match {
            case .always: return nil
            case .never: return "nothing is called \(rule.reference ?? "")"
            case .marked(let policy): return "not marked \(policy.name)"
            case .request(let match):
                if !rule.match.isPossible(for: request.caller) { return Self.callerFailure(rule, request.caller) }
                for header in match.headers {
                    if let failure = Self.failure(of: header, request) { return failure }
                }
                return "method, path or query differ"
            }
        }

        /// Which condition of a control plane's route does not hold; `nil` for none.
        ///
        /// A share of requests is all of them.
        private static func rareFailure(of match: RequestMatch, _ request: borrowing Request) -> String? {
            for field in match.fields where !field.holds(for: request.head, request.headers) {
                return "not so: \(field)"
            }
            return match.isGRPC && !request.headers.isGRPC ? "only for calls of gRPC" : nil
        }

        private static func callerFailure(_ rule: Route, _ caller: ServiceIdentity) -> String {
            guard case .request(let match) = rule.match else { return "" }
            if let source = match.source, source != caller.name {
                return "only for calls of \(source), not \(caller.name)"
            }
            let tags = match.sourceTags.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
            return "only for callers with \(tags.joined(separator: ", "))"
        }

        private static func failure(of header: HeaderMatch, _ request: borrowing Request) -> String? {
            var index: Int?
            for name in header.lowercasedNames where index == nil {
                index = request.headers.firstIndex(ofLowercased: name)
            }
            guard let index else { return header.acceptsAbsence ? nil : "\(header.name) is absent" }
            return request.headers.withValue(at: index) { value in
                let failed = header.operators.first { !$0.matches(value) }
                return failed.map { "\(header.name) \($0): is \"\(value.string(in: 0..<value.byteCount))\"" }
            }
        }

        private mutating func limit(_ handler: String, _ rate: Int?, _ limiter: RateLimiter?) {
            guard let rate, let limiter else {
                self.add(handler, "no limit")
                return
            }
            let available = limiter.available(at: self.now)
            self.explanation.limits.append(.init(handler: handler, rate: rate, available: available))
            self.add(handler, "\(rate) a second; \(available) would pass now")
            if available < 1 { self.refuse(ProxyError(.rateLimited)) }
        }

        private mutating func circuit() {
            let resilience = self.policy.resilience
            let report = self.policy.circuit.report(at: self.now)
            let inFlight = self.policy.circuit.inFlight
            let state = report.state.text
            self.explanation.breaker = .init(
                isEnabled: resilience.breaker.isEnabled, state: state, requests: report.requests,
                errors: report.errors, untilTrialSeconds: report.untilTrial.map { $0 / .seconds(1) },
                inFlight: inFlight, limit: resilience.maxConcurrent)
            var details = ["\(inFlight) of \(resilience.maxConcurrent) requests are on their way"]
            if self.policy.scope.isPerInstance { details.append("each instance has a circuit of its own") }
            if let wait = report.untilTrial { details.append("next trial in \(Self.seconds(wait)) s") }
            let counts = "\(report.errors) of \(report.requests) failed in ten seconds (\(report.errorPercentage) %)"
            self.add(
                "bizkeeper-consumer", resilience.breaker.isEnabled ? "\(state); \(counts)" : "breaker off", details)
            let isOpen = resilience.breaker.isEnabled && report.state != .closed && report.untilTrial != .zero
            if resilience.fallback.isForced {
                self.fallBack(.forced)
            } else if isOpen {
                self.fallBack(.open)
            } else if inFlight >= resilience.maxConcurrent {
                self.fallBack(.full)
            }
        }

        private mutating func fallBack(_ refusal: CircuitBreakerStage.Refusal) {
            switch CircuitBreakerStage.fallBack(self.policy, refusal) {
            case .reply(let reply): self.answer(reply)
            case .reject(let error): self.refuse(error)
            case .proceed, .hold, .again: break
            }
        }

        private mutating func fault() {
            guard let fault = self.policy.fault else {
                self.add("fault-inject", "no faults")
                return
            }
            var parts: [String] = []
            if let delay = fault.delay {
                parts.append("\(fault.delayPercent) % delayed by \(DurationText.write(delay))")
            }
            if let status = fault.abortStatus { parts.append("\(fault.abortPercent) % answered with \(status)") }
            self.add("fault-inject", parts.joined(separator: ", "))
            if let status = fault.abortStatus, fault.abortPercent >= 100 {
                self.refuse(ProxyError(.faultInjected, status: status))
            }
        }

        // MARK: Instances

        private mutating func balance() {
            guard self.target.chain == .services else { return }
            let service = self.target.service
            guard self.reply == nil || self.rule?.targets.isEmpty != true else { return }
            let caller = self.explainer.rules.caller
            let total = max(1, self.rule?.targets.reduce(0) { $0 + $1.weight } ?? 1)
            var shares: [(percent: Double, name: String?, owner: String, set: EndpointSet)] = []
            var answers: [Explanation.Share] = []
            var instances: [Instance] = []
            var strategies: [String] = []
            for target in self.rule?.targets ?? [] {
                let percent = Double(target.weight) * 100 / Double(total)
                guard let cluster = self.policy.host?.cluster(of: target) else {
                    answers.append(.init(percent: percent, tags: Self.words(target), endpoints: []))
                    continue
                }
                let strategy = (cluster.settings?.strategy ?? self.policy.balancing.strategy).rawValue
                if !strategies.contains(strategy) { strategies.append(strategy) }
                let (owner, set) = self.explainer.governance.endpoints(
                    of: cluster, service, caller, near: self.policy.region, in: self.explainer.directory)
                for instance in owner?.instances ?? [] where !instances.contains(where: { $0 === instance }) {
                    instances.append(instance)
                }
                shares.append((percent, cluster.name, Self.owner(of: cluster, service), set))
            }
            if shares.isEmpty, answers.isEmpty, self.policy.host?.unmatched != .notFound {
                let set = service.endpoints(matching: InstanceTags(), ownApp: caller.app, near: self.policy.region)
                shares = [(100, nil, service.name, set)]
                instances = service.instances
            }
            self.explanation.shares =
                shares.map { percent, name, _, set in
                    .init(percent: percent, tags: name ?? set.tags.label, endpoints: set.endpoints.map(\.description))
                } + answers
            // Two shares may have the same instances.
            var seen: Set<ObjectIdentifier> = []
            let remaining = shares.flatMap(\.set.endpoints).filter { seen.insert(ObjectIdentifier($0)).inserted }
            // Where none may be chosen, any is from which no operator holds requests back.
            let open = remaining.filter { !$0.health.isWithheld }
            let healthy = open.filter { !$0.health.isEjected(at: self.now) }
            let available = healthy.isEmpty ? open : healthy
            let others = remaining.count { endpoint in
                !instances.contains { $0.endpoints.contains { $0 === endpoint } }
            }
            self.explanation.candidates = instances.map { instance in
                self.candidate(instance, remaining, shares.map(\.set.tags), caller)
            }
            self.endpoints = available.map(\.description)
            if strategies.isEmpty { strategies = [self.policy.balancing.strategy.rawValue] }
            let ejected = open.count - healthy.count
            self.add(
                "loadbalance",
                "\(strategies.joined(separator: " and ")) over \(available.count) of \(instances.count + others) instances\(ejected > 0 ? ", \(ejected) ejected" : "")",
                (self.policy.region == nil ? [] : ["instances of the own zone or region are preferred"])
                    + shares.compactMap(\.name).flatMap { name in
                        ["clusters", "endpoints"].compactMap { self.explainer.refusal(of: $0, name) }
                    }
                    + Self.clusters(of: self.rule, self.policy, near: self.explainer.rules.governance.region)
                    + remaining.compactMap { Self.order(of: $0) })
            // A share without instances fails; the others do not.
            let empty = shares.filter { $0.percent > 0 && $0.set.endpoints.allSatisfy(\.health.isWithheld) }
            guard let first = empty.first else { return }
            let error = LoadBalanceStage.noInstance(of: first.owner, first.set)
            if open.isEmpty, answers.isEmpty {
                self.refuse(error)
            } else {
                self.failure = (
                    LocalReply(error, self.policy.host?.profile ?? .serviceComb), empty.reduce(0) { $0 + $1.percent }
                )
            }
        }

        private func candidate(
            _ instance: Instance, _ remaining: [Endpoint], _ tags: [EndpointSet.Tags], _ caller: ServiceIdentity
        ) -> Explanation.Candidate {
            // Clusters that speak HTTP/2 have endpoints of another protocol.
            let chosen = instance.endpoints.first { endpoint in remaining.contains { $0 === endpoint } }
            let endpoint = chosen ?? instance.endpoints.first { $0.protocolName == "rest" }
            let order = chosen?.health.order
            let remains = chosen != nil && order == nil
            let left = endpoint.flatMap { $0.health.ejectionLeft(at: self.now) }
            return Explanation.Candidate(
                endpoint: endpoint?.description ?? "", version: instance.version, app: instance.app,
                status: instance.status.rawValue, remains: remains,
                reason: remains ? "" : order.map(Self.words) ?? Self.reason(against: instance, endpoint, tags),
                leftOutSeconds: left.map { $0 / .seconds(1) })
        }

        /// A line for an endpoint that an operator holds requests back from.
        private static func order(of endpoint: Endpoint) -> String? {
            endpoint.health.order.map { "\(endpoint) \(Self.words($0))" }
        }

        private static func words(_ order: OperatorOrder) -> String {
            switch order {
            case .disabled: "is disabled by an operator"
            case .draining: "is drained by an operator: only sessions that stick to it go there"
            }
        }

        private static func reason(
            against instance: Instance, _ endpoint: Endpoint?, _ tags: [EndpointSet.Tags]
        ) -> String {
            if endpoint == nil { return "has no endpoint for HTTP" }
            if !instance.status.isEligible { return "is \(instance.status.rawValue)" }
            if !instance.app.isEmpty, !tags.contains(where: { $0.app == instance.app }) { return "other application" }
            if !tags.contains(where: { $0.version == instance.version }) { return "other version" }
            for tag in tags {
                for (name, value) in tag.properties.sorted(by: { $0.key < $1.key })
                where instance.properties[name] != value {
                    return "\(name) is not \(value)"
                }
            }
            return "farther away"
        }

        private static func seconds(_ duration: Duration) -> String {
            String(Double(Int(duration / .milliseconds(100))) / 10)
        }
    }
}
