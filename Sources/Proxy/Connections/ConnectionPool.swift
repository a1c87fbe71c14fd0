// SPDX-License-Identifier: Apache-2.0
// request path

package import Common
import Logging
import NIOCore
import TLS

/// The upstream connections of one event loop, by endpoint.
///
/// Idle ones are taken last in, first out: the one used last is the least likely to have been closed by the other side,
/// and those that are not needed grow old and are closed. It never calls a driver inside a call of that driver: what is
/// there at once is returned, and those that wait are served by events of their own.
package final class ConnectionPool {
    /// What connections are shared by.
    ///
    /// Two services may have one address, and one of them stricter TLS: its requests must not get the connections of the
    /// other.
    struct Key: Hashable {
        let endpoint: ObjectIdentifier
        /// `nil` where there is no TLS that could tell services apart.
        let service: String?
    }

    /// The connections to one endpoint.
    package final class Group: EventTail {
        /// Keeps the endpoint alive, so that its identity is not given to another one.
        package let endpoint: Endpoint
        fileprivate(set) var idle: [any SingleConnection] = []
        /// HTTP/2 connections, which are never taken from here but shared.
        fileprivate(set) var shared: [any SharedConnection] = []
        /// Those that wait for a stream; one whose ticket is over has left.
        fileprivate var waiting: [Ticket] = []
        fileprivate var isConnecting = false
        /// Whether the HTTP/2 connection before has ended without settings: those that wait go together then, and do not
        /// fail one after the other.
        fileprivate(set) var hasBeenSilent = false
        /// What connections speak inside; `nil` for plain text.
        let tls: TLSMaterial?
        /// The service that the endpoint belongs to.
        let service: String
        /// Whether its connections are shared, as far as that is known.
        fileprivate var isHTTP2: Bool?
        /// Idle, busy and connecting.
        fileprivate(set) var count = 0 {
            didSet { self.shard.connections.add(self.count - oldValue) }
        }

        fileprivate let key: Key
        /// Shows operators how many there are.
        fileprivate let shard: EndpointShard
        fileprivate let pool: ConnectionPool
        fileprivate let worker: Worker
        private var isPutOff = false

        fileprivate init(
            _ key: Key, _ endpoint: Endpoint, _ service: String, _ tls: TLSMaterial?, _ pool: ConnectionPool,
            _ worker: Worker
        ) {
            self.key = key
            self.shard = endpoint.traffic.shard(of: pool.index)
            self.endpoint = endpoint
            self.service = service
            self.tls = tls
            self.pool = pool
            self.worker = worker
            if endpoint.protocolName == "grpc" { self.isHTTP2 = true } else if tls == nil { self.isHTTP2 = false }
        }

        /// Whether its upstream speaks HTTP/2 alone.
        var isStreamsOnly: Bool { self.endpoint.protocolName == "grpc" }

        /// Serves those that wait, when the event is over.
        func serveLater() {
            if self.isPutOff || self.waiting.isEmpty { return }
            self.isPutOff = true
            self.worker.putOff(self)
        }

        func eventEnds() {
            self.isPutOff = false
            self.pool.serveWaiting(self)
        }
    }

    /// What becomes of a request for a connection.
    enum Opening {
        /// It is there.
        case ready(any Upstream)
        /// The driver is told.
        case pending
        case refused(ProxyError)
    }

    private let connector: any UpstreamConnector
    private var groups: [Key: Group] = [:]
    /// Those without TLS, for most requests.
    private var recentGroups = IdentityCache<Group>()
    /// Connections that wait to be used again.
    package private(set) var idleCount = 0

    fileprivate let index: Int
    private let loopCount: Int

    /// - Parameter index: The loop's number.
    /// - Parameter loopCount: How many loops share what is allowed.
    init(index: Int, loopCount: Int, connector: any UpstreamConnector) {
        self.connector = connector
        self.index = index
        self.loopCount = loopCount
    }

    /// All connections, idle, busy and connecting.
    package var count: Int { self.groups.values.reduce(0) { $0 + $1.count } }

    /// How many wait for a stream.
    package var waitingCount: Int { self.groups.values.reduce(0) { $0 + $1.waiting.count { $0.isValid } } }

    /// A connection to `endpoint`, now or as soon as there is one.
    ///
    /// - Parameter mayReuse: Whether one that has served other requests will do.
    func open(_ endpoint: Endpoint, for ticket: Ticket, mayReuse: Bool) -> Opening {
        let driver = ticket.driver
        let group = self.group(of: endpoint, driver)
        let isTunnel = driver.exchange.request.method == .connect
        guard group.tls != nil || !endpoint.usesTLS || isTunnel else {
            let name = "\(group.service).\(endpoint.protocolName).Consumer"
            self.forgetIfUnused(group)
            return .refused(
                ProxyError(.connectFailed, "the instance wants TLS, and nothing below ssl.\(name) says how"))
        }
        let needsHTTP1 = isTunnel || driver.exchange.request.isWebSocketUpgrade
        if group.isHTTP2 != false, group.isStreamsOnly || !needsHTTP1 { return self.openStream(group, for: ticket) }
        if mayReuse, !isTunnel, let connection = group.idle.popLast() {
            self.idleCount -= 1
            group.shard.idle.add(-1)
            group.worker.metrics.upstreamReuses.add()
            connection.leaveIdle()
            return .ready(connection)
        }
        self.connect(group, for: ticket, isTunnel: isTunnel)
        return .pending
    }

    /// Takes back a connection that can serve another request.
    ///
    /// - Parameter idle: How long it may wait for one.
    /// - Parameter most: How many may wait on all loops.
    func giveBack(_ connection: any SingleConnection, idle: TimeAmount, most: Int) {
        guard connection.isOpen else { return }
        guard self.idleCount < most / self.loopCount else {
            connection.group.worker.metrics.count(.idleUpstream)
            connection.close()
            return
        }
        self.idleCount += 1
        connection.group.shard.idle.add()
        connection.group.idle.append(connection)
        connection.waitIdle(idle)
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
    func removeIdle(_ connection: any SingleConnection) {
        guard let index = connection.group.idle.lastIndex(where: { $0 === connection }) else { return }
        connection.group.idle.remove(at: index)
        connection.group.shard.idle.add(-1)
        self.idleCount -= 1
    }

    /// A connection is closed, for whatever reason; once for each.
    func closed(_ connection: any SingleConnection) { self.leave(connection.group) }

    private func leave(_ group: Group) {
        group.count -= 1
        assert(group.count >= 0, "a connection leaves its group once")
        self.forgetIfUnused(group)
    }

    private func forgetIfUnused(_ group: Group) {
        guard group.count == 0, group.waiting.isEmpty else { return }
        self.groups[group.key] = nil
        if self.recentGroups[group.endpoint] === group { self.recentGroups[group.endpoint] = nil }
    }

    private func group(of endpoint: Endpoint, _ driver: ExchangeDriver) -> Group {
        let worker = driver.exchange.worker
        let hasTLS = driver.exchange.direction == .outgoing && !worker.tls.all.isEmpty
        if !hasTLS, let group = self.recentGroups[endpoint], group.endpoint === endpoint { return group }
        let group = self.knownGroup(of: endpoint, driver, hasTLS: hasTLS)
        if group.key.service == nil { self.recentGroups[endpoint] = group }
        return group
    }

    private func knownGroup(of endpoint: Endpoint, _ driver: ExchangeDriver, hasTLS: Bool) -> Group {
        let worker = driver.exchange.worker
        let key = Key(endpoint: ObjectIdentifier(endpoint), service: hasTLS ? driver.exchange.instanceService : nil)
        if let group = self.groups[key] { return group }
        let service = driver.exchange.instanceService ?? ""
        // The local application is on this side of the network.
        let tls =
            !hasTLS
            ? nil : worker.tls.consumer(service, endpoint.protocolName, isExternal: driver.exchange.chain == .external)
        let group = Group(key, endpoint, service, tls, self, worker)
        self.groups[key] = group
        return group
    }

    // MARK: Connections of HTTP/1.1

    private func connect(_ group: Group, for ticket: Ticket, isTunnel: Bool) {
        group.count += 1
        let worker = group.worker
        let settings = Self.settings(of: ticket.driver)
        worker.metrics.upstreamConnects.add()
        let kind: ConnectionKind = isTunnel ? .plain : group.tls == nil ? .http1 : .secured(.http1)
        self.dial(group, kind, settings) { result in
            switch result {
            case .success(.single(let connection)):
                if ticket.isValid {
                    ticket.driver.connected(connection, ticket.number)
                } else {
                    // Its request was given up meanwhile.
                    self.giveBack(connection, idle: settings.upstreamIdle, most: settings.maxIdleUpstream)
                }
            case .success(.shared(let connection)):
                connection.retire()
                ticket.driver.connectFailed(ticket.number, Self.failure(ticket))
            case .failure(let error):
                self.leave(group)
                Self.log(error, group)
                ticket.driver.connectFailed(ticket.number, Self.failure(ticket))
            }
        }
    }

    /// Dials, and goes on in an event that is not inside a call of whoever waits.
    private func dial(
        _ group: Group, _ kind: ConnectionKind, _ settings: ProxySettings,
        then body: @escaping (Result<DialledConnection, any Error>) -> Void
    ) {
        let worker = group.worker
        self.connector.dial(group, kind, worker, settings) { result in
            worker.putOff(PutOff { body(result) })
        }
    }

    /// What a driver's connection obeys: the wait for the address of a host takes part of the time to connect.
    private static func settings(of driver: ExchangeDriver) -> ProxySettings {
        var settings = driver.settings
        if let limit = driver.exchange.balancing.subset?.connectLimit { settings.connect = limit }
        let isFirst = driver.exchange.attempts == 1
        guard isFirst, driver.exchange.chain == .external, driver.exchange.awaitsUntil != nil else { return settings }
        let waited = driver.worker.now - driver.exchange.startedAt
        settings.connect = max(settings.connect - waited, .milliseconds(100))
        return settings
    }

    private static func failure(_ ticket: Ticket) -> ProxyError {
        ProxyError(.connectFailed, ticket.driver.connectFailure)
    }

    private static func log(_ error: any Error, _ group: Group) {
        group.worker.logger.debug(
            "upstream connect failed", metadata: ["endpoint": "\(group.endpoint)", "error": "\(error)"])
    }

    // MARK: HTTP/2

    /// A stream of a connection that is shared.
    private func openStream(_ group: Group, for ticket: Ticket) -> Opening {
        if let connection = group.shared.first(where: { $0.isAvailable }) {
            group.worker.metrics.upstreamReuses.add()
            return .ready(connection.makeStream())
        }
        group.waiting.append(ticket)
        if !group.shared.contains(where: { $0.isPending }) {
            self.connectShared(group, Self.settings(of: ticket.driver))
        }
        return .pending
    }

    /// Gives streams to those that wait, as far as there are any.
    fileprivate func serveWaiting(_ group: Group) {
        while let ticket = group.waiting.first {
            guard ticket.isValid else {
                group.waiting.removeFirst()
                continue
            }
            guard let connection = group.shared.first(where: { $0.isAvailable }) else {
                if !group.shared.contains(where: { $0.isPending }) {
                    self.connectShared(group, Self.settings(of: ticket.driver))
                }
                return
            }
            group.waiting.removeFirst()
            ticket.driver.connected(connection.makeStream(), ticket.number)
        }
    }

    /// It is known how many streams a connection takes, or was waited for long enough.
    func settingsReceived(_ connection: any SharedConnection) {
        if connection.hasSettings { connection.group.hasBeenSilent = false }
        connection.group.serveLater()
    }

    /// A connection takes no more requests.
    func retired(_ connection: any SharedConnection) {
        connection.group.shared.removeAll { $0 === connection }
        if !connection.hasSettings { connection.group.hasBeenSilent = true }
        // Those that waited for its settings wait for another one now.
        connection.group.serveLater()
    }

    /// A connection is closed; once for each that was shared.
    func closed(_ connection: any SharedConnection) {
        self.retired(connection)
        self.leave(connection.group)
    }

    private func connectShared(_ group: Group, _ settings: ProxySettings) {
        guard !group.isConnecting else { return }
        group.isConnecting = true
        group.count += 1
        group.worker.metrics.upstreamConnects.add()
        let kind: ConnectionKind = group.tls == nil ? .http2 : .secured(group.isStreamsOnly ? .http2 : .either)
        self.dial(group, kind, settings) { result in
            group.isConnecting = false
            switch result {
            case .failure(let error):
                self.leave(group)
                Self.log(error, group)
                self.connectFailed(group)
            case .success(.shared(let connection)) where !connection.isOpen:
                // It was closed before anybody could use it.
                self.connectFailed(group)
            case .success(.shared(let connection)):
                group.isHTTP2 = true
                group.shared.append(connection)
                connection.start()
                self.serveWaiting(group)
            case .success(.single(let connection)) where group.isStreamsOnly:
                // It has not agreed on HTTP/2, and gRPC is nothing without.
                connection.close()
                self.connectFailed(group)
            case .success(.single(let connection)):
                group.isHTTP2 = false
                self.serve(group, connection, settings)
            }
        }
    }

    /// What was taken for a shared connection serves one request: the others get connections of their own.
    private func serve(_ group: Group, _ connection: any SingleConnection, _ settings: ProxySettings) {
        let waiting = group.waiting
        group.waiting = []
        var free: (any SingleConnection)? = connection
        for ticket in waiting where ticket.isValid {
            if let connection = free.take() {
                ticket.driver.connected(connection, ticket.number)
            } else {
                self.connect(group, for: ticket, isTunnel: false)
            }
        }
        if let free { self.giveBack(free, idle: settings.upstreamIdle, most: settings.maxIdleUpstream) }
    }

    /// Everybody who waited is told; a new try is theirs to begin.
    private func connectFailed(_ group: Group) {
        let waiting = group.waiting
        group.waiting = []
        for ticket in waiting { ticket.driver.connectFailed(ticket.number, Self.failure(ticket)) }
        self.forgetIfUnused(group)
    }
}
