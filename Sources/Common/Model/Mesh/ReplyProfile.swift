// SPDX-License-Identifier: Apache-2.0

/// What mesher's own answers to the requests of a virtual host are like: those that clients of another proxy know.
package enum ReplyProfile: String, Sendable, CaseIterable {
    /// ServiceComb's: the statuses and texts of the reasons.
    case serviceComb = "ServiceComb"
    /// Envoy's.
    case envoy = "Envoy"
    /// Those that Gateway API asks for.
    case gateway = "Gateway"

    /// The status of the answer to a request that failed so.
    ///
    /// A status that was configured, as for a fault, is left.
    ///
    /// - Source: Envoy's response flags; Gateway API for backends without endpoints.
    package func status(of error: ProxyError) -> Int {
        guard self != .serviceComb, error.status == error.reason.status else { return error.status }
        return switch (self, error.reason) {
        case (_, .noEndpoint), (.envoy, .connectFailed), (.envoy, .upstreamReset): 503
        default: error.status
        }
    }

    /// Its body.
    package func body(of error: ProxyError) -> String {
        guard self == .envoy else { return error.body }
        let broken = "upstream connect error or disconnect/reset before headers. reset reason:"
        return switch error.reason {
        case .noRule: ""
        case .noEndpoint: "no healthy upstream"
        case .upstreamTimeout: "upstream request timeout"
        case .connectFailed: "\(broken) connection failure"
        case .upstreamReset: "\(broken) connection termination"
        case .badUpstreamResponse: "\(broken) protocol error"
        case .bulkheadFull: "\(broken) overflow"
        case .faultInjected: "fault filter abort"
        case .rateLimited: "local_rate_limited"
        default: error.body
        }
    }
}
