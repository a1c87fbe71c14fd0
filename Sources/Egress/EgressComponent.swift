// SPDX-License-Identifier: Apache-2.0

package import Common
package import Logging
package import Proxy

/// Traffic that leaves: publishes the plan of the outgoing listener, and drains it.
///
/// The listener and its connections live on while this component restarts: they obey the plan that was published last.
package actor EgressComponent: Component {
    private let inbox: Mailbox<TrafficMessage>
    private let plans: Snapshot<TrafficPlan>
    private let traffic: TrafficControl
    private let token: HopToken
    private let logger: Logger

    /// A component that owns `plans`.
    ///
    /// - Parameter token: The same for every restart and every plan.
    package init(
        inbox: Mailbox<TrafficMessage>, plans: Snapshot<TrafficPlan>, traffic: TrafficControl, token: HopToken,
        logger: Logger
    ) {
        self.inbox = inbox
        self.plans = plans
        self.traffic = traffic
        self.token = token
        self.logger = logger
    }

    /// The plan that a configuration asks for.
    ///
    /// - Parameter previous: What held until now.
    package static func plan(_ config: MesherConfig, token: HopToken, upon previous: TrafficPlan? = nil) -> TrafficPlan
    {
        let marks = Marks(config.rules, upon: previous?.marks)
        let stages = EgressStages(
            config, own: OwnListeners(config.listeners), resolver: Resolvers.make(config.resolvers.http),
            grpc: Resolvers.make(config.resolvers.grpc), token: token, marks: marks)
        return TrafficPlan(
            direction: .outgoing, chain: StageChain(stages.inOrder, external: stages.external),
            settings: config.proxy, trust: config.trust, failureStatuses: config.governance.failureStatuses,
            marks: marks, records: ExchangeRecord.Uses(config.governance.chains.outgoing, config),
            mirrors: StageChain(stages.mirrors), routesByHost: config.resolvers.readsHost,
            ending: previous?.ending ?? .none)
    }

    package func run() async throws {
        while let message = await self.inbox.receive() {
            switch message {
            case .configurationChanged(let config):
                self.traffic.publish(
                    Self.plan(config, token: self.token, upon: self.plans.current), to: self.plans)
                self.logger.info("outgoing traffic plan published")
            }
        }
    }

    package func drain() async { await self.traffic.drain(self.plans) }
}
