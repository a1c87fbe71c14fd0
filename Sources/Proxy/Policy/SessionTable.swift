// SPDX-License-Identifier: Apache-2.0
// request path

import Common
package import NIOCore
import Synchronization

/// Which endpoint the requests of a session go to: shared by all event loops, since a client may come by any of them.
///
/// A session ends when it was not used for the timeout, when its endpoint failed too often in a row, or when its part of the
/// table is full and it is the one of that part that was not used for longest. Only ids that were remembered are known, so a
/// client cannot fill the table with its own inventions.
///
/// Cost: a lock around a lookup by text; the text of an id is a small allocation. A large table has sixteen parts with a lock
/// each, so that loops seldom meet at one.
///
/// - Source: go-chassis
package final class SessionTable: Sendable {
    /// Longer ids, which only an upstream can have made, are neither remembered nor known, in bytes.
    package static let longestID = 256

    private final class Part: Sendable {
        let sessions: Mutex<Sessions>

        init(capacity: Int) { self.sessions = Mutex(Sessions(capacity: capacity)) }
    }

    /// Smaller tables are one part, whose order is exact.
    private static let leastShared = 1_024

    private let timeout: TimeAmount
    private let failureLimit: Int
    private let parts: [Part]

    /// An empty table.
    ///
    /// - Parameter timeout: From the last use of a session to its end.
    /// - Parameter failureLimit: So many failures in a row end a session; 1 at least.
    /// - Parameter capacity: Most sessions at a time; 1 at least.
    package init(timeout: Duration = .seconds(30), failureLimit: Int = 5, capacity: Int = 100_000) {
        self.timeout = TimeAmount(timeout)
        self.failureLimit = max(1, failureLimit)
        let count = capacity < Self.leastShared ? 1 : 16
        self.parts = (0..<count).map { _ in Part(capacity: max(1, capacity / count)) }
    }

    private func part(of id: RawSpan) -> Part {
        self.parts[Int(truncatingIfNeeded: HashRing.hash(id) % UInt64(self.parts.count))]
    }

    /// The endpoint that the session's requests go to, as it was remembered.
    ///
    /// - Returns: `nil` for an id that is not known, or no longer.
    package func endpoint(of id: RawSpan, at now: NIODeadline) -> String? {
        guard let key = Self.key(id) else { return nil }
        return self.part(of: id).sessions.withLock { $0.endpoint(of: key, at: now) }
    }

    /// Begins a session, or sends a known one to another endpoint; its time and its failures start over.
    ///
    /// - Parameter endpoint: `ip:port`.
    package func remember(_ id: RawSpan, endpoint: String, at now: NIODeadline) {
        guard let key = Self.key(id) else { return }
        self.part(of: id).sessions.withLock {
            $0.remember(key, endpoint: endpoint, until: now + self.timeout, at: now)
        }
    }

    /// Lets the session's time start over.
    ///
    /// - Returns: Whether the id is known; when not, the caller makes a new one.
    @discardableResult
    package func refresh(_ id: RawSpan, at now: NIODeadline) -> Bool {
        guard let key = Self.key(id) else { return false }
        return self.part(of: id).sessions.withLock { $0.refresh(key, until: now + self.timeout, at: now) }
    }

    /// Counts a failure of the session's endpoint.
    ///
    /// - Returns: Whether it was one too many, which ended the session.
    @discardableResult
    package func failed(_ id: RawSpan, at now: NIODeadline) -> Bool {
        guard let key = Self.key(id) else { return false }
        return self.part(of: id).sessions.withLock { $0.failed(key, limit: self.failureLimit, at: now) }
    }

    /// Forgets the session's failures.
    package func succeeded(_ id: RawSpan, at now: NIODeadline) {
        guard let key = Self.key(id) else { return }
        self.part(of: id).sessions.withLock { $0.succeeded(key, at: now) }
    }

    /// How many sessions there are, with those that ended but were not swept yet.
    package var count: Int { self.parts.reduce(0) { count, part in count + part.sessions.withLock { $0.count } } }

    private static func key(_ id: RawSpan) -> String? {
        guard 1...Self.longestID ~= id.byteCount else { return nil }
        return id.string(in: 0..<id.byteCount)
    }
}
