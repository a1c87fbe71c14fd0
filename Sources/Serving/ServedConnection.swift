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
        // The kernel would take megabytes of answers that nobody reads, for which all of them would have to be made.
        try? channel.syncOptions?.setOption(ChannelOptions.socketOption(.so_sndbuf), value: .init(places.limits.buffer))
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

    /// What has been written and the client's side has not taken: here, and in the kernel.
    private var unsent: Int {
        var unsent = (try? self.channel.syncOptions?.getOption(ChannelOptions.bufferedWritableBytes)) ?? 0
        if let socket = self.channel as? any SocketOptionProvider {
            let memory: EventLoopFuture<SocketMemory> = socket.unsafeGetSocketOption(
                level: .socket, name: SocketMemory.option)
            memory.assumeIsolated().whenSuccess { unsent += $0.queued }
        }
        return unsent
    }

    private func lookLater(in time: TimeAmount = ServedConnection.interval) {
        self.channel.eventLoop.assumeIsolated().scheduleTask(in: time) { [weak self] in self?.look() }
    }

    private func look() {
        guard self.channel.isActive else { return }
        let unsent = self.unsent
        guard self.times.isOverdue(at: .now(), unsent: unsent) else { return self.lookLater() }
        // By a reset: with FIN the kernel would keep for minutes what the client does not take.
        if unsent > 0, let socket = self.channel as? any SocketOptionProvider {
            _ = socket.setSoLinger(linger(l_onoff: 1, l_linger: 0))
        }
        self.channel.close(promise: nil)
    }
}

/// What the kernel keeps for a socket.
///
/// - Source: socket(7), SO_MEMINFO; the order is that of linux/sock_diag.h.
private struct SocketMemory: BitwiseCopyable, Sendable {
    private let counts: InlineArray<9, UInt32>

    static let option = NIOBSDSocket.Option(rawValue: 55)

    /// Bytes that wait until the other side confirms them, overhead included.
    var queued: Int { Int(self.counts[5]) }
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
