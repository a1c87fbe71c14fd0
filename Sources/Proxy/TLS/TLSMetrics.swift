// SPDX-License-Identifier: Apache-2.0

import Common
import NIOCore

/// What metrics and the log show of failed handshakes on one event loop.
///
/// Whoever can reach a listener can make a handshake fail as often as it likes: neither memory nor the log grows with
/// that.
final class TLSMetrics {
    private struct Kind: Hashable {
        let side: CallSide
        let reason: String
    }

    private struct Failures {
        let counter: Counter
        /// For each reason, so that a flood of one does not hide the others.
        var lines = LineLimit(most: 5, in: .seconds(1))
    }

    private let registry: MetricsRegistry
    private var failures: [Kind: Failures] = [:]

    init(_ registry: MetricsRegistry) { self.registry = registry }

    /// Counts a handshake that failed, and tells whether the log may have a line of it.
    ///
    /// - Parameter reason: One of those that ``TLSFailure`` knows, which are few.
    /// - Returns: How many lines for this reason were left out since the last one; `nil` when this one is to be left out.
    func failed(_ side: CallSide, _ reason: String, at now: NIODeadline) -> Int? {
        let kind = Kind(side: side, reason: reason)
        var failures = self.failures[kind] ?? Failures(counter: self.counter(kind))
        failures.counter.add()
        let leftOut = failures.lines.admit(at: now)
        self.failures[kind] = failures
        return leftOut
    }

    private func counter(_ kind: Kind) -> Counter {
        self.registry.counter(
            "mesher_tls_handshake_failures",
            MetricLabels(["side": kind.side == .provider ? "server" : "client", "reason": kind.reason]),
            help: "TLS handshakes that failed: with clients (server) and with instances (client), by reason.")
    }
}

/// Keeps what peers can cause from filling the log.
struct LineLimit {
    private let most: Int
    private let period: TimeAmount
    private var began = NIODeadline.uptimeNanoseconds(0)
    private var admitted = 0
    private var leftOut = 0

    /// - Parameter most: As many lines in each `period`, which begins with the first of them.
    init(most: Int, in period: TimeAmount) {
        self.most = most
        self.period = period
    }

    /// Asks for one line.
    ///
    /// - Returns: How many were refused since the last one that was not; `nil` when this one is refused.
    mutating func admit(at now: NIODeadline) -> Int? {
        if now - self.began >= self.period {
            self.began = now
            self.admitted = 0
        }
        guard self.admitted < self.most else {
            self.leftOut += 1
            return nil
        }
        self.admitted += 1
        defer { self.leftOut = 0 }
        return self.leftOut
    }
}
