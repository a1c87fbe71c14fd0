// SPDX-License-Identifier: Apache-2.0
// request path

import NIOCore

/// Counts what a peer does that costs more than it is worth.
///
/// Pure; the time is a parameter.
///
/// Most acts are counted second by second. A reset is what a client does that changes its mind, and there is no number of
/// those that is too large in itself: they are held against the streams that were begun and answered.
///
/// - Source: CVE-2019-9511 to -9518, CVE-2023-44487, CVE-2024-27919, CVE-2025-8671; Envoy's limit on premature resets.
struct AbuseMeter {
    /// What is counted, and how many there may be within a second.
    enum Act: Int, CaseIterable {
        case ping
        case settings
        /// DATA or CONTINUATION without a byte.
        case emptyFrame
        case priority
        /// WINDOW_UPDATE; DATA that was sent takes some back.
        case windowUpdate
        /// Frames of types that nobody knows.
        case unknown

        /// The most in a second.
        var limit: Int {
            switch self {
            case .ping, .emptyFrame, .priority: 100
            case .settings: 50
            case .windowUpdate: 1000
            case .unknown: 1000
            }
        }
    }

    /// Resets within a second that nobody asks the reason of.
    static var freeResets: Int { 100 }
    /// How many more resets than answers there may be.
    static var excess: Int { 500 }
    /// After this time, what was counted counts for half.
    static var halfLife: TimeAmount { .seconds(10) }

    private var counts = [Int](repeating: 0, count: Act.allCases.count)
    /// What answers to DATA of ours have earned: not bound to a second, since they come when the peer has read it.
    private var earned = [Int](repeating: 0, count: Act.allCases.count)
    private var second = NIODeadline.uptimeNanoseconds(0)

    /// Streams that were begun in this second.
    private var begun = 0
    private var peerResets = Resets()
    private var forcedResets = Resets()
    private var answers = 0
    private var halvedAt = NIODeadline.uptimeNanoseconds(0)

    /// Resets of one kind.
    private struct Resets {
        /// In this second.
        var recent = 0
        /// Streams of the second before that were not reset in it, and so may be in this one.
        var left = 0
        /// Of streams without an answer, those of long ago counted in part.
        var unanswered = 0

        mutating func turn(_ begun: Int) {
            self.left = max(0, begun &- self.recent)
            self.recent = 0
        }
    }

    /// Nothing yet.
    init() {}

    /// The peer has done something.
    ///
    /// - Returns: `false` when it was once too often.
    mutating func allows(_ act: Act, at now: NIODeadline) -> Bool {
        if self.earned[act.rawValue] > 0 {
            self.earned[act.rawValue] &-= 1
            return true
        }
        self.turn(now)
        self.counts[act.rawValue] &+= 1
        return self.counts[act.rawValue] <= act.limit
    }

    /// DATA was sent: window updates are what it needs, and a PING for each is how gRPC libraries measure the path.
    mutating func sentData() {
        let (update, ping) = (Act.windowUpdate.rawValue, Act.ping.rawValue)
        self.earned[update] = min(self.earned[update] &+ 4, Self.mostUpdates)
        self.earned[ping] = min(self.earned[ping] &+ 1, Self.mostPings)
    }

    private static var mostUpdates: Int { 100_000 }
    private static var mostPings: Int { 1000 }

    // MARK: Resets

    /// A stream was begun, whatever becomes of it.
    @inline(__always)
    mutating func streamBegan(at now: NIODeadline) {
        self.turn(now)
        self.age(now)
        self.begun &+= 1
    }

    /// The final answer on a stream has begun.
    @inline(__always)
    mutating func answered() { self.answers &+= 1 }

    /// The peer has reset a stream, be it one that is over.
    ///
    /// - Returns: `false` when there were too many in this second, and more than half as many as streams.
    mutating func allowsReset(at now: NIODeadline) -> Bool {
        self.turn(now)
        self.peerResets.recent &+= 1
        return self.isInProportion(self.peerResets)
    }

    /// The peer has reset a stream before its answer began; it was told to ``allowsReset(at:)`` as well.
    ///
    /// - Returns: `false` when there were too many more of those than answers.
    mutating func allowsUnansweredReset(at now: NIODeadline) -> Bool {
        self.age(now)
        self.peerResets.unanswered &+= 1
        return self.isOutweighed(self.peerResets)
    }

    /// The peer has made us reset a stream, or answer a head that nobody could read.
    ///
    /// - Returns: `false` when that was too often, by either measure.
    mutating func allowsForcedReset(at now: NIODeadline) -> Bool {
        self.turn(now)
        self.age(now)
        self.forcedResets.recent &+= 1
        self.forcedResets.unanswered &+= 1
        return self.isInProportion(self.forcedResets) && self.isOutweighed(self.forcedResets)
    }

    private func isInProportion(_ resets: Resets) -> Bool {
        resets.recent <= Self.freeResets || resets.recent &* 2 <= self.begun &+ resets.left
    }

    private func isOutweighed(_ resets: Resets) -> Bool { resets.unanswered &- self.answers <= Self.excess }

    /// Begins a new second when the last one is over.
    @inline(__always)
    private mutating func turn(_ now: NIODeadline) {
        guard now >= self.second + .seconds(1) else { return }
        let begun = now < self.second + .seconds(2) ? self.begun : 0
        self.peerResets.turn(begun)
        self.forcedResets.turn(begun)
        self.begun = 0
        self.second = now
        for index in self.counts.indices { self.counts[index] = 0 }
    }

    /// Lets old resets and answers fade.
    @inline(__always)
    private mutating func age(_ now: NIODeadline) {
        while now >= self.halvedAt + Self.halfLife {
            if self.answers == 0, self.peerResets.unanswered == 0, self.forcedResets.unanswered == 0 {
                self.halvedAt = now
                return
            }
            self.halvedAt = self.halvedAt + Self.halfLife
            self.answers /= 2
            self.peerResets.unanswered /= 2
            self.forcedResets.unanswered /= 2
        }
    }
}
