// SPDX-License-Identifier: Apache-2.0
// request path

package import Common
package import NIOCore

/// Which way a request goes, seen from the local application.
///
/// Decided by the listener alone.
package enum Direction: String, Sendable {
    /// From the local application to another service.
    case outgoing
    /// From elsewhere to the local application.
    case incoming
}

/// One request on one event loop: typed fields, each written by the one place that its comment names.
///
/// Both protocols fill the same fields, so no stage knows which one the client or the upstream speaks. At its end it
/// is replaced by a new one that keeps the memory of the header blocks: ``reset()``.
///
/// Functions that every request takes get it `inout`, or inlined, even where they only look: borrowed by a call, all of
/// its 700 bytes are copied.
package struct Exchange: ~Copyable {
    /// The event loop's own things.
    package let worker: Worker
    /// The listener's.
    package var direction = Direction.outgoing
    /// When the head of the request was complete: the driver.
    package var startedAt = NIODeadline.uptimeNanoseconds(0)
    /// The client's address: the connection.
    package var peer: SocketAddress?
    /// Whether the client is believed what it says about its own client: the connection.
    package var isPeerTrusted = false
    /// Whether the client speaks TLS: the connection.
    package var isSecure = false
    /// Who calls, once somebody has asked: ``resolveSource()``.
    var source: RequestSource?

    /// The request's head: the downstream codec.
    ///
    /// Stages change ``requestHeaders`` instead.
    package var request = RequestHead()
    /// The request's fields: the downstream codec, then any stage.
    package var requestHeaders = HeaderBlock()
    /// The request's trailers, when there are any: the downstream codec.
    package var requestTrailers: HeaderBlock?

    /// The called service, or external host, and what governs calls of it: the destination stage.
    package var target: ServiceState?
    /// The stages that the request passes, by what it is for: the destination stage.
    package var chain = VirtualHost.Chain.services
    /// Which endpoints it may go to; see ``ServiceState/cluster(_:isGRPC:_:)``: the route stage.
    package var cluster = 0
    /// What its route does besides; `nil` for most: the route stage.
    package var effect: RouteEffect?
    /// What the request was before its route changed it; `nil` where none has: the route stage.
    var routeMark: HeaderBlock.Mark?
    /// The path that the client has asked for, where a route has put another in its place: the route stage.
    var clientPath: ByteRange?
    /// What is kept of it where its route does something rare: the route stage.
    package var visit: RouteVisit?
    /// The name that rules about marked requests know it by: the marker stage.
    package var mark: Mark?
    /// Where to send the request: the balancing stage, or the local application's.
    package var endpoint: Endpoint?
    /// The choice among instances, and how often it was made: the balancing stage.
    package var balancing = BalancingState()
    /// What the circuit breaker let through, for a call or for one try, as its place in the chain has it: its stage.
    package var permit: Permit?
    /// The longest wait for the answer; `nil` for the listener's: the destination stage, or the local application's.
    package var timeout: TimeAmount?
    /// Whether an injected delay is over: the fault stage.
    package var hasDelayed = false
    /// The same for a delay of its route, and whether its limit has let it through: the route stage.
    package var hasPassedRoute = false
    /// Until when the request may wait for the registry, or for the address of a host; `nil` when it has not: the
    /// destination and the balancing stage.
    package var awaitsUntil: NIODeadline?
    /// Where the request is in a trace: the tracing stage.
    package var trace: TraceContext?
    /// Bytes of the request's body so far: the driver.
    package var requestBytes = 0
    /// Bytes of the response's body so far: the driver.
    package var responseBytes = 0
    /// Counts the answer: the destination stage, or the local application's.
    package var counters: RequestCounters?

    /// The response's head: the upstream codec.
    package var response = ResponseHead()
    /// The response's fields: the upstream codec, then any stage.
    package var responseHeaders = HeaderBlock()
    /// The response's trailers, when there are any: the upstream codec.
    package var responseTrailers: HeaderBlock?

    /// The status that the client was sent, whoever made it; 0 before that: the driver.
    package var status = 0
    /// Whether the request counts as gRPC: by its listener, or by what it carries: the downstream codec and the driver.
    package var isGRPC = false
    /// How a gRPC call ended, as its client was told; `nil` while nobody has said so: the driver.
    package var grpcStatus: Int?
    /// What went wrong: the driver.
    package var error: ProxyError?
    /// How it ended, or the try that is being finished did: the driver.
    package var outcome = Outcome.open
    /// The present try, or the last one: the driver.
    package var attempt = Attempt()
    /// What was done to it on purpose, and what ended it besides its error: the fault, route and balancing stages, the driver.
    package var noted = ResponseFlags()
    /// How many upstream connections were tried: the driver.
    package var attempts = 0
    /// Whether the request's body, so far as it was received, is still there to be sent again: the driver.
    package var hasWholeBody = false
    /// Stages entered and not yet finished; the chain goes on from here: the chain.
    package var position = 0

    /// An exchange that waits for a request.
    package init(worker: Worker) { self.worker = worker }

    @inline(__always)
    private init(_ worker: Worker, _ requestHeaders: consuming HeaderBlock, _ responseHeaders: consuming HeaderBlock) {
        self.worker = worker
        self.requestHeaders = requestHeaders
        self.responseHeaders = responseHeaders
    }

    /// Ready for the next request: a new exchange with the memory of this one's header blocks.
    ///
    /// Nothing is reset by name, so nothing can be forgotten.
    package mutating func reset() {
        self.requestHeaders.clear()
        self.responseHeaders.clear()
        self = Exchange(self.worker, self.requestHeaders.take(), self.responseHeaders.take())
    }

    /// Ready for another try: nothing of the one before is left.
    mutating func beginAttempt() {
        self.attempt = Attempt()
        self.error = nil
        self.outcome = .open
        self.response = ResponseHead()
        self.responseHeaders.clear()
        self.responseTrailers = nil
    }

    /// The status of the response, or what a gRPC status would be in HTTP: by it failures are told from answers.
    @inline(__always)
    var meaningfulStatus: Int { self.attempt.grpcStatus.map { GRPCStatus.http(ofCode: $0) } ?? self.response.status }

    /// Takes note of the status of a gRPC call that is over.
    mutating func readGRPCStatus(inTrailers: Bool) {
        if !inTrailers {
            self.attempt.grpcStatus = Self.grpcStatus(self.responseHeaders)
            return
        }
        switch self.responseTrailers {
        case .some(let trailers): self.attempt.grpcStatus = Self.grpcStatus(trailers)
        case .none: break
        }
    }

    private static func grpcStatus(_ block: borrowing HeaderBlock) -> Int? {
        block.firstIndex(of: .grpcStatus).flatMap { index in block.withValue(at: index) { GRPCStatus.code($0) } }
    }

    /// The called service, when it is known.
    package var service: Service? { self.target?.service }

    /// The service whose instance was chosen, which a route may have led to: its TLS settings hold.
    var instanceService: String? { self.balancing.balancer?.foreign?.name ?? self.service?.name }

    /// When it is sent again: as its route says, or else its virtual host.
    package var retryPolicy: RetryPolicy? { self.effect?.action.retry?.policy ?? self.target?.policy.retry }

    /// Whether the request may be sent a second time although it may have reached an upstream.
    package var isReplayable: Bool { self.request.method.isIdempotent && !self.request.hasBody }

    /// Scans the head of the request; see ``HeadScanner``.
    mutating func scanRequest(_ input: RawSpan, _ scanner: inout HeadScanner, limits: HeadLimits) -> HeadScanner.Result
    {
        scanner.scanRequest(input, limits: limits, into: &self.request, &self.requestHeaders)
    }

    /// Scans the head of a response; see ``HeadScanner``.
    mutating func scanResponse(_ input: RawSpan, _ scanner: inout HeadScanner, limits: HeadLimits) -> HeadScanner.Result
    {
        scanner.scanResponse(input, limits: limits, into: &self.response, &self.responseHeaders)
    }
}
