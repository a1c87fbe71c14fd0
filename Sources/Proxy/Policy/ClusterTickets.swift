// SPDX-License-Identifier: Apache-2.0
// request path

import Synchronization

/// How many requests, retries and connections of a cluster are under way, on all event loops.
///
/// It has no limits of its own: whoever asks says what they are now, so that a changed limit holds from the next request
/// on and what is under way stays counted.
package final class ClusterTickets: Sendable {
    private let requests = Atomic<Int>(0)
    private let retries = Atomic<Int>(0)
    private let pending = Atomic<Int>(0)
    /// Those of its connections, where these are limited.
    package let places = ConnectionPlaces()

    /// Nothing is under way.
    package init() {}

    /// Requests under way.
    package var requestCount: Int { self.requests.load(ordering: .relaxed) }
    /// Retries under way.
    package var retryCount: Int { self.retries.load(ordering: .relaxed) }
    /// Requests that wait for a connection, because there are as many as there may be.
    package var pendingCount: Int { self.pending.load(ordering: .relaxed) }

    /// Whether anything is under way.
    package var isInUse: Bool {
        self.requestCount > 0 || self.retryCount > 0 || self.pendingCount > 0 || self.places.count > 0
    }

    /// Takes the place of a request, unless there are as many as `most`.
    package func takeRequest(most: Int?) -> Bool { Self.take(self.requests, most) }

    /// A request is over.
    package func giveBackRequest() { self.requests.subtract(1, ordering: .relaxed) }

    /// Takes the place of a retry, unless there are as many as `most`.
    package func takeRetry(most: Int?) -> Bool { Self.take(self.retries, most) }

    /// A retry is over.
    package func giveBackRetry() { self.retries.subtract(1, ordering: .relaxed) }

    /// Takes the place of a request that waits for a connection, unless there are as many as `most`.
    package func takePending(most: Int?) -> Bool { Self.take(self.pending, most) }

    /// A request waits no longer.
    package func giveBackPending() { self.pending.subtract(1, ordering: .relaxed) }

    /// Two loops that ask at the same time may both be refused the last place, never both be given it.
    private static func take(_ count: borrowing Atomic<Int>, _ most: Int?) -> Bool {
        guard count.add(1, ordering: .relaxed).newValue <= most ?? .max else {
            count.subtract(1, ordering: .relaxed)
            return false
        }
        return true
    }
}
