// SPDX-License-Identifier: Apache-2.0

import NIOCore

/// Whether a client takes too long: with a request, or with an answer.
///
/// Pure: it is told the time and what happens.
struct ServedTimes {
    private let limits: ServerLimits
    private var inProgress = 0
    private var hasAnswered = false
    private var isReading = false
    /// When the wait for a head or for the end of a body began; `nil` while there is nothing to wait for.
    private var waitsSince: NIODeadline?
    private var written = 0
    /// How much the client had taken at some time, and when that was.
    private var taken: (bytes: Int, at: NIODeadline)
    /// When everything is over.
    private var end: NIODeadline?
    /// Whether it speaks something else by now, which has no requests.
    private var isUpgraded = false

    init(_ limits: ServerLimits, at now: NIODeadline) {
        self.limits = limits
        self.waitsSince = now
        self.taken = (0, now)
    }

    /// Whether no request is in progress.
    var isIdle: Bool { self.inProgress == 0 && !self.isReading && !self.isUpgraded }

    /// The head of a request has come.
    mutating func requestBegan(at now: NIODeadline) {
        self.inProgress += 1
        self.isReading = true
        self.waitsSince = now
    }

    /// The request has come to its end.
    mutating func requestEnded(at now: NIODeadline) {
        self.isReading = false
        self.waitsSince = self.inProgress == 0 ? now : nil
    }

    /// The answer has been written to its end.
    mutating func answerEnded(at now: NIODeadline) {
        self.inProgress = max(0, self.inProgress - 1)
        self.hasAnswered = true
        if self.isIdle { self.waitsSince = now }
    }

    /// So many bytes of answers have been written.
    mutating func wrote(_ bytes: Int) { self.written += bytes }

    /// From now on nothing is asked of it but to take what it is sent.
    mutating func upgraded() {
        self.isUpgraded = true
        self.waitsSince = nil
    }

    /// The server stops: whatever is not done soon is cut off.
    mutating func stops(at now: NIODeadline) { self.end = now + ServerLimits.stopping }

    /// Looks whether it is time to close.
    ///
    /// - Parameter unsent: Bytes that have been written and the client has not confirmed, those in the kernel included.
    mutating func isOverdue(at now: NIODeadline, unsent: Int) -> Bool {
        if let end = self.end, now >= end { return true }
        let sent = self.written - unsent
        if unsent == 0 || sent >= self.taken.bytes + self.limits.least {
            self.taken = (sent, now)
        } else if now - self.taken.at >= self.limits.answer {
            return true
        }
        guard let since = self.waitsSince else { return false }
        let isKept = self.isIdle && self.hasAnswered
        return now - since >= (isKept ? self.limits.keepAlive : nil) ?? self.limits.request
    }
}
