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
    /// The deadlines of all connections.
    package let deadlines: DeadlineTable
    /// Upstream connections.
    package let pool: ConnectionPool
    /// Metrics of this loop.
    package let metrics: WorkerMetrics
    /// For what is rare enough to be logged.
    package let logger: Logger
    /// How close the process is to its memory limit.
    package let overload: Overload
    /// Whether debug messages go anywhere; saves asking the logger for each request.
    package let isDebugging: Bool
    /// When the event being handled began.
    ///
    /// Good to some microseconds, and cheaper than asking the clock each time.
    package private(set) var now = NIODeadline.now()
    /// Messages are put together here and written at once.
    ///
    /// Never in use across a call to another connection.
    var scratch = ByteBufferAllocator().buffer(capacity: 32 * 1024)

    private var drivers: [ExchangeDriver] = []
    private var localEndpoints: [UInt16: Endpoint] = [:]
    /// Callers that were seen before, by what they say of themselves.
    var sources = SourceCache()
    private var states: [ObjectIdentifier: ServiceState] = [:]

    /// The things of one loop.
    ///
    /// Callable off the loop, for hand-over.
    ///
    /// - Parameter ask: Asks the registry for a service; see ``ServiceWaits``.
    package init(
        eventLoop: any EventLoop, loopCount: Int, directory: Snapshot<ServiceDirectory>, metrics: MetricsRegistry,
        logger: Logger, overload: Overload, ask: (@Sendable (String) -> Bool)? = nil
    ) {
        self.eventLoop = eventLoop
        self.directory = directory.reader(for: eventLoop)
        self.waits = ServiceWaits(eventLoop: eventLoop, ask: ask)
        self.deadlines = DeadlineTable(eventLoop: eventLoop)
        self.pool = ConnectionPool(eventLoop: eventLoop, loopCount: loopCount)
        self.metrics = WorkerMetrics(metrics)
        self.logger = logger
        self.overload = overload
        self.isDebugging = logger.logLevel <= .debug
    }

    /// Looks at the clock; at the beginning of each event.
    @inline(__always)
    package func tick() { self.now = .now() }

    /// A driver that is free.
    func takeDriver() -> ExchangeDriver { self.drivers.popLast() ?? ExchangeDriver(worker: self) }

    /// Gives a driver back whose exchange has ended.
    func giveBack(_ driver: ExchangeDriver) {
        // More than this is the remains of a burst.
        if self.drivers.count < 256 { self.drivers.append(driver) }
    }

    /// The endpoint of a local port that no configuration names.
    package func localEndpoint(_ port: UInt16) -> Endpoint {
        if let endpoint = self.localEndpoints[port] { return endpoint }
        let endpoint = Endpoint(loopbackPort: port, protocolName: "rest")
        self.localEndpoints[port] = endpoint
        return endpoint
    }

    /// Closes the client connections of one direction on which nothing is in flight.
    func closeIdleConnections(_ direction: Direction) {
        for owner in self.deadlines.all { (owner as? ProxyHandler)?.closeIfIdle(direction) }
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
        for owner in self.deadlines.all { (owner as? ProxyHandler)?.limitIdle(settings.keepAlive) }
        self.pool.limitIdle(to: settings.maxIdleUpstream, for: settings.upstreamIdle)
    }

    /// What this loop keeps about a service from one request to the next.
    ///
    /// Cost: one look-up by identity; a new state when the directory has a new value for the service.
    package func state(of service: Service) -> ServiceState {
        if let state = self.states[ObjectIdentifier(service)] { return state }
        // Whatever the newest directory no longer holds is not asked for again.
        let directory = self.directory.value
        self.states = self.states.filter { directory[$0.value.service.name] === $0.value.service }
        let state = ServiceState(service, counters: self.metrics.counters(for: service))
        self.states[ObjectIdentifier(service)] = state
        return state
    }
}

/// What one event loop keeps about one service.
package final class ServiceState {
    // Keeps the service alive, so that its identity is not given to another one.
    fileprivate let service: Service
    /// Counts the answers to requests for it.
    package let counters: RequestCounters
    /// The round robin of the default endpoints.
    ///
    /// Starts anywhere, so that many sidecars do not all begin with the same instance.
    package var roundRobin = RoundRobin(startingAt: .random(in: 0..<1 << 16))

    fileprivate init(_ service: Service, counters: RequestCounters) {
        self.service = service
        self.counters = counters
    }
}
