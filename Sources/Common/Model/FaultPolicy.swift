// SPDX-License-Identifier: Apache-2.0

/// What is done to calls of a service on purpose; the delay comes first, and both may hit one call.
package struct FaultPolicy: Sendable, Equatable {
    /// How long a call is delayed; `nil` for none.
    package let delay: Duration?
    /// The share of calls that is, in percent.
    package let delayPercent: Int
    /// What a call is answered with; `nil` for none.
    package let abortStatus: Int?
    /// The share of calls that is, in percent.
    package let abortPercent: Int

    /// Faults.
    package init(delay: Duration?, delayPercent: Int, abortStatus: Int?, abortPercent: Int) {
        self.delay = delay
        self.delayPercent = delayPercent
        self.abortStatus = abortStatus
        self.abortPercent = abortPercent
    }
}
