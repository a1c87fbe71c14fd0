// SPDX-License-Identifier: Apache-2.0

/// The whole configuration, typed and checked.
///
/// Each component gets its own part.
package struct MesherConfig: Sendable {
    /// Who the local application is.
    package var identity: ServiceIdentity
    /// Where to listen.
    package var listeners: ListenerConfig
    /// Where services are found.
    package var registry: RegistryConfig
    /// Which server is asked for settings; `nil` when none is.
    package var configServer: ConfigServerConfig?
    /// The local application's ports.
    package var servicePorts: ServicePorts
    /// What finds the service that a request names.
    package var resolvers: ResolverConfig
    /// TLS of traffic.
    package var tls: TrafficTLSConfig
    /// Whose word counts.
    package var trust: TrustConfig
    /// Limits and timeouts.
    package var proxy: ProxySettings
    /// Event loops; 0 means one for each CPU that the process may use.
    package var workers: Int
    /// Checks of the local application.
    package var healthChecks: [HealthCheckConfig]
    /// What steers traffic.
    package var governance: GovernanceConfig
    /// Rules about requests.
    package var rules: RuleConfig

    /// Reads everything; mistakes are noted in the reader.
    package init(_ reader: inout ConfigReader) {
        self.identity = ServiceIdentity(&reader)
        self.listeners = ListenerConfig(&reader)
        self.registry = RegistryConfig(&reader)
        self.configServer = ConfigServerConfig(&reader)
        self.servicePorts = reader.read(Keys.servicePorts)
        self.resolvers = ResolverConfig(&reader)
        self.tls = TrafficTLSConfig(&reader, own: self.identity.name)
        self.trust = TrustConfig(&reader)
        self.proxy = ProxySettings(&reader)
        self.workers = reader.read(Keys.workers)
        self.healthChecks = HealthCheckConfig.readAll(&reader)
        self.governance = GovernanceConfig(&reader, identity: self.identity)
        self.rules = RuleConfig(&reader)
    }

    /// This configuration with what may change live as `new` has it.
    package func adopting(_ new: MesherConfig) -> MesherConfig {
        var config = self
        config.proxy = new.proxy
        config.trust = new.trust
        config.governance = new.governance
        config.rules = new.rules
        return config
    }

    /// The keys that belong to no part.
    package enum Keys {
        static let servicePorts = ConfigKey(
            "mesher.servicePorts", .servicePorts, default: ServicePorts(),
            "Ports of the local application. Also `--service-ports` and the environment variable `SERVICE_PORTS`.")
        static let workers = ConfigKey(
            "mesher.workers", .integer(0...1024), default: 0,
            "Event loops that serve traffic. 0: one for each CPU that the process may use, cgroup limits respected.")

        /// All of them, in the order of the reference.
        package static let all: [any AnyConfigKey] = [Self.servicePorts, Self.workers]
    }
}
