// SPDX-License-Identifier: Apache-2.0

package import NIOCore

/// What a server off the request path grants its clients.
///
/// - Source: promise T6: operators and probes are answered whatever strangers do.
package struct ServerLimits: Sendable {
    /// Connections at a time.
    package var places: Int
    /// How many of them serve a request for one of ``probes`` alone, and are closed then.
    package var reserved: Int
    /// The paths of probes.
    package var probes: Set<String>
    /// How long the head of a request may take, from the opening or the end of the last answer; then how long its body.
    package var request = TimeAmount.seconds(15)
    /// How long a client may take for ``least`` bytes of an answer, or all that is left of it.
    package var answer = TimeAmount.seconds(10)
    /// See ``answer``.
    package var least = 4096

    /// How much of an answer may wait for its client, here and once more in the kernel.
    package var buffer = 32 << 10
    /// The same for a stream of events, which has no end.
    package var streamBuffer = 2 << 10

    /// Limits of a server that has so many places, of which it keeps some for probes.
    package init(places: Int, reserved: Int = 0, probes: Set<String> = []) {
        self.places = places
        self.reserved = reserved
        self.probes = probes
    }

    /// How long what is in progress may take once the server is stopping.
    static let stopping = TimeAmount.seconds(1)
}
