// SPDX-License-Identifier: Apache-2.0
// request path

import Common
import Logging
import NIOCore
import NIOPosix
import NIOSSL

/// The upstream connections of one event loop, by endpoint.
///
/// Idle ones are taken last in, first out: the one used last is the least likely to have been closed by the other side,
/// and those that are not needed grow old and are closed.
package final class ConnectionPool {
    /// What connections are shared by.
    ///
    /// Two services may have one address, and one of them stricter TLS: its requests must not get the connections of the
    /// other.
    fileprivate struct Key: Hashable {
        let endpoint: ObjectIdentifier
        /// `nil` where there is no TLS that could tell services apart.
        let service: String?
    }

    /// The connections to one endpoint.
    final class Group {
        // Keeps the endpoint alive, so that its identity is not given to another one.
        let endpoint: Endpoint
        fileprivate(set) var idle: [HTTP1ClientConnection] = []
        /// HTTP/2 connections, which are never taken from here but shared.
        fileprivate(set) var shared: [HTTP2ClientConnection] = []
        /// Exchanges that wait for a stream.
        fileprivate var waiting: [(driver: ExchangeDriver, serial: Int)] = []
        fileprivate var isConnecting = false
        /// Whether the HTTP/2 connection before has ended without settings: those that wait go together then, and do not
        /// fail one after the other.
        fileprivate(set) var hasBeenSilent = false
        /// What connections speak inside; `nil` for plain text.
        fileprivate let tls: TLSMaterial?
        /// The service that the endpoint belongs to.
        fileprivate let service: String
        /// Whether its connections are shared, as far as that is known.
        fileprivate var isHTTP2: Bool?
        /// Idle, busy and connecting.
        fileprivate(set) var count = 0 {
            didSet { self.shard.connections.add(self.count - oldValue) }
        }

        fileprivate let key: Key
        /// Shows operators how many there are.
        fileprivate let shard: EndpointShard

        fileprivate init(
            _ key: Key, _ endpoint: Endpoint, _ service: String, _ tls: TLSMaterial?, _ shard: EndpointShard
        ) {
            self.key = key
            self.shard = shard
            self.endpoint = endpoint
            self.service = service
            self.tls = tls
            if endpoint.protocolName == "grpc" { self.isHTTP2 = true } else if tls == nil { self.isHTTP2 = false }
        }
    }

    private let eventLoop: any EventLoop
    private var groups: [Key: Group] = [:]
    /// Connections that wait to be used again.
    package private(set) var idleCount = 0

    private let index: Int
    private let loopCount: Int

    /// - Parameter index: The loop's number.
    /// - Parameter loopCount: How many loops share what is allowed.
    init(eventLoop: any EventLoop, index: Int, loopCount: Int) {
        self.eventLoop = eventLoop
        self.index = index
        self.loopCount = loopCount
    }

    /// All connections, idle, busy and connecting.
    package var count: Int { self.groups.values.reduce(0) { $0 + $1.count } }

    /// Gives `driver` a connection to `endpoint`, now or as soon as there is one.
    ///
    /// - Parameter mayReuse: Whether one that has served other requests will do.
    func open(_ endpoint: Endpoint, for driver: ExchangeDriver, mayReuse: Bool) {
        let group = self.group(of: endpoint, driver)
        let isTunnel = driver.exchange.request.method == .connect
        guard group.tls != nil || !endpoint.usesTLS || isTunnel else {
            let name = "\(group.service).\(endpoint.protocolName).Consumer"
            driver.connectFailed(
                ProxyError(.connectFailed, "the instance wants TLS, and nothing below ssl.\(name) says how"))
            return
        }
        let needsHTTP1 = isTunnel || driver.exchange.request.isWebSocketUpgrade
        if group.isHTTP2 != false, endpoint.protocolName == "grpc" || !needsHTTP1 {
            self.openStream(group, for: driver)
            return
        }
        if mayReuse, !isTunnel, let connection = group.idle.popLast() {
            self.idleCount -= 1
            group.shard.idle.add(-1)
            driver.exchange.worker.metrics.upstreamReuses.add()
            connection.leaveIdle()
            driver.connected(connection)
            return
        }
        self.connect(group, for: driver)
    }

    /// Takes back a connection that can serve another request.
    ///
    /// - Parameter idle: How long it may wait for one.
    /// - Parameter most: How many may wait on all loops.
    func giveBack(_ connection: HTTP1ClientConnection, idle: TimeAmount, most: Int) {
        guard self.idleCount < most / self.loopCount else {
            connection.worker.metrics.count(.idleUpstream)
            connection.close()
            return
        }
        self.idleCount += 1
        connection.group.shard.idle.add()
        connection.group.idle.append(connection)
        connection.waitIdle(idle)
    }

    // MARK: HTTP/2

    /// Gives `driver` a stream of a connection that is shared.
    private func openStream(_ group: Group, for driver: ExchangeDriver) {
        if let connection = group.shared.first(where: \.isAvailable) {
            driver.exchange.worker.metrics.upstreamReuses.add()
            driver.connected(connection.makeStream())
            return
        }
        group.waiting.append((driver, driver.serial))
        if group.shared.contains(where: \.isPending) { return }
        self.connectShared(group, driver.exchange.worker, driver.settings)
    }

    /// Gives streams to those that wait, as far as there are any.
    func serveWaiting(_ group: Group) {
        while !group.waiting.isEmpty, let connection = group.shared.first(where: \.isAvailable) {
            let (driver, serial) = group.waiting.removeFirst()
            if driver.serial == serial { driver.connected(connection.makeStream()) }
        }
        guard let (driver, _) = group.waiting.first, !group.shared.contains(where: \.isPending) else { return }
        self.connectShared(group, driver.exchange.worker, driver.settings)
    }

    /// It is known how many streams a connection takes.
    func settingsReceived(_ connection: HTTP2ClientConnection) {
        connection.group.hasBeenSilent = false
        self.serveWaiting(connection.group)
    }

    /// A connection takes no more requests.
    func retired(_ connection: HTTP2ClientConnection) {
        connection.group.shared.removeAll { $0 === connection }
        if !connection.hasSettings { connection.group.hasBeenSilent = true }
        // Those that waited for its settings wait for another one now.
        if !connection.group.waiting.isEmpty { self.serveWaiting(connection.group) }
    }

    /// A connection is closed.
    func closed(_ connection: HTTP2ClientConnection) {
        guard connection.isCounted else { return }
        connection.isCounted = false
        self.retired(connection)
        self.leave(connection.group)
    }

    private func connectShared(_ group: Group, _ worker: Worker, _ settings: ProxySettings) {
        guard !group.isConnecting else { return }
        group.isConnecting = true
        group.count += 1
        if let tls = group.tls {
            self.connectSecurely(group, tls, worker, settings)
            return
        }
        worker.metrics.upstreamConnects.add()
        let connection = HTTP2ClientConnection(worker: worker, group: group, settings: settings, isSecure: false)
        let bound = NIOLoopBound(connection, eventLoop: self.eventLoop)
        self.bootstrap(settings)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(bound.value)
                }
            }
            .connect(to: group.endpoint.address)
            .assumeIsolated()
            .whenComplete { result in
                worker.tick()
                group.isConnecting = false
                switch result {
                case .success:
                    connection.start()
                    group.shared.append(connection)
                    self.serveWaiting(group)
                case .failure(let error):
                    connection.isCounted = false
                    self.leave(group)
                    self.connectFailed(group, worker, error)
                }
            }
    }

    /// Opens a connection with TLS, which tells what is spoken inside.
    private func connectSecurely(_ group: Group, _ tls: TLSMaterial, _ worker: Worker, _ settings: ProxySettings) {
        worker.metrics.upstreamConnects.add()
        let offer: TLSMaterial.Offer = group.endpoint.protocolName == "grpc" ? .http2 : .either
        self.secureChannel(group, tls, offer, worker, settings) { result in
            worker.tick()
            group.isConnecting = false
            switch result {
            case .failure(let error):
                self.leave(group)
                self.connectFailed(group, worker, error)
            case .success(.shared(let connection)):
                group.isHTTP2 = true
                connection.start()
                group.shared.append(connection)
                self.serveWaiting(group)
            case .success(.single(let connection)):
                group.isHTTP2 = false
                let waiting = group.waiting
                group.waiting = []
                var free: HTTP1ClientConnection? = connection
                for (driver, serial) in waiting where driver.serial == serial {
                    if let connection = free.take() {
                        driver.connected(connection)
                    } else {
                        self.connect(group, for: driver)
                    }
                }
                if let connection = free {
                    self.giveBack(connection, idle: settings.upstreamIdle, most: settings.maxIdleUpstream)
                }
            }
        }
    }

    /// A connection whose handshake is done.
    private enum Secured {
        case shared(HTTP2ClientConnection)
        case single(HTTP1ClientConnection)
    }

    private func secureChannel(
        _ group: Group, _ tls: TLSMaterial, _ offer: TLSMaterial.Offer, _ worker: Worker, _ settings: ProxySettings,
        then body: @escaping (Result<Secured, any Error>) -> Void
    ) {
        var pending: ((Result<Secured, any Error>) -> Void)? = body
        let handshake = TLSHandshake(
            tls, service: group.service, metrics: worker.tlsMetrics, logger: worker.logger, limit: Self.handshake
        ) { result in
            guard let body = pending.take() else { return }
            switch result {
            case .failed: body(.failure(ChannelError.ioOnClosedChannel))
            case .completed(let alpn, let context):
                do {
                    if alpn == .http2 {
                        let connection = HTTP2ClientConnection(
                            worker: worker, group: group, settings: settings, isSecure: true)
                        try context.pipeline.syncOperations.addHandler(connection)
                        body(.success(.shared(connection)))
                    } else {
                        let connection = HTTP1ClientConnection(worker: worker, group: group)
                        try context.pipeline.syncOperations.addHandler(connection)
                        body(.success(.single(connection)))
                    }
                } catch {
                    body(.failure(error))
                }
            }
        }
        let bound = NIOLoopBound(handshake, eventLoop: self.eventLoop)
        let name = tls.serverName(of: group.service)
        self.bootstrap(settings)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    guard let context = tls.context(offer) else { throw ChannelError.operationUnsupported }
                    // A name that cannot be asked for is not; it may still be proven.
                    let handler =
                        try (try? NIOSSLClientHandler(context: context, serverHostname: name))
                        ?? NIOSSLClientHandler(context: context, serverHostname: nil)
                    try channel.pipeline.syncOperations.addHandlers([handler, bound.value])
                }
            }
            .connect(to: group.endpoint.address)
            .assumeIsolated()
            .whenFailure { error in
                if let body = pending.take() { body(.failure(error)) }
            }
    }

    private static let handshake = TimeAmount.seconds(5)

    /// Everybody who waited is told; a new attempt is theirs to begin.
    private func connectFailed(_ group: Group, _ worker: Worker, _ error: any Error) {
        worker.logger.debug(
            "upstream connect failed", metadata: ["endpoint": "\(group.endpoint)", "error": "\(error)"])
        let waiting = group.waiting
        group.waiting = []
        for (driver, serial) in waiting where driver.serial == serial {
            driver.connectFailed(ProxyError(.connectFailed, driver.connectFailure))
        }
    }

    private func bootstrap(_ settings: ProxySettings) -> ClientBootstrap {
        ClientBootstrap(group: self.eventLoop)
            .connectTimeout(settings.connect)
            .channelOption(.writeBufferWaterMark, value: settings.writeBufferWaterMark)
            .channelOption(.maxMessagesPerRead, value: ProxySettings.readsPerEvent)
    }

    /// Closes idle connections beyond `count` of the process, the oldest of each endpoint first, and lets none of the
    /// others wait longer than `amount` from now.
    func limitIdle(to count: Int, for amount: TimeAmount? = nil) {
        var surplus = self.idleCount - count / self.loopCount
        for group in Array(self.groups.values) {
            for connection in group.shared {
                if count == 0, connection.isUnused {
                    connection.retire()
                } else if let amount {
                    connection.limitIdle(amount)
                }
            }
            for connection in group.idle {
                if surplus > 0 {
                    surplus -= 1
                    connection.close()
                } else if let amount {
                    connection.limitIdle(amount)
                }
            }
        }
    }

    /// An idle connection is about to be closed: it must not be chosen any more.
    func removeIdle(_ connection: HTTP1ClientConnection) {
        guard let index = connection.group.idle.lastIndex(where: { $0 === connection }) else { return }
        connection.group.idle.remove(at: index)
        connection.group.shard.idle.add(-1)
        self.idleCount -= 1
    }

    /// A connection is closed, for whatever reason.
    func closed(_ connection: HTTP1ClientConnection) { self.leave(connection.group) }

    private func leave(_ group: Group) {
        group.count -= 1
        if group.count == 0 { self.groups[group.key] = nil }
    }

    private func group(of endpoint: Endpoint, _ driver: ExchangeDriver) -> Group {
        let hasTLS = driver.exchange.direction == .outgoing && !driver.exchange.worker.tls.all.isEmpty
        let key = Key(endpoint: ObjectIdentifier(endpoint), service: hasTLS ? driver.exchange.service?.name : nil)
        if let group = self.groups[key] { return group }
        let service = driver.exchange.service?.name ?? ""
        // The local application is on this side of the network.
        let tls =
            !hasTLS
            ? nil
            : driver.exchange.worker.tls.consumer(
                service, endpoint.protocolName, isExternal: driver.exchange.isExternal)
        let group = Group(key, endpoint, service, tls, endpoint.traffic.shard(of: self.index))
        self.groups[key] = group
        return group
    }

    private func connect(_ group: Group, for driver: ExchangeDriver) {
        group.count += 1
        let worker = driver.exchange.worker
        worker.metrics.upstreamConnects.add()
        let connection = HTTP1ClientConnection(worker: worker, group: group)
        let bound = NIOLoopBound(connection, eventLoop: self.eventLoop)
        let serial = driver.serial
        let settings = driver.settings
        if let tls = group.tls, driver.exchange.request.method != .connect {
            self.secureChannel(group, tls, .http1, worker, settings) { result in
                worker.tick()
                switch result {
                case .success(.single(let connection)):
                    if driver.serial == serial {
                        driver.connected(connection)
                    } else {
                        self.giveBack(connection, idle: settings.upstreamIdle, most: settings.maxIdleUpstream)
                    }
                case .success(.shared), .failure:
                    self.leave(group)
                    guard driver.serial == serial else { return }
                    driver.connectFailed(ProxyError(.connectFailed, driver.connectFailure))
                }
            }
            return
        }
        self.bootstrap(settings)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(bound.value)
                }
            }
            .connect(to: group.endpoint.address)
            .assumeIsolated()
            .whenComplete { result in
                switch result {
                case .success:
                    worker.tick()
                    if driver.serial == serial {
                        driver.connected(connection)
                    } else {
                        // Its request was given up meanwhile.
                        self.giveBack(connection, idle: settings.upstreamIdle, most: settings.maxIdleUpstream)
                    }
                case .failure(let error):
                    self.leave(group)
                    guard driver.serial == serial else { return }
                    worker.logger.debug(
                        "upstream connect failed",
                        metadata: ["endpoint": "\(group.endpoint)", "error": "\(error)"])
                    driver.connectFailed(ProxyError(.connectFailed, driver.connectFailure))
                }
            }
    }
}
