// SPDX-License-Identifier: Apache-2.0

package import NIOCore

#if canImport(Glibc)
    import Glibc
#endif

/// One connection of a server, from its opening: it has a place, and is closed when its client takes too long.
///
/// It belongs to the channel's event loop.
package final class ServedConnection {
    /// How often it is looked at.
    private static let interval = TimeAmount.seconds(1)

    let channel: any Channel
    /// Whether it serves one probe alone.
    let isReserved: Bool
    private let places: ServerPlaces
    private let id: Int
    private var times: ServedTimes

    /// A connection that has been accepted just now.
    ///
    /// - Returns: `nil` when there is no place for it; then it is closed.
    package init?(_ channel: any Channel, _ places: ServerPlaces) {
        guard let place = places.enter(channel) else {
            // Not before it is registered.
            channel.eventLoop.execute { channel.close(promise: nil) }
            return nil
        }
        self.channel = channel
        self.places = places
        self.id = place.id
        self.isReserved = place.isReserved
        self.times = ServedTimes(places.limits, at: .now())
        try? channel.pipeline.syncOperations.addHandler(StopHandler(self))
        self.limitBuffers(to: places.limits.buffer)
        self.lookLater()
    }

    var limits: ServerLimits { self.places.limits }
    var isIdle: Bool { self.times.isIdle }

    /// From now on it speaks something else than HTTP, which has no requests.
    package func upgraded() { self.note { $0.upgraded() } }

    /// Gives its place back, as it is about to be closed.
    ///
    /// NIO tells that it is closed only when all that has come at the same moment is dealt with, new connections too.
    func leaves() { self.places.leave(self.id) }

    /// The server is stopping.
    fileprivate func stops() {
        self.note { $0.stops(at: .now()) }
        self.lookLater(in: ServerLimits.stopping)
    }

    /// Changes what is known of it, and tells others whether it is idle.
    func note(_ change: (inout ServedTimes) -> Void) {
        let wasIdle = self.isIdle
        change(&self.times)
        if self.isIdle != wasIdle { self.places.set(self.id, isIdle: self.isIdle) }
    }

    /// Keeps so little of what is written in buffers, here and in the kernel, which would take megabytes.
    ///
    /// So nothing is made for long for a client that does not read, and it shows soon.
    func limitBuffers(to bytes: Int) {
        let options = self.channel.syncOptions
        try? options?.setOption(ChannelOptions.socketOption(.so_sndbuf), value: .init(bytes))
        try? options?.setOption(ChannelOptions.writeBufferWaterMark, value: .init(low: 1, high: bytes))
    }

    private func lookLater(in time: TimeAmount = ServedConnection.interval) {
        self.channel.eventLoop.assumeIsolated().scheduleTask(in: time) { [weak self] in self?.look() }
    }

    private func look() {
        guard self.channel.isActive else { return }
        let unsent = (try? self.channel.syncOptions?.getOption(ChannelOptions.bufferedWritableBytes)) ?? 0
        guard self.times.isOverdue(at: .now(), unsent: unsent) else { return self.lookLater() }
        // By a reset: with FIN the kernel would keep for minutes what the client does not take.
        if unsent > 0, let socket = self.channel as? any SocketOptionProvider {
            _ = socket.setSoLinger(linger(l_onoff: 1, l_linger: 0))
        }
        self.channel.close(promise: nil)
    }
}

/// Hears that the server is stopping, whatever the connection speaks.
private final class StopHandler: ChannelInboundHandler {
    typealias InboundIn = NIOAny

    private let connection: ServedConnection

    init(_ connection: ServedConnection) { self.connection = connection }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if event is ChannelShouldQuiesceEvent { self.connection.stops() }
        context.fireUserInboundEventTriggered(event)
    }
}
