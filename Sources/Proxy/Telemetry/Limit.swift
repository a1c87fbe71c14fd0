// SPDX-License-Identifier: Apache-2.0
// request path

import Common

/// A limit that peers have met: what it has kept away is counted.
///
/// - Source: limits L1 to L9 of the reliability promises; connections are counted by ``Listener``, memory by its level.
package enum Limit: String, CaseIterable, Sendable {
    /// `mesher.limits.requestLine`.
    case requestLine = "request_line"
    /// `mesher.limits.headerField`, `headerSection` or `requestHeaders`.
    case requestHead = "request_head"
    /// `mesher.timeouts.requestHead`.
    case requestHeadTime = "request_head_time"
    /// `mesher.timeouts.requestBody`.
    case requestBodyTime = "request_body_time"
    /// `mesher.timeouts.keepAlive`.
    case keepAliveTime = "keep_alive_time"
    /// `mesher.timeouts.stream`: a client that takes nothing.
    case clientStallTime = "client_stall_time"
    /// `mesher.timeouts.firstByte` or the time limit of the call, or `mesher.timeouts.stream` afterwards.
    case upstreamTime = "upstream_time"
    /// `mesher.timeouts.tunnel`.
    case tunnelTime = "tunnel_time"
    /// `mesher.limits.memory`: the connection that held the most was cut.
    case memory = "memory"
    /// Bytes inside a CONNECT to a service that are neither HTTP/1.1 nor HTTP/2.
    case tunnelProtocol = "tunnel_protocol"
    /// Requests that a client sent ahead of the answer to an earlier one.
    case sentAhead = "sent_ahead"
    /// Upstream responses that are malformed, or over `mesher.limits`.
    case responseHead = "response_head"
    /// Bytes of another protocol than TLS has agreed on.
    case negotiatedProtocol = "negotiated_protocol"
    /// `mesher.timeouts.http2Ping`: an upstream that did not answer a PING.
    case http2PingTime = "http2_ping_time"
    /// `mesher.limits.interimResponses`.
    case interimResponses = "interim_responses"
    /// `mesher.limits.idleUpstreamConnections`.
    case idleUpstream = "idle_upstream_connections"
    /// What a cluster says of the requests and the time of a connection.
    case connectionLife = "connection_life"
    /// `mesher.limits.http2Streams`.
    case http2Streams = "http2_streams"
    /// CONTINUATION frames of one block.
    case http2Continuations = "http2_continuations"
    /// Frames that cost more than they are worth: resets, pings, settings, empty ones.
    case http2Frames = "http2_frames"
    /// The share of requests that may be retries.
    case retryBudget = "retry_budget"
    /// The largest body that is kept for another attempt.
    case replayedBody = "replayed_body"
}

extension HeadViolation {
    /// The limit that a head has met; `nil` where something else is wrong with it.
    var limit: Limit? {
        switch self {
        case .startLineTooLong: .requestLine
        case .fieldTooLong, .tooManyFields, .tooLarge: .requestHead
        default: nil
        }
    }
}

extension WorkerMetrics {
    /// A counter for each limit.
    static func limitCounters(_ registry: MetricsRegistry) -> [Counter] {
        Limit.allCases.map { limit in
            registry.counter(
                "mesher_limit_hits", MetricLabels(["limit": limit.rawValue]), help: "Times a limit was met, by limit.")
        }
    }
}
