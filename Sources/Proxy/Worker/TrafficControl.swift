// SPDX-License-Identifier: Apache-2.0

package import Common
package import Logging

/// What the component of one direction has in its hands: makes a new plan hold, and ends the traffic without losing a
/// request.
///
/// - Source: promises U1 and U2.
package struct TrafficControl: Sendable {
    private let listeners: [Listener]
    private let workers: WorkerGroup
    private let budgets: [ConnectionBudget]
    private let logger: Logger
    /// How long to accept on before anything else, so that callers have learned that this instance is leaving.
    private let notice: @Sendable () -> Duration
    /// The same at least, where nothing but the announcement is awaited.
    private let farewell: Duration

    /// Control of `listeners`, whose connections `budgets` count.
    package init(
        listeners: [Listener], budgets: [ConnectionBudget], workers: WorkerGroup, logger: Logger,
        notice: @escaping @Sendable () -> Duration = { .zero }, farewell: Duration = .zero
    ) {
        self.listeners = listeners
        self.budgets = budgets
        self.workers = workers
        self.logger = logger
        self.notice = notice
        self.farewell = farewell
    }

    /// Goes on accepting; when callers have had their time to learn that this instance is leaving, every answer tells
    /// those that have not to go elsewhere.
    package func announceEnd(_ plans: Snapshot<TrafficPlan>) async {
        let notice = max(self.notice(), self.farewell)
        if notice > .zero { try? await Task.sleep(for: notice) }
        let plan = plans.current
        guard plan.ending == .none, !Task.isCancelled else { return }
        plans.publish(plan.ending(.announced))
        _ = try? await self.workers.gather { $0.announceEnd(plan.direction) }
    }

    /// Returns when the last connection is closed, or when the task is cancelled.
    package func drain(_ plans: Snapshot<TrafficPlan>) async {
        let notice = self.notice()
        if notice > .zero { try? await Task.sleep(for: notice) }
        let plan = plans.current
        let direction = plan.direction
        plans.publish(plan.ending(.begun))
        // Every loop obeys it before clients can see that the listener is gone: from then on each answer is the last.
        _ = try? await self.workers.gather { _ in }
        for listener in self.listeners { await listener.stopAccepting() }
        self.workers.forEach { $0.closeIdleConnections(direction) }
        while self.budgets.contains(where: { $0.current > 0 }), !Task.isCancelled {
            try? await Task.sleep(for: .milliseconds(10))
        }
        let cut = self.budgets.reduce(0) { $0 + $1.current }
        if cut > 0 {
            self.logger.warning(
                "connections cut: they were still in use at the end of the graceful stop",
                metadata: ["direction": "\(direction.rawValue)", "connections": "\(cut)"])
            // So that clients learn what has become of their calls, and not only that a connection is gone.
            _ = try? await self.workers.gather { $0.cutConnections(direction) }
        }
    }

    /// Publishes a plan, and makes its settings hold for what is open already: how many connections there may be, and how
    /// long idle ones wait.
    package func publish(_ plan: TrafficPlan, to plans: Snapshot<TrafficPlan>) {
        let settings = plan.settings
        for budget in self.budgets { budget.setLimit(settings.maxConnections) }
        self.workers.overload.setLimit(settings.maxMemory)
        for listener in self.listeners { listener.reconsider() }
        plans.publish(plan)
        self.workers.forEach { $0.apply(settings) }
    }
}
