// SPDX-License-Identifier: Apache-2.0

/// Whether an application counts as well after each of its checks: pure.
struct ProbeState {
    private let failureThreshold: Int
    private let successThreshold: Int
    private var count = 0
    /// Before the first change it counts as well.
    private(set) var isHealthy = true

    init(failureThreshold: Int, successThreshold: Int) {
        self.failureThreshold = failureThreshold
        self.successThreshold = successThreshold
    }

    /// Takes a result; only several of the same kind in a row change the state.
    mutating func record(isGood: Bool) {
        guard isGood != self.isHealthy else {
            self.count = 0
            return
        }
        self.count += 1
        guard self.count >= (isGood ? self.successThreshold : self.failureThreshold) else { return }
        self.isHealthy = isGood
        self.count = 0
    }
}
