// SPDX-License-Identifier: Apache-2.0
// request path

package import Common
import NIOCore

/// The counters of one event loop, and how an exchange is counted: exactly once, when it ends.
package final class WorkerMetrics {
    private let registry: MetricsRegistry
    private var byLabels: [MetricLabels: RequestCounters] = [:]
    private var grpcStatuses: [String: [Int: Counter]] = [:]
    private var errors: [ProxyError.Reason: Counter] = [:]
    private var http2Errors: [HTTP2ErrorCode: Counter] = [:]
    private let unresolved: RequestCounters
    private var callers: [String: RequestCounters] = [:]
    private var generation = 0
    private let unknownCaller: RequestCounters
    private let otherCallers: RequestCounters
    /// Counts the answers of the local application.
    package let own: RequestCounters

    private let limits: [Limit: Counter]
    private let mirrored: [MirrorResult: Counter]

    /// Upstream connections that were opened.
    package let upstreamConnects: Counter
    /// Requests that were sent on an upstream connection that had served others before.
    package let upstreamReuses: Counter
    /// Requests that were sent again after a failure.
    package let retries: Counter
    /// Instances that were left out for a while.
    package let ejections: Counter
    /// Client connections that were accepted.
    package let clientConnections: Counter

    init(_ registry: MetricsRegistry) {
        self.registry = registry
        self.unresolved = registry.requestCounters(.service("unknown", app: "", version: ""))
        self.unknownCaller = registry.callerCounters(MetricsRegistry.unknownCaller) ?? RequestCounters()
        self.otherCallers = registry.callerCounters(MetricsRegistry.otherCaller) ?? RequestCounters()
        self.own = registry.requestCounters(registry.ownLabels)
        self.limits = Dictionary(uniqueKeysWithValues: zip(Limit.allCases, Self.limitCounters(registry)))
        self.mirrored = MirrorResult.allCases.reduce(into: [:]) { counters, result in
            counters[result] = registry.counter(
                "mesher_mirrored_requests", MetricLabels(["result": result.rawValue]),
                help: "Copies of requests that routes send to other clusters, by what became of them.")
        }
        self.upstreamConnects = registry.counter(
            "mesher_upstream_connects", help: "Upstream connections that were attempted.")
        self.upstreamReuses = registry.counter(
            "mesher_upstream_reuses", help: "Requests sent on an upstream connection that had served others before.")
        self.retries = registry.counter("mesher_retries", help: "Requests sent again after a failure.")
        self.ejections = registry.counter(
            "mesher_endpoint_ejections", help: "Times an instance was left out because it failed again and again.")
        self.clientConnections = registry.counter(
            "mesher_client_connections", help: "Client connections that were accepted.")
    }

    /// The counters of these labels, which are made at their first use.
    package func counters(_ labels: MetricLabels) -> RequestCounters {
        if let counters = self.byLabels[labels] { return counters }
        let counters = self.registry.requestCounters(labels)
        self.byLabels[labels] = counters
        return counters
    }

    /// The counters of a service that route rules say nothing about, and of requests for which no endpoint was chosen.
    func counters(for service: Service, _ host: VirtualHost?) -> RequestCounters {
        let tags = service.defaultEndpoints.tags
        return self.counters(.service(host?.service ?? service.name, app: tags.app, version: tags.version))
    }

    /// Counts that a limit was met.
    package func count(_ limit: Limit) { self.limits[limit]?.add() }

    /// Counts a copy of a request.
    func count(_ result: MirrorResult) { self.mirrored[result]?.add() }

    /// Counts an HTTP/2 connection that was ended for what its peer did.
    func count(_ code: HTTP2ErrorCode) {
        if let counter = self.http2Errors[code] { return counter.add() }
        let counter = self.registry.counter(
            "mesher_http2_connection_errors", MetricLabels(["code": "\(code)"]),
            help: "HTTP/2 connections that mesher ended for what the peer did, by error code.")
        self.http2Errors[code] = counter
        counter.add()
    }

    /// Counts an exchange that has ended.
    func count(_ exchange: inout Exchange) {
        let counters = exchange.counters ?? self.unresolved
        if let reason = exchange.error?.reason {
            self.count(reason)
            counters.record(reason)
        }
        // A call that its client has cancelled before there was an answer has a status of gRPC all the same.
        if exchange.isGRPC, exchange.status > 0 || exchange.error?.reason == .clientGone {
            self.count(exchange.grpcStatus, exchange)
        }
        guard exchange.status > 0 else { return }
        let nanoseconds = Int((exchange.worker.now - exchange.startedAt).nanoseconds)
        // What a gRPC call came to stands in its own status, not in that of HTTP.
        let status = exchange.isGRPC ? GRPCStatus.counted(ofCode: exchange.grpcStatus ?? 2) : exchange.status
        counters.record(status: status, nanoseconds: nanoseconds, isTimed: exchange.direction == .outgoing)
        guard exchange.direction == .incoming else { return }
        let caller = exchange.source.map { $0.counters ?? self.unknownCaller } ?? self.unknownCaller
        caller.record(status: status, nanoseconds: nanoseconds, isTimed: false)
    }

    /// Another number whenever the counters of a caller may be others than before.
    var callerGeneration: Int { self.registry.callerGeneration }

    /// The counters of a caller, which are made when it is seen first.
    func counters(ofCaller name: String) -> RequestCounters {
        let generation = self.callerGeneration
        if generation != self.generation {
            self.generation = generation
            self.callers = self.callers.filter { !$0.value.isRetired }
        }
        if let counters = self.callers[name] { return counters }
        guard let counters = self.registry.callerCounters(name) else { return self.otherCallers }
        self.callers[name] = counters
        return counters
    }

    /// Counts how a gRPC call ended; one without a status has status 2, unknown, as its client sees it.
    private func count(_ grpcStatus: Int?, _ exchange: borrowing Exchange) {
        let cancelled = exchange.error?.reason == .clientGone ? ProxyError.Reason.clientGone.grpcStatus : nil
        let code = min(max(cancelled ?? grpcStatus ?? 2, 0), GRPCStatus.last + 1)
        let own = exchange.direction == .incoming ? self.registry.ownLabels["service_name"] : nil
        let service = own ?? exchange.service?.name ?? "unknown"
        if let counter = self.grpcStatuses[service]?[code] { return counter.add() }
        let counter = self.registry.counter(
            "mesher_grpc_responses",
            MetricLabels(["service_name": service, "grpc_status": code > GRPCStatus.last ? "other" : "\(code)"]),
            help: "gRPC calls by the status that their client was sent.")
        self.grpcStatuses[service, default: [:]][code] = counter
        counter.add()
    }

    private func count(_ reason: ProxyError.Reason) {
        if let counter = self.errors[reason] { return counter.add() }
        let counter = self.registry.counter(
            "mesher_errors", MetricLabels(["reason": reason.rawValue]),
            help: "Requests that mesher answered or ended itself, by reason.")
        self.errors[reason] = counter
        counter.add()
    }
}
