// SPDX-License-Identifier: Apache-2.0
// request path

package import Common
package import Logging
package import NIOCore
package import TLS

#if canImport(Glibc)
    import Glibc
#endif

/// What one event loop owns.
///
/// It never leaves its loop, and nothing in it is shared.
package final class Worker {
    /// The loop.
    package let eventLoop: any EventLoop
    private let mesh: Snapshot<Mesh>.Reader
    /// The newest directory of services.
    @inline(__always)
    package var directory: ServiceDirectory { self.mesh.value.services }
    /// The newest rules about calls; of the same moment as ``directory``.
    @inline(__always)
    package var rules: MeshRules { self.mesh.value.rules }
    /// What governs calls, shared by all loops.
    package let governance: Governance
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
    package private(set) var now: NIODeadline
    /// What was written and goes out at the end of the turn.
    let flushes: FlushQueue
    /// Whether an event is being handled.
    package private(set) var isInEvent = false
    /// What was put off to the end of the event.
    private var atEnd: [any EventTail] = []
    /// When a line about a kind of thing that peers do was written last.
    private var logged: [Limit: NIODeadline] = [:]

    /// What answers say of the time; at most a quarter of a second old.
    private(set) var date: HeaderLine
    private var dates = HTTPDate()

    /// For values that are put together; see ``withScratch(_:)``.
    private var scratch: [UInt8] = []
    /// Copies of requests that are under way.
    var mirrors = Mirrors()
    /// Client connections.
    var clientCount = 0
    /// Those of them that speak HTTP/2.
    var http2Count = 0
    private var drivers: [ExchangeDriver] = []
    /// Bounds what is sent again to the local application.
    private let resends: RetryBudget
    private var localEndpoints: [UInt16: Endpoint] = [:]
    private var localStreamEndpoints: [UInt16: Endpoint] = [:]
    private var movedEndpoints: [MovedKey: (from: Endpoint, to: Endpoint)] = [:]
    /// Callers that were seen before, by what they say of themselves.
    var sources = SourceCache()
    private var states: ServiceStates
    /// Chance, for choices that need it.
    package var random = FastRandom()

    /// The things of one loop.
    ///
    /// Callable off the loop, for hand-over.
    ///
    /// - Parameter ask: Asks the registry for a service; see ``ServiceWaits``.
    /// - Parameter connector: Dials upstreams; sockets when there is none.
    /// - Parameter resolver: Looks up external hosts.
    package init(
        eventLoop: any EventLoop, index: Int = 0, loopCount: Int, mesh: Snapshot<Mesh>,
        governance: Governance = Governance(), metrics: MetricsRegistry, logger: Logger, overload: Overload,
        tls: TLSContexts = TLSContexts(),
        slot: LoopSlot = LoopSlot(), records: Mailbox<ExchangeRecords>? = nil,
        ask: (@Sendable (RegistryMessage) -> Bool)? = nil, connector: (any UpstreamConnector)? = nil,
        resolver: NameResolver = .shared
    ) {
        self.index = index
        self.resends = RetryBudget(loops: loopCount)
        self.states = ServiceStates(loop: index, of: loopCount)
        self.slot = slot
        self.telemetry = TelemetryBuffer(records, metrics: metrics)
        self.tls = tls
        self.tlsMetrics = TLSMetrics(metrics)
        self.eventLoop = eventLoop
        self.now = eventLoop.now
        self.date = self.dates.line(at: Self.wallClock)
        self.flushes = FlushQueue(eventLoop: eventLoop)
        self.mesh = mesh.reader(for: eventLoop)
        self.governance = governance
        self.waits = ServiceWaits(eventLoop: eventLoop, ask: ask)
        self.addresses = HostAddresses(eventLoop: eventLoop, resolver: resolver)
        self.deadlines = DeadlineTable(eventLoop: eventLoop)
        self.pool = ConnectionPool(
            index: index, loopCount: loopCount, connector: connector ?? SocketConnector(eventLoop: eventLoop))
        self.metrics = WorkerMetrics(metrics)
        self.logger = logger
        self.overload = overload
        self.isDebugging = logger.logLevel <= .debug
    }

    // MARK: Events

    /// Handles one event of the loop: the only way in, from a channel, a timer or a task.
    ///
    /// It reads the clock once, and does at the end what was put off, until nothing is. Inside an event it only calls
    /// `body`: a connection that hands over to another one is still in the same event.
    @inline(__always)
    package func event(_ body: () -> Void) {
        if self.isInEvent { return body() }
        self.isInEvent = true
        self.now = self.eventLoop.now
        body()
        if !self.atEnd.isEmpty { self.endEvent() }
        self.isInEvent = false
    }

    /// Puts something off to the end of the event, which is now when there is none.
    ///
    /// Here, and nowhere else, a channel's report from inside a call (it is inactive, its writability has changed) becomes
    /// one that comes after it: nobody is called back inside a call.
    func putOff(_ tail: any EventTail) {
        self.event { self.atEnd.append(tail) }
    }

    /// Sends what was written in the turn that has ended.
    ///
    /// Nobody hears of it unless a channel fails or drains: the clock is read only then.
    func flush() {
        assert(!self.isInEvent, "the turn is over")
        self.isInEvent = true
        self.flushes.flush()
        if !self.atEnd.isEmpty {
            self.now = self.eventLoop.now
            self.endEvent()
        }
        self.isInEvent = false
    }

    private func endEvent() {
        var index = 0
        while index < self.atEnd.count {
            self.atEnd[index].eventEnds()
            index += 1
        }
        self.atEnd.removeAll(keepingCapacity: index <= 64)
    }

    // MARK: Memory

    /// Calls `body` with an empty array whose memory is used again and again.
    @inline(__always)
    func withScratch(_ body: (inout [UInt8]) -> Void) {
        var bytes: [UInt8] = []
        swap(&bytes, &self.scratch)
        body(&bytes)
        bytes.removeAll(keepingCapacity: bytes.capacity <= 16 * 1024)
        swap(&bytes, &self.scratch)
    }

    // MARK: Log

    /// Says what a peer has done, at most once a second for each kind: peers must not fill the log.
    func log(_ text: Logger.Message, _ kind: Limit, metadata: @autoclosure () -> Logger.Metadata) {
        if let last = self.logged[kind], self.now - last < .seconds(1) { return }
        self.logged[kind] = self.now
        self.logger.info(text, metadata: metadata())
    }

    /// An upstream has sent a response that cannot be passed on: what its client is told, and a line of the log.
    ///
    /// - Parameter text: What is wrong with it.
    func malformed(_ text: String?, _ group: ConnectionPool.Group) -> ProxyError {
        self.metrics.count(.responseHead)
        self.log(
            "upstream sent a malformed response", .responseHead,
            metadata: [
                "endpoint": "\(group.endpoint)", "service": "\(group.service)", "error": "\(text ?? "")",
            ])
        let detail = text.map { ": \($0)" } ?? ""
        return ProxyError(.badUpstreamResponse, "upstream sent a malformed response\(detail)")
    }

    // MARK: Reports

    /// Seconds since 1970.
    private static var wallClock: Int64 { Int64(time(nil)) }

    private static let beat = TimeAmount.milliseconds(250)

    /// From now on the loop says once a second how it is, and hands on its records.
    ///
    /// It keeps the worker alive until ``stopReporting()``. A weak reference would not, but whatever has had one is slower
    /// to hold and let go for ever after, and this is what every request holds most often.
    func startReporting() {
        self.expectedBeat = self.eventLoop.now + Self.beat
        self.pulse = self.eventLoop.assumeIsolated().scheduleTask(in: Self.beat) {
            // It may have been due already when it was cancelled.
            guard self.pulse != nil else { return }
            self.event { self.report() }
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
        // The level may be changed while the process runs.
        self.isDebugging = self.logger.logLevel <= .debug
        self.date = self.dates.line(at: Self.wallClock)
        self.lag = max(self.lag, self.now - self.expectedBeat)
        self.cutLargest()
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

    /// A driver that is free.
    package func takeDriver() -> ExchangeDriver {
        if let driver = self.drivers.popLast() { return driver }
        let driver = ExchangeDriver(worker: self)
        self.deadlines.add(driver)
        return driver
    }

    /// Gives a driver back whose exchange has ended.
    package func giveBack(_ driver: ExchangeDriver) {
        assert(driver.isIdle, "a driver is given back when its exchange has ended")
        // More than this is the remains of a burst.
        if self.drivers.count < 256 {
            self.drivers.append(driver)
        } else {
            self.deadlines.remove(driver)
        }
    }

    /// Takes one sending again from the budget of the called service, or from that of what has none.
    func mayResend(for target: ServiceState?) -> Bool {
        guard let target else { return self.resends.mayRetry(at: self.now) }
        return target.budget.mayRetry(at: self.now)
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

    private struct MovedKey: Hashable {
        let endpoint: ObjectIdentifier
        let port: Int
    }

    /// The place of `endpoint` with another port.
    package func endpoint(at endpoint: Endpoint, port: Int) -> Endpoint {
        let key = MovedKey(endpoint: ObjectIdentifier(endpoint), port: port)
        if let (known, moved) = self.movedEndpoints[key], known === endpoint { return moved }
        guard let moved = endpoint.moved(to: port) else { return endpoint }
        if self.movedEndpoints.count >= 10_000 { self.movedEndpoints.removeAll() }
        self.movedEndpoints[key] = (endpoint, moved)
        return moved
    }

    /// Closes the client connections of one direction on which nothing is in flight.
    func closeIdleConnections(_ direction: Direction) {
        self.event { for owner in self.deadlines.all { (owner as? any ClientConnection)?.closeIfIdle(direction) } }
    }

    /// Tells the clients of one direction to open no more requests on their connections, as far as they can be told now.
    func announceEnd(_ direction: Direction) {
        self.event { for owner in self.deadlines.all { (owner as? any ClientConnection)?.announceEnd(direction) } }
    }

    /// Closes every connection on which nothing is in flight, on both sides.
    package func closeIdleConnections() {
        self.closeIdleConnections(.outgoing)
        self.closeIdleConnections(.incoming)
        self.event { self.pool.limitIdle(to: 0) }
    }

    /// Makes new settings hold for connections that are open already.
    func apply(_ settings: ProxySettings) {
        self.event {
            for owner in self.deadlines.all { (owner as? any ClientConnection)?.limitIdle(settings.keepAlive) }
            self.pool.limitIdle(to: settings.maxIdleUpstream, for: settings.upstreamIdle)
        }
    }

    /// Cuts the client connections of one direction, whatever is in flight on them.
    func cutConnections(_ direction: Direction) {
        self.event { for owner in self.deadlines.all { (owner as? any ClientConnection)?.cut(direction) } }
    }

    /// Ends the client connection that holds the most, when memory is short: one a beat, until it is not.
    private func cutLargest() {
        guard self.overload.refusesRequests else { return }
        var largest: (connection: any ClientConnection, held: Int)?
        for case let connection as any ClientConnection in self.deadlines.all {
            let held = connection.heldBytes
            if held >= Self.worthCutting, held > largest?.held ?? 0 { largest = (connection, held) }
        }
        guard let largest else { return }
        self.metrics.count(.memory)
        largest.connection.cut(nil)
    }

    /// Smaller ones are not what memory is short for.
    private static let worthCutting = 64 * 1024

    /// Another mesh has come to this loop.
    func arrived(_ mesh: Mesh) {
        self.waits.arrived(mesh.services)
        // Else what is gone keeps its connections until many others have come.
        if self.pool.lasting > 0 { self.states.forget { mesh.has($0) } }
    }

    /// What this loop keeps about a service or a host from one request to the next.
    ///
    /// Cost: a look into an array; a new state when there is a new value for the service, or when something else governs
    /// it.
    package func state(of service: Service) -> ServiceState { self.state(of: service, under: self.rules) }

    /// The same under rules that a request has been governed by until now.
    @inline(__always)
    package func state(of service: Service, under rules: MeshRules) -> ServiceState {
        if let state = self.states.current(service, rules) { return state }
        let mesh = self.mesh.value
        return self.states.state(of: service, rules, self.governance, self.metrics, &self.random) { mesh.has($0) }
    }
}

/// Something that is done at the end of an event; see ``Worker/event(_:)``.
protocol EventTail: AnyObject {
    /// The event ends: time for what was put off.
    func eventEnds()
}
