// SPDX-License-Identifier: Apache-2.0
// request path

package import Common
package import NIOCore
import NIOPosix
import NIOSSL
package import TLS

/// A connection that serves one request at a time: HTTP/1.1.
package protocol SingleConnection: Upstream {
    /// Whom it is shared by.
    var group: ConnectionPool.Group { get }
    /// Whether it may serve another request.
    var isOpen: Bool { get }
    /// When it began.
    var madeAt: NIODeadline { get }
    /// Requests sent so far.
    var served: Int { get }

    /// Waits in the pool to be used again, so long at most.
    func waitIdle(_ amount: TimeAmount)

    /// Waits no longer than this from now.
    func limitIdle(_ amount: TimeAmount)

    /// Was taken from the pool.
    func leaveIdle()

    /// Closes the connection; nobody waits for anything on it.
    func close()
}

/// A connection that many requests share: HTTP/2.
package protocol SharedConnection: AnyObject {
    /// Whom it is shared by.
    var group: ConnectionPool.Group { get }
    /// Whether it is open.
    var isOpen: Bool { get }
    /// Whether it takes another request now.
    var isAvailable: Bool { get }
    /// Whether others had better wait for it than open another connection.
    var isPending: Bool { get }
    /// Whether nothing is in flight.
    var isUnused: Bool { get }
    /// Whether the upstream has said its settings.
    var hasSettings: Bool { get }
    /// Whether it was not the upstream that wanted no more requests.
    var isGivenUp: Bool { get }
    /// Requests sent so far.
    var served: Int { get }

    /// The connection is made, and the pool has it.
    func start()

    /// A stream that is not open yet.
    func makeStream() -> any Upstream

    /// Sends no further request on it, and closes it when the last answer is complete.
    func retire()

    /// Waits no longer for the next request than this from now.
    func limitIdle(_ amount: TimeAmount)
}

/// What was dialled.
package enum DialledConnection {
    case single(any SingleConnection)
    case shared(any SharedConnection)
}

/// What is wanted of a connection.
package enum ConnectionKind {
    /// HTTP/1.1 in plain text.
    case http1
    /// HTTP/2 in plain text.
    case http2
    /// TLS, inside which ALPN decides.
    case secured(TLSMaterial.Offer)
    /// Bytes of a tunnel, whatever they are.
    case plain
}

/// Dials upstreams, and puts onto a connection what speaks its protocol.
package protocol UpstreamConnector: AnyObject {
    /// Connects to the endpoint of `group`.
    ///
    /// - Parameter then: Called once, on the loop, perhaps inside this call. A failure leaves nothing open.
    func dial(
        _ group: ConnectionPool.Group, _ kind: ConnectionKind, _ worker: Worker, _ settings: ProxySettings,
        then: @escaping (Result<DialledConnection, any Error>) -> Void)
}

/// Opens the channel of a connection: a socket, or in simulations something that behaves like one.
package protocol ChannelOpener: AnyObject {
    /// Connects to an address.
    ///
    /// - Parameter initialize: Puts handlers onto the channel before it is active.
    /// - Parameter then: Called once, on the loop: `nil` when it is connected.
    func open(
        _ address: SocketAddress, _ settings: ProxySettings, initialize: @escaping (any Channel) throws -> Void,
        then: @escaping ((any Error)?) -> Void)
}

/// Dials by sockets.
package final class SocketConnector: UpstreamConnector {
    private static let handshake = TimeAmount.seconds(5)

    private let opener: any ChannelOpener

    /// Sockets of a loop.
    convenience init(eventLoop: any EventLoop) { self.init(SocketOpener(eventLoop: eventLoop)) }

    /// Connections over what `opener` opens.
    package init(_ opener: any ChannelOpener) { self.opener = opener }

    package func dial(
        _ group: ConnectionPool.Group, _ kind: ConnectionKind, _ worker: Worker, _ settings: ProxySettings,
        then: @escaping (Result<DialledConnection, any Error>) -> Void
    ) {
        switch kind {
        case .http1, .plain:
            let connection = HTTP1ClientConnection(worker: worker, group: group)
            self.open(group, settings, connection) { result in
                if case .success = result { connection.made() }
                then(result.map { .single(connection) })
            }
        case .http2:
            let connection = HTTP2ClientConnection(worker: worker, group: group, settings: settings, isSecure: false)
            self.open(group, settings, connection) { result in
                if case .success = result { connection.made() }
                then(result.map { .shared(connection) })
            }
        case .secured(let offer):
            guard let tls = group.tls else { return then(.failure(ChannelError.operationUnsupported)) }
            self.secure(group, tls, offer, worker, settings, then)
        }
    }

    private func open(
        _ group: ConnectionPool.Group, _ settings: ProxySettings, _ handler: any ChannelHandler,
        then: @escaping (Result<Void, any Error>) -> Void
    ) {
        self.opener.open(group.endpoint.address, settings) { channel in
            try channel.pipeline.syncOperations.addHandler(handler)
        } then: { error in
            then(error.map { .failure($0) } ?? .success(()))
        }
    }

    private func secure(
        _ group: ConnectionPool.Group, _ tls: TLSMaterial, _ offer: TLSMaterial.Offer, _ worker: Worker,
        _ settings: ProxySettings, _ then: @escaping (Result<DialledConnection, any Error>) -> Void
    ) {
        var pending: ((Result<DialledConnection, any Error>) -> Void)? = then
        let handshake = TLSHandshake(
            tls, service: group.service, serverName: group.serverName, names: group.serverNames,
            metrics: worker.tlsMetrics, logger: worker.logger, limit: Self.handshake
        ) { result in
            guard let then = pending.take() else { return }
            switch result {
            case .failed: then(.failure(ChannelError.ioOnClosedChannel))
            case .completed(let negotiated, let context):
                let isHTTP2 = negotiated == .http2 || group.serverNames != nil && group.isStreamsOnly
                then(Result { try Self.dialled(group, isHTTP2, worker, settings, context) })
            }
        }
        // Where a control plane says nothing of a name, none is asked for.
        let name = group.serverName ?? (group.serverNames == nil ? tls.serverName(of: group.service) : nil)
        self.opener.open(group.endpoint.address, settings) { channel in
            guard let context = tls.context(offer) else { throw ChannelError.operationUnsupported }
            // A name that cannot be asked for is not; it may still be proven.
            let handler =
                try (try? NIOSSLClientHandler(context: context, serverHostname: name))
                ?? NIOSSLClientHandler(context: context, serverHostname: nil)
            try channel.pipeline.syncOperations.addHandlers([handler, handshake])
        } then: { error in
            if let error, let then = pending.take() { then(.failure(error)) }
        }
    }

    /// Puts onto a connection what ALPN has chosen.
    private static func dialled(
        _ group: ConnectionPool.Group, _ isHTTP2: Bool, _ worker: Worker, _ settings: ProxySettings,
        _ context: ChannelHandlerContext
    ) throws -> DialledConnection {
        if isHTTP2 {
            let connection = HTTP2ClientConnection(worker: worker, group: group, settings: settings, isSecure: true)
            try context.pipeline.syncOperations.addHandler(connection)
            return .shared(connection)
        }
        let connection = HTTP1ClientConnection(worker: worker, group: group)
        try context.pipeline.syncOperations.addHandler(connection)
        return .single(connection)
    }
}

/// Opens sockets.
private final class SocketOpener: ChannelOpener {
    private let eventLoop: any EventLoop

    init(eventLoop: any EventLoop) { self.eventLoop = eventLoop }

    func open(
        _ address: SocketAddress, _ settings: ProxySettings, initialize: @escaping (any Channel) throws -> Void,
        then: @escaping ((any Error)?) -> Void
    ) {
        let bound = NIOLoopBound(initialize, eventLoop: self.eventLoop)
        ClientBootstrap(group: self.eventLoop)
            .connectTimeout(settings.connect)
            .channelOption(.writeBufferWaterMark, value: settings.writeBufferWaterMark)
            .channelOption(.maxMessagesPerRead, value: ProxySettings.readsPerEvent)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture { try bound.value(channel) }
            }
            .connect(to: address)
            .assumeIsolated()
            .whenComplete { result in
                switch result {
                case .success: then(nil)
                case .failure(let error): then(error)
                }
            }
    }
}
