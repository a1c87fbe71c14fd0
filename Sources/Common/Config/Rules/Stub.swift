// SPDX-License-Identifier: Apache-2.0
package struct RuleConfig: Sendable {
    package var routes = RouteTable(); package var policies: [MatchPolicy] = [];
    package var rateLimits: [RateLimitPolicy] = []; package var faults = FaultRules();
    package var externalHosts = ExternalHosts(); package init() {}
}
package struct RateLimitPolicy: Sendable, Equatable {
    package let name: String; package let match: String; package let rate: Int; package let burst: Int
}
package struct FaultRules: Sendable { package subscript(service: String) -> FaultPolicy? { nil } }
package struct FaultPolicy: Sendable, Equatable {
    package var delay: Duration?; package var delayPercent: Int; package var abortStatus: Int?;
    package var abortPercent: Int
}
package struct ExternalHosts: Sendable {
    package struct Rule: Sendable {
        package let pattern: String; package var isWildcard: Bool { false };
        package func allows(port: UInt16) -> Bool { false }; package func httpPort(requested: UInt16?) -> UInt16 { 80 }
    }
    package var rules: [Rule] = []; package var isEmpty: Bool { rules.isEmpty };
    package var allowsLoopback: Bool { false }; package func match(host: RawSpan) -> Rule? { nil }
}
