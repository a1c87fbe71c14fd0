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
    /// How long a connection may be silent after an answer; `nil`: no longer than a request may take.
    package var keepAlive: TimeAmount?
    /// How long a client may take for ``least`` bytes of an answer, or all that is left of it.
    package var answer = TimeAmount.seconds(10)
    /// See ``answer``.
    package var least = 4096

    /// How much of its answers may wait for a client in the kernel, which doubles it for its own needs.
    ///
    /// Several segments of the loopback device, of 64 KiB each: with less, each would wait for the last one's confirmation.
    package var buffer = 128 << 10

    /// Connections to accept at a time: some more than there are places, for whom others have to go.
    package var mostConnections: Int { self.places + 16 }

    /// Limits of a server that has so many places, of which it keeps some for probes.
    package init(places: Int, reserved: Int = 0, probes: Set<String> = []) {
        self.places = places
        self.reserved = reserved
        self.probes = probes
    }

    /// How long what is in progress may take once the server is stopping.
    static let stopping = TimeAmount.seconds(1)
}
