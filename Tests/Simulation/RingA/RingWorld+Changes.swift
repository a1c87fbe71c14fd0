// SPDX-License-Identifier: Apache-2.0

import Common
@testable import Egress
@testable import Ingress
import Logging
import NIOCore
@testable import Proxy
import SimulationSupport

/// What holds, and how schedules change it.
extension RingWorld {
    /// Publishes plans of another configuration.
    func changePlan() {
        let constants = Self.constants
        let number = self.schedule.draw(Variants.all.count)
        let config = Variants.all[number]
        self.note("configuration \(number)")
        self.publish(config)
        let marks = Marks(config.rules, upon: self.outgoing.marks)
        let stages = EgressStages(
            config, own: constants.own[number], resolver: constants.http, grpc: constants.grpc, token: constants.token,
            marks: marks)
        var chain: [any Stage] = [FrontProbe(self)]
        for stage in stages.inOrder {
            chain.append(stage)
            if stage is LoadBalanceStage { chain.append(TryProbe(self)) }
        }
        self.outgoing = TrafficPlan(
            direction: .outgoing, chain: StageChain(chain), settings: config.proxy, trust: config.trust,
            failureStatuses: config.governance.failureStatuses, marks: marks,
            mirrors: StageChain(stages.mirrors + [MirrorProbe(self)]))
        let provider = ProviderPolicy(config, upon: self.incoming.provider)
        self.incoming = TrafficPlan(
            direction: .incoming,
            chain: StageChain(
                [FrontProbe(self)] + IngressStages(config, provider).inOrder + [TryProbe(self)]),
            settings: config.proxy, trust: config.trust, failureStatuses: config.governance.failureStatuses,
            provider: provider)
        self.tunnels = TrafficPlan(
            direction: .outgoing, chain: StageChain([FrontProbe(self), TunnelStage(), TryProbe(self)]),
            settings: config.proxy)
        self.providers.append(provider)
    }

    /// Publishes the rules of another configuration, and leaves the plans as they are: between the two publications of a
    /// reload a loop may see one of them only.
    func changeRules() {
        let number = self.schedule.draw(Variants.all.count)
        self.note("rules of configuration \(number)")
        self.publish(Variants.all[number])
    }

    private func publish(_ config: MesherConfig) {
        self.remember()
        let rules = MeshRules(config, upon: self.mesh.current.rules)
        self.mesh.publish(Mesh(self.mesh.current.services, rules))
    }

    /// What governed services stays to be judged when it has been replaced.
    private func remember() {
        for policy in self.worker.governance.services.values { self.policies[ObjectIdentifier(policy)] = policy }
    }

    /// All that has governed services.
    func allPolicies() -> [ServicePolicy] {
        self.remember()
        return Array(self.policies.values)
    }

    /// Publishes a directory with other instances.
    func changeDirectory() {
        var builder = ServiceDirectoryBuilder(upon: self.mesh.current.services, ownApp: "default")
        var instances: [Instance] = []
        let mask = self.schedule.pick([0b011, 0b001, 0b111, 0b110, 0b000, 0b101])
        self.note("instances \(mask)")
        for number in 0..<3 where mask & 1 << number != 0 {
            let texts = ["rest://10.0.0.\(number):80", "grpc://10.0.0.\(number):81"]
            let made = texts.compactMap { try? builder.endpoint($0) }
            for endpoint in made where !self.endpoints.contains(where: { $0 === endpoint }) {
                self.endpoints.append(endpoint)
            }
            instances.append(
                Instance(
                    id: "\(number)", version: "1.0", app: "default", status: .up,
                    properties: ["lane": number == 2 ? "b" : "a"], endpoints: made))
        }
        builder.add("cart", instances)
        builder.isComplete = false
        if self.schedule.draw(3) == 1 { builder.add("late", instances) }
        self.mesh.publish(Mesh(builder.build(), self.mesh.current.rules))
    }

    /// Uses up what the service may have sent again.
    func drainBudget() {
        guard let service = self.mesh.current.services["cart"] else { return }
        let state = self.worker.state(of: service)
        self.note("the budget of retries is used up")
        while state.budget.mayRetry(at: self.loop.now) {}
        self.drained = (state, self.loop.now, self.eventNumber)
        self.sentAgain = 0
    }
}
