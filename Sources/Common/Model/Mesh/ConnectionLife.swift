// SPDX-License-Identifier: Apache-2.0

/// How long the connections to the endpoints of a cluster are used.
///
/// What is under way is never cut: a connection that has served its time takes no further request, and is closed when nothing
/// is under way on it.
///
/// - Source: `common_http_protocol_options` of Envoy's clusters.
package struct ConnectionLife: Sendable, Hashable {
    /// Most requests of one connection, from 1; `nil` for any number.
    package var requests: Int?
    /// The longest wait for the next request; zero for any length of time.
    package var idle: Duration?
    /// The longest time from its beginning; `nil` for any length of time.
    package var age: Duration?
    /// Most requests at a time of one connection of HTTP/2, from 1; `nil` for what the listener and the upstream allow.
    package var streams: Int?

    /// - Parameter requests: See ``requests``.
    package init(requests: Int? = nil, idle: Duration? = nil, age: Duration? = nil, streams: Int? = nil) {
        self.streams = streams
        self.requests = requests
        self.idle = idle
        self.age = age
    }
}
