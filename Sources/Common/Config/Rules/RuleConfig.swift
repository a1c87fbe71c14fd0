// SPDX-License-Identifier: Apache-2.0

/// Everything that is written as rules about requests; may change while the process runs.
package struct RuleConfig: Sendable {
    /// What becomes of the requests for each name.
    package var routes: RouteTable
    /// What marks requests, by name.
    package var policies: [MatchPolicy]
    /// Limits of marked requests, one for each mark.
    package var rateLimits: [RateLimitPolicy]
    /// What is done to calls on purpose.
    package var faults: FaultRules
    /// Which hosts outside the mesh may be called.
    package var externalHosts: ExternalHosts

    /// - Parameter balancing: What retries of routes have where they say nothing else.
    init(_ reader: inout ConfigReader, _ balancing: BalancingConfig) {
        self.policies = MatchPolicyReader.policies(&reader)
        let mesh = MeshReader.read(&reader, balancing)
        let hosts = RouteRuleReader.read(&reader, policies: self.policies, besides: mesh.domains)
        let externalHosts = ExternalHostReader.read(&reader)
        self.routes = RouteTable(
            hosts, hosts: mesh.hosts, domains: mesh.domains,
            externalHosts: externalHosts.virtualHosts(at: ConfigLocation("egressRule")))
        self.rateLimits = MatchPolicyReader.limits(&reader)
        self.faults = FaultRules(&reader)
        self.externalHosts = externalHosts
    }

    /// Somebody else says which external hosts may be called.
    mutating func forgetExternalHosts() {
        self.externalHosts = ExternalHosts(allowsLoopback: self.externalHosts.allowsLoopback)
        self.routes = RouteTable(self.routes.services, hosts: self.routes.hosts, domains: self.routes.domains)
    }

    /// The keys that are no rules themselves.
    package static let keys: [any AnyConfigKey] = [ExternalHostReader.Keys.loopback]
}
