// SPDX-License-Identifier: Apache-2.0

/// Requests of all event loops as they end, for one watcher, from when it was made until ``end``.
///
/// Nothing is pushed: what is not fetched waits in a buffer of each loop, and what does not fit there is dropped and counted.
package struct RequestTap: Sendable {
    /// What each loop has gathered since the last time; throws when the loops have ended.
    package let fetch: @Sendable () async throws -> [ExchangeRecords]
    /// The watcher has gone.
    package let end: @Sendable () -> Void

    /// A tap.
    package init(
        fetch: @escaping @Sendable () async throws -> [ExchangeRecords], end: @escaping @Sendable () -> Void
    ) {
        self.fetch = fetch
        self.end = end
    }
}
