// SPDX-License-Identifier: Apache-2.0
// request path

package import Common
package import Logging
package import NIOCore

/// What one event loop owns.
///
/// It never leaves its loop, and nothing in it is shared.
package final class Worker {
    /// The loop.
    package let eventLoop: any EventLoop
    /// The newest directory of services.
    package let directory: Snapshot<ServiceDirectory>.Reader
    /// Requests that wait for the registry.
    package let waits: ServiceWaits
    /// Addresses of external hosts.
    package let addresses: HostAddresses
    /// The deadlines of all connections.
    package let deadlines: DeadlineTable
    /// Upstream connections.
    package let pool: ConnectionPool
    /// Metrics of this loop.
    package let metrics: WorkerMetrics
    /// What others want to know of single requests.
    package let telemetry: TelemetryBuffer
    /// The loop's number, from 0 on.
    package let index: Int
    private let slot: LoopSlot
    private var pulse: Scheduled<Void>?
    private var beats = 0
    private var lag = TimeAmount.zero
    private var expectedBeat = NIODeadline.distantFuture
    /// TLS of connections to instances.
    let tls: TLSContexts
    let tlsMetrics: TLSMetrics
    /// For what is rare enough to be logged.
    package let logger: Logger
    /// How close the process is to its memory limit.
    package let overload: Overload
    /// Whether debug messages go anywhere; saves asking the logger for each request.
    package private(set) var isDebugging: Bool
    /// When the event being handled began.
    ///
    /// Good to some microseconds, and cheaper than asking the clock each time.
    package private(set) var now = NIODeadline.now()
    /// Messages are put together here and written at once.
    ///
    /// Never in use across a call to another connection.
    var scratch = ByteBufferAllocator().buffer(capacity: 32 * 1024)

    /// Channels with something written and not flushed.
    private var unflushed: [ChannelHandlerContext] = []
    private var dirty: [HTTP2Connection] = []
    private var isFlushing = false
    /// Those of this turn, while they are flushed; empty otherwise, so that they can be exchanged.
    private var flushing: [ChannelHandlerContext] = []
    private var flushingShared: [HTTP2Connection] = []
    /// What was written to channels in this turn.
    private var lent: [ByteBuffer] = []
    private var spare: [ByteBuffer] = []

    /// Client connections.
    var clientCount = 0
    /// Those of them that speak HTTP/2.
    var http2Count = 0
    private var drivers: [ExchangeDriver] = []
    private var localEndpoints: [UInt16: Endpoint] = [:]
    private var localStreamEndpoints: [UInt16: Endpoint] = [:]
    private var movedEndpoints: [ObjectIdentifier: (from: Endpoint, to: Endpoint)] = [:]
    /// Callers that were seen before, by what they say of themselves.
    var sources = SourceCache()
    private var states: [ObjectIdentifier: ServiceState] = [:]
    private var hosts: [ObjectIdentifier: ServiceState] = [:]
    /// Chance, for choices that need it.
    package var random = FastRandom()

    /// The things of one loop.
    ///
    /// Callable off the loop, for hand-over.
    ///
    /// - Parameter ask: Asks the registry for a service; see ``ServiceWaits``.
    package init(
        eventLoop: any EventLoop, index: Int = 0, loopCount: Int, directory: Snapshot<ServiceDirectory>,
        metrics: MetricsRegistry, logger: Logger, overload: Overload, tls: TLSContexts = TLSContexts(),
        slot: LoopSlot = LoopSlot(), records: Mailbox<ExchangeRecords>? = nil,
        ask: (@Sendable (String) -> Bool)? = nil
    ) {
        self.index = index
        self.slot = slot
        self.telemetry = TelemetryBuffer(records, metrics: metrics)
        self.tls = tls
        self.tlsMetrics = TLSMetrics(metrics)
        self.eventLoop = eventLoop
        self.directory = directory.reader(for: eventLoop)
        self.waits = ServiceWaits(eventLoop: eventLoop, ask: ask)
        self.addresses = HostAddresses(eventLoop: eventLoop)
        self.deadlines = DeadlineTable(eventLoop: eventLoop)
        self.pool = ConnectionPool(eventLoop: eventLoop, index: index, loopCount: loopCount)
        self.metrics = WorkerMetrics(metrics)
        self.logger = logger
        self.overload = overload
        self.isDebugging = logger.logLevel <= .debug
    }

    /// Looks at the clock; at the beginning of each event.
    @inline(__always)
    package func tick() { self.now = .now() }

    // MARK: Reports

    private static let beat = TimeAmount.milliseconds(250)

    /// From now on the loop says once a second how it is, and hands on its records.
    ///
    /// It keeps the worker alive until ``stopReporting()``. A weak reference would not, but whatever has had one is slower
    /// to hold and let go for ever after, and this is what every request holds most often.
    func startReporting() {
        self.expectedBeat = .now() + Self.beat
        self.pulse = self.eventLoop.assumeIsolated().scheduleTask(in: Self.beat) {
            // It may have been due already when it was cancelled.
            guard self.pulse != nil else { return }
            self.report()
            self.startReporting()
        }
    }

    /// No report any more; called when the loop is about to end.
    package func stopReporting() {
        self.pulse?.cancel()
        self.pulse = nil
        self.telemetry.handOver()
    }

    private func report() {
        self.tick()
        // The level may be changed while the process runs.
        self.isDebugging = self.logger.logLevel <= .debug
        self.lag = max(self.lag, self.now - self.expectedBeat)
        self.telemetry.handOver()
        self.beats += 1
        guard self.beats % 4 == 0 else { return }
        var report = LoopReport()
        report.lag = Double(self.lag.nanoseconds) / 1e9
        self.lag = .zero
        report.clientConnections = self.clientCount
        report.http2Connections = self.http2Count
        report.upstreamConnections = self.pool.count
        report.idleUpstreamConnections = self.pool.idleCount
        report.waiting = self.waits.count
        self.slot.put(report)
    }

    /// Flushes a channel when the loop has looked at everything that has come in this turn.
    ///
    /// The scratch buffer was written to the channel, and is lent until then.
    func flushLater(_ context: ChannelHandlerContext) {
        self.scheduleFlush()
        self.unflushed.append(context)
        var next = self.spare.popLast() ?? ByteBufferAllocator().buffer(capacity: 4 * 1024)
        swap(&self.scratch, &next)
        self.lent.append(next)
    }

    /// The same for a connection that gathers what it sends by itself.
    func flushLater(_ connection: HTTP2Connection) {
        self.scheduleFlush()
        self.dirty.append(connection)
    }

    @inline(__always)
    private func scheduleFlush() {
        if self.isFlushing { return }
        self.isFlushing = true
        self.eventLoop.assumeIsolated().execute { self.flushAll() }
    }

    private func flushAll() {
        self.isFlushing = false
        // Whatever comes while these are flushed goes out in the next turn.
        swap(&self.unflushed, &self.flushing)
        swap(&self.dirty, &self.flushingShared)
        for connection in self.flushingShared { connection.flush() }
        for context in self.flushing { context.flush() }
        self.flushingShared.removeAll(keepingCapacity: true)
        self.flushing.removeAll(keepingCapacity: true)
        // Those of messages that flushing has called forth as well: what is still in use is not written over.
        while self.spare.count < 64, let buffer = self.lent.popLast() { self.spare.append(buffer) }
        self.lent.removeAll(keepingCapacity: true)
    }

    /// A driver that is free.
    func takeDriver() -> ExchangeDriver { self.drivers.popLast() ?? ExchangeDriver(worker: self) }

    /// Gives a driver back whose exchange has ended.
    func giveBack(_ driver: ExchangeDriver) {
        // More than this is the remains of a burst.
        if self.drivers.count < 256 { self.drivers.append(driver) }
    }

    /// The endpoint of a local port that no configuration names.
    ///
    /// - Parameter isGRPC: Whether it speaks gRPC.
    package func localEndpoint(_ port: UInt16, isGRPC: Bool) -> Endpoint {
        if let endpoint = isGRPC ? self.localStreamEndpoints[port] : self.localEndpoints[port] { return endpoint }
        let endpoint = Endpoint(loopbackPort: port, protocolName: isGRPC ? "grpc" : "rest")
        if isGRPC { self.localStreamEndpoints[port] = endpoint } else { self.localEndpoints[port] = endpoint }
        return endpoint
    }

    /// The place of `endpoint` with another port.
    package func endpoint(at endpoint: Endpoint, port: Int) -> Endpoint {
        let key = ObjectIdentifier(endpoint)
        if let (known, moved) = self.movedEndpoints[key], known === endpoint, moved.port == port { return moved }
        guard let moved = endpoint.moved(to: port) else { return endpoint }
        if self.movedEndpoints.count >= 10_000 { self.movedEndpoints.removeAll() }
        self.movedEndpoints[key] = (endpoint, moved)
        return moved
    }

    /// Closes the client connections of one direction on which nothing is in flight.
    func closeIdleConnections(_ direction: Direction) {
        for owner in self.deadlines.all { (owner as? any ClientConnection)?.closeIfIdle(direction) }
    }

    /// Closes every connection on which nothing is in flight, on both sides.
    package func closeIdleConnections() {
        self.closeIdleConnections(.outgoing)
        self.closeIdleConnections(.incoming)
        self.pool.limitIdle(to: 0)
    }

    /// Makes new settings hold for connections that are open already.
    func apply(_ settings: ProxySettings) {
        self.tick()
        for owner in self.deadlines.all { (owner as? any ClientConnection)?.limitIdle(settings.keepAlive) }
        self.pool.limitIdle(to: settings.maxIdleUpstream, for: settings.upstreamIdle)
    }

    /// What this loop keeps about a service from one request to the next.
    ///
    /// Cost: one look-up by identity; a new state when the directory has a new value for the service, or when something
    /// else governs it.
    package func state(of service: Service, _ governance: Governance) -> ServiceState {
        if let state = self.states[ObjectIdentifier(service)], state.governance === governance { return state }
        let policy = governance.policy(for: service.name)
        let old =
            self.states[ObjectIdentifier(service)] ?? self.states.values.first { $0.service.name == service.name }
        if let old, old.service === service, old.policy === policy {
            old.governance = governance
            return old
        }
        let state = ServiceState(
            service, policy, governance, self.metrics.counters(for: service), loop: self.index, upon: old)
        // Whatever the newest directory no longer holds is not asked for again.
        let directory = self.directory.value
        self.states = self.states.filter { directory[$0.value.service.name] === $0.value.service }
        self.states[ObjectIdentifier(service)] = state
        return state
    }

    /// What this loop keeps about an external host.
    package func state(ofHost host: Service, _ governance: Governance) -> ServiceState {
        if let state = self.hosts[ObjectIdentifier(host)], state.governance === governance { return state }
        if self.hosts.count >= 1000 { self.hosts.removeAll() }
        let state = ServiceState(
            host, governance.policy(for: host.name), governance, self.metrics.counters(for: host),
            loop: self.index, upon: nil)
        self.hosts[ObjectIdentifier(host)] = state
        return state
    }
}
