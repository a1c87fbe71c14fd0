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
    private let readiness: Readiness
    private let logger: Logger

    /// A component that owns `plans`.
    ///
    /// - Parameter readiness: Says when this sidecar is taken out of service.
    package init(
        inbox: Mailbox<TrafficMessage>, plans: Snapshot<TrafficPlan>, traffic: TrafficControl, readiness: Readiness,
        logger: Logger
    ) {
        self.inbox = inbox
        self.plans = plans
        self.traffic = traffic
        self.readiness = readiness
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
            ending: previous?.ending ?? .none)
    }

    package func run() async throws {
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await self.readInbox() }
            group.addTask { await self.announceEnd() }
        }
    }

    private func readInbox() async {
        while let message = await self.inbox.receive() {
            switch message {
            case .configurationChanged(let config):
                self.traffic.publish(
                    Self.plan(config, upon: self.plans.current), to: self.plans)
                self.logger.info("incoming traffic plan published")
            }
        }
    }

    /// Accepts on until the process stops.
    private func announceEnd() async {
        await self.readiness.waitForDraining()
        // A stop says so itself, at its own time.
        if !Task.isCancelled, !self.readiness.isStopping { await self.traffic.announceEnd(self.plans) }
    }

    package func drain() async { await self.traffic.drain(self.plans) }
}
