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
    /// The reason's place in the list; below 32.
    package var number: UInt8 {
        switch self {
        case .badRequest: 0
        case .headerTooLarge: 1
        case .requestTimeout: 2
        case .destinationUnresolved: 3
        case .destinationRefused: 4
        case .methodRefused: 5
        case .loop: 6
        case .unauthenticated: 7
        case .rateLimited: 8
        case .faultInjected: 9
        case .circuitOpen: 10
        case .bulkheadFull: 11
        case .overloaded: 12
        case .notReady: 13
        case .noRule: 14
        case .noEndpoint: 15
        case .noLocalPort: 16
        case .connectFailed: 17
        case .upstreamReset: 18
        case .upstreamTimeout: 19
        case .badUpstreamResponse: 20
        case .clientGone: 21
        case .internal: 22
        }
    }

    /// One sentence for somebody who looks at what has failed: what happened, and where to look.
    package var explanation: String {
        switch self {
        case .badRequest: "the request is no valid HTTP, or its meaning is ambiguous"
        case .headerTooLarge: "the request's head is larger than mesher.limits allow"
        case .requestTimeout: "the request did not come in time"
        case .destinationUnresolved: "the request names no service: was http_proxy set, and the URL absolute?"
        case .destinationRefused: "the request names a place that mesher does not call for anybody"
        case .methodRefused: "the method is not served here"
        case .loop: "the request has come through this sidecar before"
        case .unauthenticated: "the caller has not said who it is"
        case .rateLimited: "there were more requests than the rate limit allows"
        case .faultInjected: "a fault rule made this request fail on purpose"
        case .circuitOpen: "calls have failed too often lately, so mesher refuses them for a while"
        case .bulkheadFull: "as many calls as are allowed at a time were under way"
        case .overloaded: "the sidecar is short of memory"
        case .notReady: "the registry has not answered yet"
        case .noRule: "no rule says where this request belongs"
        case .noEndpoint: "the registry knows no instance that may serve this request"
        case .noLocalPort: "nothing says at which port the local application listens"
        case .connectFailed: "no connection to the instance could be made"
        case .upstreamReset: "the instance closed the connection before it had answered"
        case .upstreamTimeout: "the instance did not answer in time"
        case .badUpstreamResponse: "the instance's answer is no valid HTTP"
        case .clientGone: "the client went away before it was answered"
        case .internal: "a mistake of mesher itself"
        }
    }

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
        case .noRule: 404
        case .internal, .faultInjected: 500
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
        case .methodRefused, .noRule: 12
        case .loop, .faultInjected, .internal: 2
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
