// SPDX-License-Identifier: Apache-2.0

/// One request failed, and someone gets an answer that mesher made.
///
/// On the request path this is a value, never thrown. The cause goes to the log, never to the client.
package struct ProxyError: Error, Equatable {
    /// Why.
    package let reason: Reason
    /// The body of the answer; `nil` stands for the reason's own text.
    package let text: String?
    /// The status of the answer where it is not the reason's: a configured fault, or 414 beside 431.
    package let status: Int
    /// Seconds after which another request may be answered better; `nil` where nobody knows.
    package let retryAfter: Int?

    /// An error with the reason's own status, unless another is given.
    package init(_ reason: Reason, _ text: String? = nil, status: Int? = nil, retryAfter: Duration? = nil) {
        self.reason = reason
        self.text = text
        self.status = status ?? reason.status
        // Rounded up: whoever comes a moment too early is refused again.
        self.retryAfter =
            retryAfter.map { max(1, Int($0.components.seconds) + ($0.components.attoseconds > 0 ? 1 : 0)) }
            ?? (reason == .overloaded ? 1 : nil)
    }

    /// The body of the answer: plain text, as users of the original know it.
    package var body: String { self.text ?? self.reason.text }
}

extension ProxyError {
    /// The closed list of reasons.
    ///
    /// The raw value is the metric label and the `x-mesher-error` header.
    package enum Reason: String, Sendable, CaseIterable {
        case badRequest = "bad_request"
        case headerTooLarge = "header_too_large"
        case requestTimeout = "request_timeout"
        case destinationUnresolved = "destination_unresolved"
        case destinationRefused = "destination_refused"
        case methodRefused = "method_refused"
        case loop = "loop"
        case unauthenticated = "unauthenticated"
        case rateLimited = "rate_limited"
        case faultInjected = "fault_injected"
        case circuitOpen = "circuit_open"
        case bulkheadFull = "bulkhead_full"
        case overloaded = "overloaded"
        case notReady = "not_ready"
        case noRule = "no_rule"
        case noEndpoint = "no_endpoint"
        case noLocalPort = "no_local_port"
        case connectFailed = "connect_failed"
        case upstreamReset = "upstream_reset"
        case upstreamTimeout = "upstream_timeout"
        case badUpstreamResponse = "bad_upstream_response"
        case clientGone = "client_gone"
        case `internal` = "internal"
    }

    /// Who has to act.
    package enum Blame: String, Sendable {
        case client
        case mesher
        case upstream
    }
}

extension ProxyError.Reason {
    /// The HTTP status of the answer.
    ///
    /// `clientGone` has nobody to answer; 499 is what logs show.
    package var status: Int {
        switch self {
        case .badRequest, .destinationUnresolved: 400
        case .unauthenticated: 401
        case .destinationRefused: 403
        case .methodRefused: 405
        case .requestTimeout: 408
        case .rateLimited: 429
        case .headerTooLarge: 431
        case .clientGone: 499
        case .internal, .noRule, .faultInjected: 500
        case .noEndpoint, .noLocalPort, .connectFailed, .upstreamReset, .badUpstreamResponse: 502
        case .circuitOpen, .bulkheadFull, .overloaded, .notReady: 503
        case .upstreamTimeout: 504
        case .loop: 508
        }
    }

    /// The gRPC status of a trailers-only answer.
    ///
    /// - Source: the gRPC status code list; `noEndpoint` and its kin are UNAVAILABLE, so that clients retry.
    package var grpcStatus: Int {
        switch self {
        case .badRequest, .headerTooLarge, .destinationUnresolved: 3
        case .requestTimeout, .upstreamTimeout: 4
        case .destinationRefused: 7
        case .rateLimited: 8
        case .methodRefused: 12
        case .loop, .noRule, .faultInjected, .internal: 2
        case .unauthenticated: 16
        case .clientGone: 1
        case .circuitOpen, .bulkheadFull, .overloaded, .notReady, .noEndpoint, .noLocalPort, .connectFailed,
            .upstreamReset, .badUpstreamResponse:
            14
        }
    }

    /// Who has to act.
    package var blame: ProxyError.Blame {
        switch self {
        case .badRequest, .headerTooLarge, .requestTimeout, .destinationUnresolved, .destinationRefused, .methodRefused,
            .unauthenticated, .clientGone, .loop:
            .client
        case .rateLimited, .faultInjected, .circuitOpen, .bulkheadFull, .overloaded, .notReady, .noRule, .noEndpoint,
            .noLocalPort, .internal:
            .mesher
        case .connectFailed, .upstreamReset, .upstreamTimeout, .badUpstreamResponse: .upstream
        }
    }

    /// Whether another attempt may help, when retries are on.
    package var isRetriable: Bool {
        switch self {
        case .connectFailed, .upstreamReset, .upstreamTimeout: true
        case .badRequest, .headerTooLarge, .requestTimeout, .destinationUnresolved, .destinationRefused, .methodRefused,
            .loop, .unauthenticated, .rateLimited, .faultInjected, .circuitOpen, .bulkheadFull, .overloaded, .notReady,
            .noRule, .noEndpoint, .noLocalPort, .badUpstreamResponse, .clientGone, .internal:
            false
        }
    }

    /// The body of the answer when the place that failed has nothing more exact to say.
    package var text: String {
        switch self {
        case .badRequest: "bad request"
        case .headerTooLarge: "request header too large"
        case .requestTimeout: "request header not received in time"
        case .destinationUnresolved: "Invalid uri, please check: the request names no service"
        case .destinationRefused: "destination refused"
        case .methodRefused: "method not allowed"
        case .loop: "loop detected: the request has passed through this sidecar before"
        case .unauthenticated: "not authorized"
        case .rateLimited: "too many requests"
        case .faultInjected: "injecting abort"
        case .circuitOpen: "circuit open"
        case .bulkheadFull: "max concurrency"
        case .overloaded: "overloaded"
        case .notReady: "service discovery is not ready: no answer from the registry yet"
        case .noRule: "no matching rule"
        case .noEndpoint: "lb: No available instance"
        case .noLocalPort: "no local port"
        case .connectFailed: "upstream connect failed"
        case .upstreamReset: "upstream closed the connection before it answered"
        case .upstreamTimeout: "upstream did not answer in time"
        case .badUpstreamResponse: "upstream sent a malformed response"
        case .clientGone: "client closed the connection"
        case .internal: "internal error"
        }
    }
}
