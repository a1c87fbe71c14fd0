// SPDX-License-Identifier: Apache-2.0

import NIOCore

/// When an endpoint that keeps failing is left alone, and for how long.
package struct OutlierSettings: Sendable, Equatable {
    /// Failures in a row, of whatever kind, that eject an endpoint; 0 for none.
    package var consecutiveErrors: Int
    /// Connections in a row that could not be made and eject it sooner; 0 for none.
    package var consecutiveConnectFailures: Int
    /// The time of the first ejection; each one after it without a success between lasts so much longer.
    package var baseTime: Duration
    /// No ejection lasts longer.
    package var maxTime: Duration
    /// No more than this share of the endpoints is ejected at a time, in percent.
    package var maxEjectedPercent: Int

    /// Five errors or two connect failures, ten seconds up to five minutes, half of the endpoints, unless told otherwise.
    package init(
        consecutiveErrors: Int = 5, consecutiveConnectFailures: Int = 2, baseTime: Duration = .seconds(10),
        maxTime: Duration = .seconds(300), maxEjectedPercent: Int = 50
    ) {
        self.consecutiveErrors = consecutiveErrors
        self.consecutiveConnectFailures = consecutiveConnectFailures
        self.baseTime = baseTime
        self.maxTime = maxTime
        self.maxEjectedPercent = maxEjectedPercent
    }

    /// How long the ejection with this number lasts, in nanoseconds.
    ///
    /// - Parameter number: 1 for the first in a row.
    func time(ofEjection number: Int64) -> Int64 {
        let (base, longest) = (TimeAmount(self.baseTime).nanoseconds, TimeAmount(self.maxTime).nanoseconds)
        let (time, overflow) = base.multipliedReportingOverflow(by: number)
        return max(0, overflow ? longest : min(time, longest))
    }
}
