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
        /// `nil` where a cluster says nothing of its connections.
        var scope: ConnectionScope.Key?
    }

    /// Whoever waits for a connection, or for a stream of one.
    struct Waiter {
        let ticket: Ticket
        /// Whether a stream of a shared connection is wanted.
        let isStream: Bool
        /// Whether one that has served other requests will not do.
        let isFresh: Bool
        /// The order in which they came, in a cluster that limits its connections.
        let number: UInt64
    }

    /// The connections to one endpoint.
    package final class Group: EventTail {
        /// Keeps the endpoint alive, so that its identity is not given to another one.
        package let endpoint: Endpoint
        fileprivate(set) var idle: [any SingleConnection] = []
        /// HTTP/2 connections, which are never taken from here but shared.
        var shared: [any SharedConnection] = []
        /// In their order; one whose ticket is over has left.
        var waiting: [Waiter] = []
        /// How many connections that may be shared are being made.
        var connecting = 0
        /// Whether the HTTP/2 connection before has ended without settings: those that wait go together then, and do not
        /// fail one after the other.
        var hasBeenSilent = false
        /// What connections speak inside; `nil` for plain text.
        let tls: TLSMaterial?
        /// What has to be written in `tls.yaml` before there can be a connection; `nil` where nothing has.
        let missingTag: String?
        /// What the upstream is asked for, where that is neither its service nor what the tag says.
        let serverName: String?
        /// What the upstream has to prove, where a control plane says it.
        let serverNames: [String]?
        /// The service that the endpoint belongs to.
        let service: String
        /// How long they are used; `nil` where no cluster says it.
        let life: ConnectionLife?
        /// Whether its upstream speaks HTTP/2 alone.
        let isStreamsOnly: Bool
        /// Whose connections these are, where a cluster limits them.
        let share: ClusterShare?
        /// Whether its connections are shared, as far as that is known.
        var isHTTP2: Bool?
        /// Idle, busy and connecting.
        var count = 0 {
            didSet { self.shard.connections.add(self.count - oldValue) }
        }
        /// How many clusters have its connections; others may come.
        var scopes = 0
        /// Whether the pool knows it no more: the next request to its endpoint gets another.
        fileprivate(set) var isForgotten = false

        let key: Key
        /// Shows operators how many there are.
        fileprivate let shard: EndpointShard
        let pool: ConnectionPool
        let worker: Worker
        private var isPutOff = false

        init(
            _ key: Key, _ endpoint: Endpoint, _ service: String, _ tls: TLSMaterial?, missing tag: String?,
            _ share: ClusterShare?, _ pool: ConnectionPool, _ worker: Worker
        ) {
            self.share = share
            self.missingTag = tag
            self.life = key.scope.flatMap { $0.life == ConnectionLife() ? nil : $0.life }
            self.isStreamsOnly = key.scope?.isHTTP2 ?? (endpoint.protocolName == "grpc")
            self.serverName = key.scope?.serverName
            if case .mesh(let mesh)? = key.scope?.security {
                self.serverNames = mesh.names
            } else {
                self.serverNames = nil
            }
            self.key = key
            self.shard = endpoint.traffic.shard(of: pool.index)
            self.endpoint = endpoint
            self.service = service
            self.tls = tls
            self.pool = pool
            self.worker = worker
            if self.isStreamsOnly {
                self.isHTTP2 = true
            } else if tls == nil || key.scope?.isHTTP2 != nil || self.serverNames != nil {
                // A control plane says which protocol it is.
                self.isHTTP2 = false
            }
        }

        /// Serves those that wait, when the event is over.
        func serveLater() {
            if self.isPutOff || self.waiting.isEmpty { return }
            if let share = self.share { return share.serveLater() }
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
    var groups: [Key: Group] = [:]
    /// Those of clusters that limit their connections, by what counts them.
    var shares: [ObjectIdentifier: ClusterShare] = [:]
    /// How many wait for as long as their clusters say.
    var lasting = 0
    /// Those that requests have had lately, of clusters that say nothing of their connections: hashing a key with names takes
    /// longer than all the rest of the look-up.
    var recentGroups = IdentityCache<Group>()
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

    /// How many wait for a stream, or for a connection of a cluster that limits them.
    package var waitingCount: Int { self.groups.values.reduce(0) { $0 + $1.waiting.count { $0.ticket.isValid } } }

    /// A connection to `endpoint`, now or as soon as there is one.
    ///
    /// - Parameter mayReuse: Whether one that has served other requests will do.
    func open(_ endpoint: Endpoint, for ticket: Ticket, mayReuse: Bool) -> Opening {
        let driver = ticket.driver
        let group = self.group(of: endpoint, driver)
        let isTunnel = driver.exchange.request.method == .connect
        if let tag = group.missingTag, !isTunnel {
            self.forgetIfUnused(group)
            return .refused(
                ProxyError(.connectFailed, "the instance wants TLS, and nothing below ssl.\(tag) says how"))
        }
        let needsHTTP1 = isTunnel || driver.exchange.request.isWebSocketUpgrade
        if group.isHTTP2 != false, group.isStreamsOnly || !needsHTTP1 { return self.openStream(group, for: ticket) }
        if mayReuse, !isTunnel, group.waiting.isEmpty, let connection = self.takeIdle(group) {
            return .ready(connection)
        }
        if let share = group.share { return share.open(group, for: ticket, isFresh: !mayReuse) }
        self.connect(group, for: ticket, isTunnel: isTunnel)
        return .pending
    }

    /// Takes back a connection that can serve another request.
    ///
    /// - Parameter idle: How long it may wait for one.
    /// - Parameter most: How many may wait on all loops.
    func giveBack(_ connection: any SingleConnection, idle: TimeAmount, most: Int) {
        guard connection.isOpen else { return }
        guard let idle = connection.group.idleTime(idle, since: connection.madeAt, served: connection.served) else {
            connection.group.worker.metrics.count(.connectionLife)
            connection.close()
            return
        }
        if let share = connection.group.share, share.wantsPlace(of: connection.group) {
            share.giveUp { connection.close() }
            return
        }
        guard self.idleCount < most / self.loopCount || !connection.group.waiting.isEmpty else {
            connection.group.worker.metrics.count(.idleUpstream)
            connection.close()
            return
        }
        self.idleCount += 1
        connection.group.shard.idle.add()
        connection.group.idle.append(connection)
        connection.waitIdle(idle)
        if connection.group.share != nil { connection.group.serveLater() }
    }

    /// An idle connection for whoever waits for one; `nil` when there is none.
    func takeIdle(_ group: Group) -> (any SingleConnection)? {
        guard let connection = group.idle.popLast() else { return nil }
        self.idleCount -= 1
        group.shard.idle.add(-1)
        group.worker.metrics.upstreamReuses.add()
        connection.leaveIdle()
        return connection
    }

    /// Closes idle connections beyond `count` of the process, the oldest of each endpoint first, and lets none of the
    /// others wait longer than `amount` from now.
    func limitIdle(to count: Int, for amount: TimeAmount? = nil) {
        var surplus = self.idleCount - count / self.loopCount
        for group in Array(self.groups.values) {
            // What a cluster says of them goes on to hold.
            let amount = group.life?.idle == nil ? amount : nil
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

    /// Lets the idle connections of a group wait no longer than the longest time that clusters do not say.
    func limitIdle(_ group: Group) {
        for connection in group.shared { connection.limitIdle(Self.lastWait) }
        for connection in group.idle { connection.limitIdle(Self.lastWait) }
    }

    private static var lastWait: TimeAmount { .seconds(15) }

    /// An idle connection is about to be closed: it must not be chosen any more.
    func removeIdle(_ connection: any SingleConnection) {
        guard let index = connection.group.idle.lastIndex(where: { $0 === connection }) else { return }
        connection.group.idle.remove(at: index)
        connection.group.shard.idle.add(-1)
        self.idleCount -= 1
    }

    /// A connection is closed, for whatever reason; once for each.
    func closed(_ connection: any SingleConnection) { self.leave(connection.group) }

    func leave(_ group: Group) {
        group.count -= 1
        assert(group.count >= 0, "a connection leaves its group once")
        group.share?.connectionLeft()
        self.forgetIfUnused(group)
    }

    func forgetIfUnused(_ group: Group) {
        guard group.count == 0, group.waiting.isEmpty else { return }
        self.groups[group.key] = nil
        group.isForgotten = true
        if group.life?.idle != nil { self.lasting -= 1 }
        if let share = group.share, share.forget(group) { self.shares[ObjectIdentifier(share.tickets)] = nil }
        if self.recentGroups[group.endpoint] === group { self.recentGroups[group.endpoint] = nil }
    }

    // MARK: Connections of HTTP/1.1

    /// Dials for one request alone.
    func connect(_ group: Group, for ticket: Ticket, isTunnel: Bool) {
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
                } else if isTunnel {
                    // It is in plain text, whatever the endpoint's others are.
                    connection.close()
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
    func dial(
        _ group: Group, _ kind: ConnectionKind, _ settings: ProxySettings,
        then body: @escaping (Result<DialledConnection, any Error>) -> Void
    ) {
        let worker = group.worker
        self.connector.dial(group, kind, worker, settings) { result in
            worker.putOff(PutOff { body(result) })
        }
    }

    /// What a driver's connection obeys: the wait for the address of a host takes part of the time to connect.
    static func settings(of driver: ExchangeDriver) -> ProxySettings {
        var settings = driver.settings
        if let limit = driver.exchange.balancing.balancer?.connectLimit { settings.connect = limit }
        let isFirst = driver.exchange.attempts == 1
        guard isFirst, driver.exchange.chain == .external, driver.exchange.awaitsUntil != nil else { return settings }
        let waited = driver.worker.now - driver.exchange.startedAt
        settings.connect = max(settings.connect - waited, .milliseconds(100))
        return settings
    }

    static func failure(_ ticket: Ticket) -> ProxyError {
        ProxyError(.connectFailed, ticket.driver.connectFailure)
    }

    static func log(_ error: any Error, _ group: Group) {
        group.worker.logger.debug(
            "upstream connect failed", metadata: ["endpoint": "\(group.endpoint)", "error": "\(error)"])
    }
}
