// SPDX-License-Identifier: Apache-2.0

package import Common

/// Ends the traffic of one direction without losing a request: stops accepting, closes what is idle, and waits for the
/// rest.
///
/// - Source: promise U1.
package struct TrafficDrain: Sendable {
    private let listeners: [Listener]
    private let workers: WorkerGroup
    private let budgets: [ConnectionBudget]
    /// How long to accept on before anything else, so that callers have learned that this instance is leaving.
    private let notice: @Sendable () -> Duration

    /// A drain of `listeners`, whose connections `budgets` count.
    package init(
        listeners: [Listener], budgets: [ConnectionBudget], workers: WorkerGroup,
        notice: @escaping @Sendable () -> Duration = { .zero }
    ) {
        self.listeners = listeners
        self.budgets = budgets
        self.workers = workers
        self.notice = notice
    }

    /// Returns when the last connection is closed, or when the task is cancelled.
    package func drain(_ plans: Snapshot<TrafficPlan>) async {
        let notice = self.notice()
        if notice > .zero { try? await Task.sleep(for: notice) }
        for listener in self.listeners { await listener.stopAccepting() }
        let plan = plans.current
        plans.publish(plan.draining)
        let direction = plan.direction
        self.workers.forEach { $0.closeIdleConnections(direction) }
        while self.budgets.contains(where: { $0.current > 0 }), !Task.isCancelled {
            try? await Task.sleep(for: .milliseconds(10))
        }
    }
}
