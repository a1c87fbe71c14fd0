// SPDX-License-Identifier: Apache-2.0

package import NIOCore

/// Opens channels to addresses where scripted peers are, as `ClientBootstrap` opens them to sockets.
///
/// Whoever plays the upstream is handed the wire and calls `wire.near.accept()` or `wire.near.refuse()`, at once or at any
/// later time; if neither is called, the connect timeout ends it.
package final class SimulatedDialer {
    private let loop: SimulatedLoop
    private let called: (SocketAddress, SimulatedChannel, SimulatedWire) -> Void
    private var count = 0

    /// A dialer.
    ///
    /// - Parameter called: Somebody connects to an address; the channel waits until `wire.near` is accepted or refused.
    package init(loop: SimulatedLoop, called: @escaping (SocketAddress, SimulatedChannel, SimulatedWire) -> Void) {
        self.loop = loop
        self.called = called
    }

    /// Connects.
    ///
    /// The future succeeds as that of a bootstrap does: within the event that finds the connection established, before the
    /// handler hears that the channel is active.
    ///
    /// - Parameter initialize: Adds handlers and sets options, before anything else happens.
    package func connect(
        to address: SocketAddress, timeout: TimeAmount, send: Int = 64 * 1024, receive: Int = 64 * 1024,
        initialize: (any Channel) throws -> Void
    ) -> EventLoopFuture<any Channel> {
        self.count += 1
        let wire = SimulatedWire(send: send, receive: receive)
        wire.near.beginConnecting()
        let channel = SimulatedChannel(loop: self.loop, socket: wire.near, name: "upstream \(self.count)")
        do {
            try channel.syncOptions?.setOption(.connectTimeout, value: timeout)
            try initialize(channel)
        } catch {
            channel.close(promise: nil)
            return self.loop.makeFailedFuture(error)
        }
        let promise = self.loop.makePromise(of: Void.self)
        channel.register(promise: nil)
        channel.connect(to: address, promise: promise)
        self.called(address, channel, wire)
        return promise.futureResult.map { channel }
    }
}
