// SPDX-License-Identifier: Apache-2.0

import Common
import IstioMessages
import SwiftProtobuf

/// Compiles the retry policy of a route.
///
/// - Source: Envoy's `RetryPolicy` and the words of `x-envoy-retry-on`.
enum RetryCompiler {
    /// How much of a request body is kept, as Envoy's buffers are by default.
    private static let mostBody = 1 << 20

    /// - Parameter limits: Is given the time of each try.
    static func retry(
        _ policy: XDSRetryPolicy, _ limits: inout RouteLimits, _ gaps: inout Set<String>
    ) throws(ResourceMistake) -> RouteRetry? {
        if policy.hasPerTryTimeout { limits.head = try Duration(policy.perTryTimeout, of: "per_try_timeout") }
        var conditions: RetryConditions = []
        for name in policy.retryOn.split(separator: ",").map({ String($0.filter { !$0.isWhitespace }) }) {
            if let condition = RetryConditions(name) {
                conditions.insert(condition)
            } else if !name.isEmpty {
                gaps.insert("requests are not repeated after \"\(name)\"")
            }
        }
        guard !conditions.isEmpty else { return nil }
        var backoff = (base: Duration.milliseconds(25), most: Duration.milliseconds(250))
        if policy.hasRetryBackOff {
            backoff.base = try Duration(policy.retryBackOff.baseInterval, of: "base_interval")
            guard backoff.base > .zero else { throw ResourceMistake("base_interval must be positive") }
            backoff.most =
                policy.retryBackOff.hasMaxInterval
                ? try Duration(policy.retryBackOff.maxInterval, of: "max_interval") : backoff.base * 10
            guard backoff.most >= backoff.base else { throw ResourceMistake("max_interval is less than base_interval") }
        }
        var fields: [FieldMatch] = []
        for header in policy.retriableHeaders { fields.append(try RouteCompiler.header(header)) }
        var requestFields: [FieldMatch] = []
        for header in policy.retriableRequestHeaders { requestFields.append(try RouteCompiler.header(header)) }
        for header in policy.retriableHeaders + policy.retriableRequestHeaders
        where !header.unknownFields.data.isEmpty {
            gaps.insert("retries have a condition of the header \(header.name) that is not known")
            return nil
        }
        let predicates = policy.retryHostPredicate.map(\.name)
        for name in predicates where name != "envoy.retry_host_predicates.previous_hosts" {
            gaps.insert("the retry predicate \(name) is not known")
        }
        if policy.hasPerTryIdleTimeout { gaps.insert("per_try_idle_timeout is not kept to") }
        if policy.hasRetryPriority { gaps.insert("retry_priority is not followed") }
        return RouteRetry(
            after: conditions, retries: policy.hasNumRetries ? Int(policy.numRetries.value) : 1,
            statuses: Set(policy.retriableStatusCodes.map { Int($0) }), fields: fields, requestFields: requestFields,
            backoff: backoff,
            avoidsTried: predicates.contains("envoy.retry_host_predicates.previous_hosts"), maxBody: Self.mostBody)
    }
}
