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
    /// What is logged.
    package var logs: LogConfig
    /// What operators are shown.
    package var admin: AdminConfig
    /// What becomes of spans; `nil` where nothing is configured.
    package var tracing: TracingConfig?
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
        self.logs = LogConfig(&reader)
        self.admin = AdminConfig(&reader)
        if let address = self.admin.profiling { self.listeners.noteCollision(ofProfiles: address, &reader) }
        self.tracing = TracingConfig(&reader)
        self.governance = GovernanceConfig(&reader, identity: self.identity)
        self.rules = RuleConfig(&reader, self.governance.balancing)
        if self.registry.istio.tellsExternalHosts { self.rules.forgetExternalHosts() }
        self.noteIdlePorts(&reader)
        self.noteIdleHandlers(&reader)
        self.noteIdleMesh(&reader)
        if self.registry.uses(.serviceCenter), self.registry.isRegistering { self.noteRefusals(&reader) }
    }

    /// What service-center would refuse for ever, so that nobody could find this service.
    private func noteRefusals(_ reader: inout ConfigReader) {
        func note(_ key: String, _ severity: ConfigProblem.Severity, _ problem: String, _ remedy: String) {
            guard let entry = reader.store.entry(key) else { return }
            reader.note(ConfigProblem(severity, at: entry.value.location, key: entry.key, problem, remedy: remedy))
        }
        let name = self.identity.name
        let rule = "write letters, digits, _ - and ., with a letter or a digit at both ends"
        if !name.isEmpty, !RegistryNames.isName(name) {
            let text = "service-center takes no service \"\(name.prefix(200))\""
            note(ServiceIdentity.Keys.name.name, .error, text, "\(rule), \(RegistryNames.nameLimit) at most")
        }
        if !RegistryNames.isName(self.identity.app, limit: RegistryNames.appLimit) {
            let text = "service-center takes no application \"\(self.identity.app.prefix(200))\""
            note(ServiceIdentity.Keys.app.name, .error, text, "\(rule), \(RegistryNames.appLimit) at most")
        }
        if !RegistryNames.isVersion(self.identity.version) {
            let text = "service-center takes no version \"\(self.identity.version.prefix(200))\""
            note(ServiceIdentity.Keys.version.name, .error, text, "write numbers up to 32767, such as 1.2.3")
        }
        if reader.store.entry("service_description.properties.allowCrossApp") != nil {
            note(
                "service_description.properties.allowCrossApp", .note, "has no effect",
                "write \(RegistryConfig.Keys.scope.name): full, so that other applications may call this service")
        }
        let region = self.governance.region
        // A pod says its zone in any case, to be of use where the files say the region.
        if reader.store.entry(RegionConfig.Keys.zone.name)?.value.location == EnvironmentVariable.zone { return }
        guard !(region.name.isEmpty && region.region.isEmpty && region.zone.isEmpty), !region.isComplete else { return }
        let (present, missing) =
            region.zone.isEmpty
            ? (RegionConfig.Keys.name, RegionConfig.Keys.zone) : (RegionConfig.Keys.zone, RegionConfig.Keys.name)
        note(
            present.name, .warning, "nothing of the region is registered: service-center takes all of it or nothing",
            "write \(missing.name) as well")
    }

    /// Ports that no request is sent to.
    private func noteIdlePorts(_ reader: inout ConfigReader) {
        guard !self.servicePorts.isUseful, let port = self.servicePorts.ports.first,
            let entry = reader.store.entry(Keys.servicePorts.name)
        else { return }
        let near = Spelling.nearest(to: port.name, among: ["rest", "grpc"]) ?? "rest"
        reader.note(
            ConfigProblem(
                .warning, at: entry.value.location, key: entry.key,
                "no port is that of rest or grpc: requests find one only by X-Forwarded-Port",
                remedy: "write \(near):\(port.port)"))
    }

    /// Handlers that stand in a chain and have nothing to do, since nothing says where to.
    private func noteIdleHandlers(_ reader: inout ConfigReader) {
        let chains = self.governance.chains
        for (key, names) in [
            (ChainConfig.Keys.outgoing, chains.outgoing), (ChainConfig.Keys.incoming, chains.incoming),
        ] {
            guard let entry = reader.store.entry(key.name) else { continue }
            func note(_ handler: String, _ remedy: String) {
                reader.note(
                    ConfigProblem(
                        .warning, at: entry.value.location, key: entry.key, "handler [\(handler)] does nothing here",
                        remedy: remedy))
            }
            if self.tracing == nil, let handler = names.first(where: { $0.hasPrefix("tracing-") }) {
                note(handler, "write where spans go, such as tracing.settings.URI in tracing.yaml")
            }
            if self.logs.access == nil, names.contains("access-log") {
                note("access-log", "write accessLogFile in lager.yaml")
            }
        }
    }

    /// What `mesh.yaml` asks for, and nothing does.
    private func noteIdleMesh(_ reader: inout ConfigReader) {
        let hosts = self.rules.routes.hosts.filter { $0.value.unmatched == .notFound }.sorted { $0.key < $1.key }
        if let first = hosts.first, !self.governance.chains.outgoing.contains("router") {
            let chain = reader.store.entry(ChainConfig.Keys.outgoing.name)
            reader.note(
                ConfigProblem(
                    .warning, at: chain?.value.location ?? ConfigLocation("mesh.yaml"),
                    key: ChainConfig.Keys.outgoing.name,
                    "the chain has no router: requests to the host \(first.key) of mesh.yaml lead nowhere",
                    remedy: "write router in front of loadbalance"))
        }
        for (name, host) in hosts {
            let own = self.governance.balancing.balancing(for: name).strategy
            for route in host.routes where route.action?.hashKeys.isEmpty == false {
                let strategies = route.targets.map { host.cluster(of: $0)?.settings?.strategy ?? own }
                guard !strategies.contains(where: \.isHashed) else { continue }
                reader.note(
                    ConfigProblem(
                        .warning, at: route.location, key: "mesh",
                        "hash has no effect: no cluster of the route is balanced by RingHash or Maglev",
                        remedy: "write balancing: RingHash for the cluster"))
            }
        }
    }

    /// This configuration with what may change live as `new` has it.
    package func adopting(_ new: MesherConfig) -> MesherConfig {
        var config = self
        config.proxy = new.proxy
        config.trust = new.trust
        config.governance = new.governance
        config.governance.region = self.governance.region
        config.rules = new.rules
        config.logs = new.logs
        config.resolvers.readsHost = new.resolvers.readsHost
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
