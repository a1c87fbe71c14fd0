// SPDX-License-Identifier: Apache-2.0

import NIOCore

/// When an endpoint of a cluster that keeps failing is left alone, and for how long, where the cluster says so itself.
///
/// - Source: `outlier_detection` of Envoy's clusters, whose defaults these are.
package struct ClusterOutliers: Sendable, Hashable {
    /// Answers from 500 on in a row, and calls without any, that eject an endpoint; 0 for none.
    package var consecutiveErrors = 5
    /// The same of 502, 503 and 504 alone; 0 for none.
    package var consecutiveGatewayErrors = 5
    /// Calls without an answer in a row, where these are told apart; 0 for none.
    package var consecutiveSilences = 5
    /// Whether calls without an answer are counted by themselves, not as answers with 503 or 504.
    package var tellsSilencesApart = false
    /// How many in a hundred of those that ``consecutiveErrors`` would eject are.
    package var errorsPercent = 100
    /// Likewise for ``consecutiveGatewayErrors``.
    package var gatewayErrorsPercent = 0
    /// Likewise for ``consecutiveSilences``.
    package var silencesPercent = 100
    /// An ejection is as much longer as there were others before it; after this long without one, one of them is forgotten.
    package var interval = Duration.seconds(10)
    /// The time of the first ejection.
    package var baseTime = Duration.seconds(30)
    /// No ejection lasts longer.
    package var maxTime = Duration.seconds(300)
    /// No more than this share of the endpoints is ejected at a time, in percent; 100 for all.
    package var maxEjectedPercent = 10
    /// Whether one may be ejected although that is more.
    package var mayAlwaysEjectOne = false

    /// The defaults.
    package init() {}

    /// Whether one more may be ejected.
    ///
    /// - Parameter ejected: How many are ejected already.
    /// - Parameter count: How many there are.
    package func mayEject(ejected: Int, of count: Int) -> Bool {
        if self.mayAlwaysEjectOne, ejected == 0 { return true }
        return (ejected + 1) * 100 <= count * min(100, self.maxEjectedPercent)
    }

    /// How long the ejection with this number lasts, in nanoseconds.
    func time(ofEjection number: Int64) -> Int64 {
        OutlierSettings(baseTime: self.baseTime, maxTime: self.maxTime).time(ofEjection: number)
    }

    /// How many ejections in a row this is, when there were some before.
    ///
    /// - Parameter passed: Nanoseconds since the last one was over.
    func number(after ejections: Int64, passed: Int64) -> Int64 {
        let interval = max(1, TimeAmount(self.interval).nanoseconds)
        return max(0, ejections - max(0, passed) / interval) + 1
    }
}
