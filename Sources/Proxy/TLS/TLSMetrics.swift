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

    private let registry: MetricsRegistry
    private var failures: [Kind: Counter] = [:]
    private var lines = LineLimit(most: 5, in: .seconds(1))

    init(_ registry: MetricsRegistry) { self.registry = registry }

    /// Counts a handshake that failed.
    ///
    /// - Parameter reason: One of those that ``TLSFailure`` knows, which are few.
    func count(_ side: CallSide, _ reason: String) {
        let kind = Kind(side: side, reason: reason)
        if let counter = self.failures[kind] { return counter.add() }
        let counter = self.registry.counter(
            "mesher_tls_handshake_failures",
            MetricLabels(["side": side == .provider ? "server" : "client", "reason": reason]),
            help: "TLS handshakes that failed: with clients (server) and with instances (client), by reason.")
        self.failures[kind] = counter
        counter.add()
    }

    /// Asks whether the log may have a line more.
    ///
    /// - Returns: How many lines were left out since the last one; `nil` when this one is to be left out, too.
    func admitLine(at now: NIODeadline) -> Int? { self.lines.admit(at: now) }
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
