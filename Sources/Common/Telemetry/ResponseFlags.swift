// SPDX-License-Identifier: Apache-2.0
// request path

/// What the flags of Envoy say of a request: why it was answered so, and what was done to it on purpose.
///
/// - Source: Envoy's `%RESPONSE_FLAGS%`.
package struct ResponseFlags: OptionSet, Sendable, Hashable {
    package let rawValue: UInt32
    package init(rawValue: UInt32) { self.rawValue = rawValue }

    /// It was delayed on purpose.
    package static var delayed: Self { Self(rawValue: 1 << 0) }
    /// It failed on purpose.
    package static var fault: Self { Self(rawValue: 1 << 1) }
    /// Another try was wanted, and there had been as many as are allowed.
    package static var retriesOver: Self { Self(rawValue: 1 << 2) }
    /// A limit of what is under way at a time was reached: of requests, connections or retries.
    package static var overflow: Self { Self(rawValue: 1 << 3) }
    /// There was no instance to call.
    package static var noInstance: Self { Self(rawValue: 1 << 4) }
    /// No route was meant.
    package static var noRoute: Self { Self(rawValue: 1 << 5) }
    /// The cluster of the route is not there.
    package static var noCluster: Self { Self(rawValue: 1 << 6) }
    /// No connection could be made.
    package static var connectFailed: Self { Self(rawValue: 1 << 7) }
    /// The connection ended before the answer.
    package static var connectionEnded: Self { Self(rawValue: 1 << 8) }
    /// The instance has reset the stream of HTTP/2.
    package static var streamReset: Self { Self(rawValue: 1 << 9) }
    /// The answer was no HTTP.
    package static var badAnswer: Self { Self(rawValue: 1 << 10) }
    /// The answer did not come in time.
    package static var late: Self { Self(rawValue: 1 << 11) }
    /// Nobody has said anything for too long.
    package static var silent: Self { Self(rawValue: 1 << 12) }
    /// It was more than a rate allows.
    package static var rateLimited: Self { Self(rawValue: 1 << 13) }
    /// Memory was short.
    package static var overloaded: Self { Self(rawValue: 1 << 14) }
    /// The client was gone.
    package static var clientGone: Self { Self(rawValue: 1 << 15) }
    /// The request was no HTTP.
    package static var badRequest: Self { Self(rawValue: 1 << 16) }
    /// The time of the call was over, and not that of one try, which has no flag.
    package static var callOver: Self { Self(rawValue: 1 << 17) }
    /// The time of the request as a whole was over, which has no flag.
    package static var wholeOver: Self { Self(rawValue: 1 << 18) }

    /// Their names, in the order in which they are written.
    package static let names: [(flag: Self, short: String, long: String)] = [
        (.delayed, "DI", "DelayInjected"), (.fault, "FI", "FaultInjected"),
        (.retriesOver, "URX", "UpstreamRetryLimitExceeded"), (.overflow, "UO", "UpstreamOverflow"),
        (.noInstance, "UH", "NoHealthyUpstream"), (.noRoute, "NR", "NoRouteFound"),
        (.noCluster, "NC", "NoClusterFound"), (.connectFailed, "UF", "UpstreamConnectionFailure"),
        (.connectionEnded, "UC", "UpstreamConnectionTermination"), (.streamReset, "UR", "UpstreamRemoteReset"),
        (.badAnswer, "UPE", "UpstreamProtocolError"), (.late, "UT", "UpstreamRequestTimeout"),
        (.silent, "SI", "StreamIdleTimeout"), (.rateLimited, "RL", "RateLimited"),
        (.overloaded, "OM", "OverloadManagerTerminated"), (.clientGone, "DC", "DownstreamConnectionTermination"),
        (.badRequest, "DPE", "DownstreamProtocolError"),
    ]

    /// With what an error says besides what was noted before.
    ///
    /// - Parameter hasCluster: Whether a route had led to a cluster.
    /// - Parameter isStreamReset: Whether the instance has reset a stream of HTTP/2, and not ended its connection.
    package func adding(_ reason: ProxyError.Reason?, hasCluster: Bool, isStreamReset: Bool) -> Self {
        guard let reason else { return self }
        return switch reason {
        case .faultInjected: self.union(.fault)
        case .bulkheadFull: self.union(.overflow)
        case .noEndpoint: self.union(.noInstance)
        case .noRule: self.union(hasCluster ? .noCluster : .noRoute)
        case .connectFailed: self.union(.connectFailed)
        case .upstreamReset: self.union(isStreamReset ? .streamReset : .connectionEnded)
        case .badUpstreamResponse: self.union(.badAnswer)
        case .upstreamTimeout: self.isDisjoint(with: [.silent, .wholeOver]) ? self.union(.late) : self
        case .rateLimited: self.union(.rateLimited)
        case .overloaded: self.union(.overloaded)
        case .clientGone: self.union(.clientGone)
        case .badRequest, .headerTooLarge: self.union(.badRequest)
        case .requestTimeout, .destinationUnresolved, .destinationRefused, .methodRefused, .loop, .unauthenticated,
            .circuitOpen, .notReady, .noLocalPort, .internal:
            self
        }
    }

    /// What Envoy calls the end of a request that failed for a reason.
    ///
    /// Of ends that it does not know, the reason itself.
    ///
    /// - Source: Envoy's `%RESPONSE_CODE_DETAILS%`.
    package func details(_ reason: ProxyError.Reason) -> String {
        switch reason {
        case .faultInjected: "fault_filter_abort"
        case .bulkheadFull: "upstream_reset_before_response_started{overflow}"
        case .noEndpoint: "no_healthy_upstream"
        case .noRule: self.contains(.noCluster) ? "cluster_not_found" : "route_not_found"
        case .connectFailed: "upstream_reset_before_response_started{remote_connection_failure}"
        case .upstreamReset where self.contains(.streamReset): "upstream_reset_before_response_started{remote_reset}"
        case .upstreamReset: "upstream_reset_before_response_started{connection_termination}"
        case .badUpstreamResponse: "upstream_reset_before_response_started{protocol_error}"
        case .upstreamTimeout where self.contains(.silent): "stream_idle_timeout"
        case .upstreamTimeout where self.contains(.wholeOver): "max_duration_timeout"
        case .upstreamTimeout: self.contains(.callOver) ? "response_timeout" : "upstream_per_try_timeout"
        case .rateLimited: "local_rate_limited"
        case .methodRefused: "upgrade_failed"
        case .badRequest, .headerTooLarge, .requestTimeout, .destinationUnresolved, .destinationRefused, .loop,
            .unauthenticated, .circuitOpen, .overloaded, .notReady, .noLocalPort, .clientGone, .internal:
            reason.rawValue
        }
    }

    /// Hands on the names of those that are set, commas between them; a dash where none is.
    package func write(isLong: Bool, _ append: (String) -> Void) {
        if self.isEmpty { return append("-") }
        var isFirst = true
        for name in Self.names where self.contains(name.flag) {
            if !isFirst { append(",") }
            append(isLong ? name.long : name.short)
            isFirst = false
        }
        if isFirst { append("-") }
    }
}
