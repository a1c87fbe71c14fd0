// SPDX-License-Identifier: Apache-2.0
// request path

import NIOCore

/// Counts what a peer does that costs more than it is worth, second by second.
///
/// Pure; the time is a parameter.
///
/// - Source: limit L7; CVE-2019-9511 to -9518, CVE-2023-44487, CVE-2024-27919, CVE-2025-8671.
struct AbuseMeter {
    /// What is counted, and how many there may be within a second.
    enum Act: Int, CaseIterable {
        /// RST_STREAM of the peer.
        case reset
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
            case .reset, .ping, .emptyFrame, .priority: 100
            case .settings: 50
            case .windowUpdate: 1000
            case .unknown: 1000
            }
        }
    }

    /// Resets of the peer before an answer began, and resets that it made us send: in the life of a connection.
    static var resetsInLife: Int { 500 }

    private var counts = [Int](repeating: 0, count: Act.allCases.count)
    /// What answers to DATA of ours have earned: not bound to a second, since they come when the peer has read it.
    private var earned = [Int](repeating: 0, count: Act.allCases.count)
    private var second = NIODeadline.uptimeNanoseconds(0)
    private var unansweredResets = 0
    private var forcedResets = 0

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
        if now >= self.second + .seconds(1) {
            self.second = now
            for index in self.counts.indices { self.counts[index] = 0 }
        }
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

    /// The peer has reset a stream before its answer began.
    ///
    /// - Returns: `false` when it was once too often.
    mutating func allowsUnansweredReset() -> Bool {
        self.unansweredResets &+= 1
        return self.unansweredResets <= Self.resetsInLife
    }

    /// The peer has made us reset a stream.
    ///
    /// - Returns: `false` when it was once too often.
    mutating func allowsForcedReset() -> Bool {
        self.forcedResets &+= 1
        return self.forcedResets <= Self.resetsInLife
    }
}
