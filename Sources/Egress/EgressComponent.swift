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
    package static func plan(_ config: MesherConfig, token: HopToken, isDraining: Bool = false) -> TrafficPlan {
        let stages = EgressStages(
            own: OwnListeners(config.listeners), identity: config.identity,
            resolver: Resolvers.make(config.resolvers.http), token: token)
        return TrafficPlan(
            direction: .outgoing, chain: StageChain(stages.inOrder), settings: config.proxy, trust: config.trust,
            isDraining: isDraining)
    }

    package func run() async throws {
        while let message = await self.inbox.receive() {
            switch message {
            case .configurationChanged(let config):
                self.traffic.publish(
                    Self.plan(config, token: self.token, isDraining: self.plans.current.isDraining), to: self.plans)
                self.logger.info("outgoing traffic plan published")
            }
        }
    }

    package func drain() async { await self.traffic.drain(self.plans) }
}
