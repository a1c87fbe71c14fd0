// SPDX-License-Identifier: Apache-2.0

/// Limits of a call as a whole, after which there is no other try.
///
/// - Source: `max_stream_duration` and `idle_timeout` of Envoy's routes.
package struct StreamLimits: Sendable, Equatable {
    /// From the head of the request to the end of the answer; `nil` for no limit.
    package var whole: Duration?
    /// The most that a call of gRPC gets of the time that it asks for, zero for all of it; `nil` where what it asks for is
    /// no matter of the route.
    package var asked: Duration?
    /// What is taken off the time that a call asks for.
    package var askedLess = Duration.zero
    /// The silence of both sides from the last byte of the request on; `nil` for no limit.
    package var silence: Duration?

    /// None.
    package init() {}
}
