// SPDX-License-Identifier: Apache-2.0

package import Common
package import Logging
package import NIOCore
package import Proxy
import Synchronization

/// What operators have done to this sidecar while it runs: carries it out, and keeps what is in force.
///
/// What is decided of an instance is kept by its address, and marked on its endpoints, which the balancers pass over as if
/// they were ejected. It outlives what registries say: an instance that goes and comes back to the same address is what it
/// was. A restart forgets all of it.
package final class Operations: Sendable {
    /// More than this nobody oversees.
    private static let most = 1_000

    private struct Key: Hashable {
        let service: String
        let instance: String
        let app: String?
    }

    private struct Entry {
        let order: OperatorOrder
        let since: Double
    }

    private struct State {
        var entries: [Key: Entry] = [:]
        /// The endpoints that are marked, kept alive: an instance may be left by its registry, and its endpoint come back.
        var marked: [ObjectIdentifier: Endpoint] = [:]
        var counts: [OperatorRequest.Action: Int] = [:]
    }

    /// Also held while endpoints are marked and a mesh is published, so that no endpoint is published unmarked.
    private let state = Mutex(State())
    private let members: MeshMembers
    private let governance: Governance
    private let mesh: Snapshot<Mesh>
    private let logger: Logger

    /// Nothing is in force.
    package init(mesh: Snapshot<Mesh>, governance: Governance, logger: Logger) {
        self.mesh = mesh
        self.governance = governance
        self.members = MeshMembers(governance)
        self.logger = logger
    }

    /// Marks the endpoints of a mesh that is about to be published, and publishes it.
    ///
    /// Cost: none while nothing is in force; else a look at each host with routes for each name that something was decided
    /// about.
    package func publish(_ mesh: Mesh) {
        self.state.withLock { state in
            if !state.entries.isEmpty || !state.marked.isEmpty {
                var lookup = MemberLookup(self.members, mesh)
                Self.mark(&state, &lookup)
            }
            self.mesh.publish(mesh)
        }
    }

    /// Has just those endpoints marked that something in force is about.
    private static func mark(_ state: inout State, _ lookup: inout MemberLookup) {
        var (marked, orders): ([ObjectIdentifier: Endpoint], [ObjectIdentifier: OperatorOrder]) = ([:], [:])
        for (key, entry) in state.entries {
            for endpoint in Self.found(key, &lookup).flatMap(\.endpoints) {
                let id = ObjectIdentifier(endpoint)
                marked[id] = endpoint
                // Two names may lead to it only since a registry has changed: the stricter one holds.
                if orders[id] != .disabled { orders[id] = entry.order }
            }
        }
        for (id, endpoint) in state.marked where marked[id] == nil { endpoint.health.set(nil) }
        for (id, endpoint) in marked where endpoint.health.order != orders[id] { endpoint.health.set(orders[id]) }
        state.marked = marked
    }

    /// Does what an operator asks for.
    ///
    /// - Parameter time: In seconds since 1970.
    package func perform(
        _ request: OperatorRequest, at now: NIODeadline, time: Double
    ) throws(OperatorRefusal) -> OperatorAnswer {
        let answer = try self.state.withLock { state throws(OperatorRefusal) in
            let answer = try self.carryOut(request, at: now, time: time, &state)
            state.counts[request.action, default: 0] += 1
            return answer
        }
        self.logger.notice(
            "an operator has decided about a service",
            metadata: [
                "action": "\(answer.action.rawValue)", "service": "\(answer.service)",
                "instance": "\(answer.instance ?? "all")", "changed": "\(answer.changed)",
            ])
        return answer
    }

    private func carryOut(
        _ request: OperatorRequest, at now: NIODeadline, time: Double, _ state: inout State
    ) throws(OperatorRefusal) -> OperatorAnswer {
        guard !request.service.isEmpty else { throw OperatorRefusal(.invalid, "service is missing: name one") }
        var request = request
        if request.app?.isEmpty == true { request.app = nil }
        if let text = request.instance {
            guard let address = Self.address(text) else {
                throw OperatorRefusal(.invalid, "instance \(text) is no address: write 10.0.0.5:8080")
            }
            request.instance = address
        }
        switch request.action {
        case .disable, .drain, .enable:
            guard let instance = request.instance else {
                throw OperatorRefusal(
                    .invalid, "\(request.action.rawValue) is for one instance: name it, as in 10.0.0.5:8080")
            }
            return try self.decide(request, instance, at: now, time: time, &state)
        case .resetCircuit: return try self.resetCircuit(request)
        case .resetEjection: return try self.resetEjection(request, at: now)
        }
    }

    // MARK: Instances

    private func decide(
        _ request: OperatorRequest, _ instance: String, at now: NIODeadline, time: Double, _ state: inout State
    ) throws(OperatorRefusal) -> OperatorAnswer {
        let mesh = self.mesh.current
        var lookup = MemberLookup(self.members, mesh)
        var request = request
        // Names of services may be written in another letter case.
        if let service = mesh.services[request.service] { request.service = service.name }
        let all = self.members.all(of: request.service, in: mesh)
        let meant = (all ?? []).filter { $0.isAt(instance, request.app) }
        let key = Key(service: request.service, instance: instance, app: request.app)
        let endpoints = meant.flatMap(\.endpoints)
        let ids = Set(endpoints.map { ObjectIdentifier($0) })
        // Those of this instance, by whichever of its names and addresses: what is decided belongs to the endpoints.
        let old = state.entries.keys.filter { other in
            if other.service == key.service, other.instance == key.instance {
                return other.app == key.app || other.app == nil || key.app == nil
            }
            return Self.found(other, &lookup).contains { member in
                member.endpoints.contains { ids.contains(ObjectIdentifier($0)) }
            }
        }
        // What is in force can be undone also where there is no such instance any more.
        if meant.isEmpty, request.action != .enable || old.isEmpty {
            throw self.unknown(request, all, in: mesh)
        }
        let order = request.action.order
        guard order == nil || !old.isEmpty || state.entries.count < Self.most else {
            throw OperatorRefusal(.full, "\(Self.most) decisions are in force: enable some of these instances first")
        }
        var answer = OperatorAnswer(request)
        answer.endpoints = Self.texts(of: endpoints)
        answer.changed =
            endpoints.contains { $0.health.order != order } || old.contains { state.entries[$0]?.order != order }
        let since = old.compactMap { state.entries[$0] }.first { $0.order == order }?.since
        for other in old { state.entries[other] = nil }
        if let order { state.entries[key] = Entry(order: order, since: since ?? time) }
        Self.mark(&state, &lookup)
        if order == nil {
            for endpoint in endpoints where endpoint.health.endEjection(at: now) { answer.changed = true }
        }
        if let order, let all { answer.warning = Self.warning(request.service, meant, all, order) }
        return answer
    }

    /// Tells what has nobody left to serve it.
    private static func warning(
        _ service: String, _ meant: [MeshMembers.Member], _ all: [MeshMembers.Member], _ order: OperatorOrder
    ) -> String? {
        let deprived = meant.first { member in
            !all.contains { $0.isAlike(member) && $0.isEligible && $0.endpoints.contains { !$0.health.isWithheld } }
        }
        guard let deprived else { return nil }
        let version = deprived.version.isEmpty ? "" : " of version \(deprived.version)"
        let who = order == .draining ? "requests without a session there fail" : "its requests fail"
        return "no instance of \(service)\(version) is left: \(who) until one is enabled or joins"
    }

    private func unknown(
        _ request: OperatorRequest, _ all: [MeshMembers.Member]?, in mesh: Mesh
    ) -> OperatorRefusal {
        guard let all else {
            let hosts = mesh.rules.routes.hosts
            let clusters = hosts.values.flatMap(\.clusters).compactMap(\.name)
            let names = Self.listed(Array(Set(mesh.services.all.map(\.name) + hosts.keys + clusters)))
            return OperatorRefusal(
                .unknown,
                "no service \(request.service) is known; "
                    + (names.isEmpty ? "nor is any other" : "these are: \(names)"))
        }
        let addresses = Self.listed(Array(Set(all.flatMap(\.endpoints).map(\.hostAndPort))))
        let app = request.app.map { " of application \($0)" } ?? ""
        return OperatorRefusal(
            .unknown,
            "\(request.service) has no instance \(request.instance ?? "")\(app); "
                + (addresses.isEmpty ? "none is known" : "these are known: \(addresses)"))
    }

    private static func listed(_ names: [String]) -> String {
        let sorted = names.sorted()
        let more = sorted.count > 20 ? " and \(sorted.count - 20) more" : ""
        return sorted.prefix(20).joined(separator: ", ") + more
    }

    private static func texts(of endpoints: [Endpoint]) -> [String] { Set(endpoints.map(\.description)).sorted() }

    /// `ip:port`, however it is written: a client may copy what the sidecar shows.
    private static func address(_ text: String) -> String? {
        (try? Endpoint(text.contains("://") ? text : "rest://\(text)"))?.hostAndPort
    }

    private static func found(_ key: Key, _ lookup: inout MemberLookup) -> [MeshMembers.Member] {
        lookup.members(of: key.service, at: key.instance).filter { $0.isOf(key.app) }
    }

    // MARK: Resets

    private func resetCircuit(_ request: OperatorRequest) throws(OperatorRefusal) -> OperatorAnswer {
        let mesh = self.mesh.current
        var request = request
        if let service = mesh.services[request.service] { request.service = service.name }
        var answer = OperatorAnswer(request)
        let policies = self.governance.policies(named: request.service)
        let all = self.members.all(of: request.service, in: mesh)
        if policies.isEmpty, all == nil { throw self.unknown(request, nil, in: mesh) }
        if let instance = request.instance, let all, !all.contains(where: { $0.isAt(instance, request.app) }) {
            throw self.unknown(request, all, in: mesh)
        }
        var states: [String] = []
        for policy in policies {
            let ofInstances = policy.scope.isPerInstance ? policy.circuits.all : [:]
            var circuits = request.instance == nil ? [policy.circuit] : []
            for (text, circuit) in ofInstances
            where request.instance == nil || Self.address(text) == request.instance {
                circuits.append(circuit)
                answer.endpoints.append(text)
            }
            for circuit in circuits { states.append(circuit.reset(at: .now()).text) }
        }
        answer.endpoints.sort()
        answer.circuit = states.first { $0 != "closed" } ?? states.first
        answer.changed = states.contains { $0 != "closed" }
        return answer
    }

    private func resetEjection(
        _ request: OperatorRequest, at now: NIODeadline
    ) throws(OperatorRefusal) -> OperatorAnswer {
        let mesh = self.mesh.current
        var request = request
        if let service = mesh.services[request.service] { request.service = service.name }
        let all = self.members.all(of: request.service, in: mesh)
        let meant = (all ?? []).filter { member in
            request.instance.map { member.isAt($0, request.app) } ?? member.isOf(request.app)
        }
        guard all != nil, !meant.isEmpty || request.instance == nil else { throw self.unknown(request, all, in: mesh) }
        var answer = OperatorAnswer(request)
        answer.endpoints = Self.texts(of: meant.flatMap(\.endpoints).filter { $0.health.endEjection(at: now) })
        answer.changed = !answer.endpoints.isEmpty
        return answer
    }

    // MARK: What is in force

    /// All that is in force.
    package var orders: OperatorOrders {
        self.state.withLock { state in
            var lookup = MemberLookup(self.members, self.mesh.current)
            let entries = state.entries.map { key, entry in
                OperatorOrders.Entry(
                    service: key.service, instance: key.instance, app: key.app, operator: entry.order,
                    since: entry.since, known: !Self.found(key, &lookup).isEmpty)
            }
            return OperatorOrders(entries.sorted { ($0.service, $0.instance) < ($1.service, $1.instance) })
        }
    }

    /// What metrics show of it.
    package func families() -> [MetricFamily] {
        let (entries, counts) = self.state.withLock { ($0.entries.values.map(\.order), $0.counts) }
        var actions = MetricFamily(
            "mesher_operator_actions_total", help: "What operators have done by the admin API.", kind: .counter)
        for action in OperatorRequest.Action.allCases {
            actions.add(Double(counts[action] ?? 0), MetricLabels(["action": action.rawValue]))
        }
        var instances = MetricFamily(
            "mesher_operator_instances", help: "Instances that operators have disabled or drained.", kind: .gauge)
        for order in [OperatorOrder.disabled, .draining] {
            instances.add(Double(entries.count { $0 == order }), MetricLabels(["operator": order.rawValue]))
        }
        return [actions, instances]
    }
}

extension CircuitBreaker.State {
    /// As documents have it.
    package var text: String {
        switch self {
        case .closed: "closed"
        case .open: "open"
        case .halfOpen: "half-open"
        }
    }
}
