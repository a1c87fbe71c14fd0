// SPDX-License-Identifier: Apache-2.0

package import Common
package import Logging
package import Proxy

/// Traffic that enters: publishes the plan of the incoming listener, and drains it.
///
/// The listener and its connections live on while this component restarts: they obey the plan that was published last.
package actor IngressComponent: Component {
    private let inbox: Mailbox<TrafficMessage>
    private let plans: Snapshot<TrafficPlan>
    private let traffic: TrafficControl
    private let logger: Logger

    /// A component that owns `plans`.
    package init(
        inbox: Mailbox<TrafficMessage>, plans: Snapshot<TrafficPlan>, traffic: TrafficControl, logger: Logger
    ) {
        self.inbox = inbox
        self.plans = plans
        self.traffic = traffic
        self.logger = logger
    }

    /// The plan that a configuration asks for.
    ///
    /// - Parameter previous: What held until now.
    package static func plan(_ config: MesherConfig, upon previous: TrafficPlan? = nil) -> TrafficPlan {
        let policy = ProviderPolicy(config, upon: previous?.provider)
        return TrafficPlan(
            direction: .incoming, chain: StageChain(IngressStages(config, policy).inOrder), settings: config.proxy,
            trust: config.trust, failureStatuses: config.governance.failureStatuses, provider: policy,
            records: ExchangeRecord.Uses(config.governance.chains.incoming, config),
            isDraining: previous?.isDraining ?? false)
    }

    package func run() async throws {
        while let message = await self.inbox.receive() {
            switch message {
            case .configurationChanged(let config):
                self.traffic.publish(
                    Self.plan(config, upon: self.plans.current), to: self.plans)
                self.logger.info("incoming traffic plan published")
            }
        }
    }

    package func drain() async { await self.traffic.drain(self.plans) }
}
