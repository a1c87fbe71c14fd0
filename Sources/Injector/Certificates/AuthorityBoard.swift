// SPDX-License-Identifier: Apache-2.0

import Synchronization
import X509

/// Which authorities the API server has to know, and since when it does.
///
/// What makes certificates and what publishes their authorities meet here. It outlives both.
package final class AuthorityBoard: Sendable {
    private struct State {
        var wanted: [Certificate] = []
        var version = 0
        /// `nil` while not all of them are published.
        var knownSince: ContinuousClock.Instant?
        var looks = 0
        var looksAsked = 0
    }

    private let state = Mutex(State())

    /// Nobody is wanted yet.
    package init() {}

    /// Has these be published.
    func want(_ authorities: [Certificate]) {
        self.state.withLock { state in
            guard state.wanted != authorities else { return }
            // Those that only have changed places, or have ended, are as well known as before.
            if !Set(authorities).isSubset(of: state.wanted) { state.knownSince = nil }
            state.wanted = authorities
            state.version += 1
        }
    }

    /// What is to be published; another version when that has changed.
    var wanted: (authorities: [Certificate], version: Int) {
        self.state.withLock { ($0.wanted, $0.version) }
    }

    /// Reports whether those of a version are published.
    func found(_ version: Int, isPublished: Bool, at now: ContinuousClock.Instant = .now) {
        self.state.withLock { state in
            guard state.version == version else { return }
            state.knownSince = isPublished ? state.knownSince ?? now : nil
        }
    }

    /// Whether all that are wanted have been published for some time.
    func isKnown(for time: Duration, at now: ContinuousClock.Instant = .now) -> Bool {
        self.state.withLock { $0.knownSince.map { now - $0 >= time } ?? false }
    }

    // MARK: Looks

    /// How often it was looked what other replicas have kept.
    var looks: Int { self.state.withLock { $0.looks } }

    /// Whether somebody wants a look.
    var isLookAsked: Bool { self.state.withLock { $0.looksAsked > $0.looks } }

    /// Asks for a look.
    func askForLook() { self.state.withLock { $0.looksAsked = $0.looks + 1 } }

    /// Reports a look.
    func looked() { self.state.withLock { $0.looks += 1 } }
}
