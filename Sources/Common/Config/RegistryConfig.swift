// SPDX-License-Identifier: Apache-2.0

/// Where services are found: `cse.service.registry.*` of `chassis.yaml`.
package struct RegistryConfig: Sendable, Equatable {
    /// The kinds of registry.
    package enum Kind: String, Sendable, CaseIterable {
        /// Apache ServiceComb service-center.
        case serviceCenter = "servicecenter"
        /// A file, for tests and single machines.
        case file
        /// Istio, by today's discovery API: routes come from there too.
        case istio
        /// The same by another name.
        case pilotV3 = "pilotv3"
        /// Istio by its first discovery API.
        case pilot
        /// The same, and where the control plane does not know that API, by the second version of it.
        case pilotV2 = "pilotv2"
        /// Kubernetes itself.
        case kube

        /// Whether this version can ask it for services.
        package var isActive: Bool {
            switch self {
            case .serviceCenter, .file, .istio, .pilotV3, .pilotV2, .pilot: true
            case .kube: false
            }
        }
    }

    /// Which kinds, in the order in which they have names; none when the registry is disabled.
    package var kinds: [Kind]
    /// Where it is; the path of a file that is the only one.
    package var address: String
    /// The path of the file; empty where ``address`` has it, or the usual one is meant.
    package var file: String
    /// The addresses of a service-center, which share one store: `http://host:port`.
    package var centers: [String]
    /// The addresses of Istio's control plane, in the order in which they are tried; none where it is not used.
    package var controlPlanes: [ServerAddress]
    /// What of Istio counts; `nil` for nothing.
    package var istioUse: IstioUse?
    /// What is asked for by streams where services come by Istio's first API; `nil` for nothing.
    package var streams: Streams?
    /// How it and this workload prove to each other who they are.
    package var istio: IstioConfig
    /// Whose services are seen.
    package var tenant: String
    /// The project within the tenant; part of every path.
    package var project: String
    /// Who may call the local service.
    package var scope: Scope
    /// Whether the instance is registered, or the service only.
    package var registersInstance: Bool
    /// Time between two heartbeats.
    package var heartbeat: Duration
    /// How long requests are still taken after the registration has ended.
    package var farewell: Duration
    /// How often instances are asked for.
    package var refresh: Duration
    /// Whether the registry is to push changes.
    package var isWatching: Bool
    /// Whether to know the service of every address.
    package var isIndexing: Bool
    /// Whether the last instances of a service are tried before they go.
    package var isProbing: Bool
    /// Whether the registry's own members are asked too.
    package var isFindingMembers: Bool
    /// Whether the local service is registered at all.
    package var isRegistering: Bool
    /// Where the last known services are saved.
    package var stateDirectory: String
    /// How to speak TLS to the registry; `nil` when its addresses are `http`.
    package var tls: ClientTLSConfig?
    /// Who logs in at the registry; `nil` when nobody does.
    package var account: Account?
    /// The address of the machine that a container runs on; empty when unknown.
    package var nodeIP: String

    /// What a sidecar takes of Istio.
    package enum IstioUse: Sendable {
        /// Where services are, and what becomes of requests for them.
        case everything
        /// Where they are; `router.yaml` says the rest.
        case services
        /// What becomes of requests for services that another registry has.
        case routes
        /// Neither of both; the hosts outside the mesh are asked for.
        case externalHosts
    }

    /// A second control plane, or the second API of the same.
    package struct Streams: Sendable, Equatable {
        /// What of it counts.
        package let use: IstioUse
        /// Its addresses, in the order in which they are tried.
        package let servers: [ServerAddress]
    }

    /// The addresses of all control planes.
    package var allControlPlanes: [ServerAddress] { self.controlPlanes + (self.streams?.servers ?? []) }

    /// Whether what becomes of requests is Istio's business.
    package var hasIstioRoutes: Bool {
        self.istioUse == .everything || [self.istioUse, self.streams?.use].contains(.routes)
    }

    /// Who may call a service.
    package enum Scope: String, Sendable, CaseIterable {
        /// Services of its own application.
        case app
        /// Those of all applications.
        case full
    }

    /// An account at the registry.
    package struct Account: Sendable, Equatable {
        /// Its name.
        package let name: String
        /// Its password, which no log may show.
        package let password: String

        /// An account.
        package init(name: String, password: String) {
            self.name = name
            self.password = password
        }
    }

    /// Reads the registry's keys.
    package init(_ reader: inout ConfigReader) {
        let isDisabled = reader.read(Keys.disabled)
        let discovery = Self.discovery(&reader)
        let configured = discovery ?? reader.readIfPresent(Keys.kind)
        let kindKey = discovery == nil ? Keys.kind : Keys.discovery
        let isWrong = configured == nil && reader.store.entry(kindKey.name) != nil
        self.kinds = isDisabled ? [] : Self.usual(configured ?? Keys.kind.fallback)
        self.file = reader.read(Keys.file)
        self.address = reader.read(Keys.address)
        self.tenant = reader.read(Keys.tenant)
        self.scope = reader.read(Keys.scope)
        self.registersInstance = reader.read(Keys.register) == "auto"
        self.heartbeat = reader.read(Keys.heartbeat)
        self.farewell = reader.read(Keys.farewell)
        self.refresh = reader.read(Keys.refresh)
        self.isWatching = reader.read(Keys.watch)
        self.stateDirectory = reader.read(Keys.stateDirectory)
        self.isIndexing = reader.read(Keys.index)
        self.isProbing = reader.read(Keys.probe)
        self.isFindingMembers = reader.read(Keys.members)
        self.isRegistering = !reader.read(Keys.registratorDisabled)
        let name = reader.read(Keys.accountName)
        self.account = name.isEmpty ? nil : Account(name: name, password: reader.read(Keys.accountPassword))
        self.tls = nil
        // As in the original, these two are variables of the environment only.
        self.project = reader.store.entry("CSE_PROJECT_ID")?.value.text ?? ""
        if self.project.isEmpty { self.project = "default" }
        self.nodeIP = reader.store.entry("HOSTING_SERVER_IP")?.value.text ?? ""
        self.centers = []
        self.controlPlanes = []
        self.istio = IstioConfig(&reader)
        let (infra, egress) = (reader.readIfPresent(Keys.infra), reader.readIfPresent(Keys.egressInfra))
        let hasIstioRoutes = infra.map { Keys.ofIstio.contains($0) }
        self.istio.tellsExternalHosts = egress.map { Keys.ofIstio.contains($0) } ?? false
        let isVersion2 = configured?.contains(.pilotV2) == true || [infra, egress].contains("pilotv2")
        // Rules of `pilot` have always come by it.
        self.istio.allowsVersion2 = isVersion2 || [infra, egress].contains("pilot")
        self.istio.isPolled = configured?.contains(.pilot) == true
        self.istioUse =
            switch (self.kinds.contains(.istio), hasIstioRoutes) {
            case (true, false): .services
            // As it was.
            case (true, nil) where self.istio.isPolled: .services
            case (true, _): .everything
            case (false, true) where !self.kinds.isEmpty: .routes
            case (false, _): self.istio.tellsExternalHosts && !isDisabled ? .externalHosts : nil
            }
        if self.istioUse != nil, !isWrong {
            let name = isVersion2 ? "istio-pilot.istio-system" : "istiod.istio-system"
            self.findControlPlanes(&reader, infra, egress, name: name)
        }
        if self.kinds.contains(.serviceCenter), !isWrong {
            let addresses = reader.readServers(Keys.address, allowsPath: false)
            self.centers = addresses.map(\.text)
            let isAbsent = self.address.allSatisfy { $0.isWhitespace || $0 == "," }
            if isAbsent { self.centers = ["http://127.0.0.1:30100"] }
            if addresses.contains(where: \.isSecure) { self.tls = ClientTLSConfig(registry: &reader) }
            self.noteWatch(&reader)
        }
        guard !isWrong, !reader.isPartial else { return }
        self.noteFile(&reader)
        for kind in self.kinds where !kind.isActive {
            let effect =
                self.kinds.contains(where: \.isActive)
                ? "no service is found there"
                : "no service is found, and outgoing requests are answered 503; incoming ones are served"
            reader.note(
                ConfigProblem(
                    .note, at: reader.store.entry(kindKey.name)?.value.location ?? ConfigLocation("chassis.yaml"),
                    key: kindKey.name, "\(kind.rawValue) is not active yet: \(effect)"))
        }
    }

    /// Where services are found in place of ``Keys/kind``; `nil` where that counts, also because this version cannot ask
    /// those that are named.
    private static func discovery(_ reader: inout ConfigReader) -> [Kind]? {
        guard let kinds = reader.readIfPresent(Keys.discovery) else { return nil }
        guard let idle = kinds.first(where: { !$0.isActive }) else { return kinds }
        if let entry = reader.store.entry(Keys.discovery.name) {
            reader.note(
                ConfigProblem(
                    .note, at: entry.value.location, key: entry.key,
                    "\(idle.rawValue) is not active yet: \(Keys.kind.name) counts"))
        }
        return nil
    }

    /// The kinds without other names of one.
    private static func usual(_ kinds: [Kind]) -> [Kind] {
        kinds.map { [.pilotV3, .pilotV2, .pilot].contains($0) ? Kind.istio : $0 }.reduce(into: []) {
            if !$0.contains($1) { $0.append($1) }
        }
    }

    /// Whether streams tell what Istio's control plane is asked for beside its first API, as they always have: where they are
    /// asked for by name, or at an address of their own.
    private func isStreamed(
        _ infra: String?, at key: ConfigKey<String>, beside services: ConfigKey<String>, _ store: ConfigStore
    ) -> Bool {
        guard self.istio.isPolled, self.kinds.contains(.istio), let infra, Keys.ofIstio.contains(infra) else {
            return false
        }
        let address = store.entry(key.name)?.value.text ?? ""
        return infra != "pilot" || !address.isEmpty && address != store.entry(services.name)?.value.text
    }

    /// Finds out which control planes of Istio are asked for what, and where they are.
    ///
    /// - Parameter name: That of the control plane where nobody writes an address.
    private mutating func findControlPlanes(
        _ reader: inout ConfigReader, _ infra: String?, _ egress: String?, name: String
    ) {
        let discovery = reader.read(Keys.discoveryAddress)
        let services = discovery.isEmpty && self.kinds == [.istio] ? Keys.address : Keys.discoveryAddress
        let tellsHosts = self.istio.tellsExternalHosts
        let streamsRoutes = self.isStreamed(infra, at: Keys.routerAddress, beside: services, reader.store)
        if streamsRoutes { self.istioUse = .services }
        let mayStreamHosts = self.istioUse == .services && !streamsRoutes
        let streamsHosts =
            tellsHosts
            && (streamsRoutes
                || mayStreamHosts && self.isStreamed(egress, at: Keys.egressAddress, beside: services, reader.store))
        func servers(_ key: ConfigKey<String>, isPolled: Bool, name: String) -> [ServerAddress] {
            let found = reader.readServers(key, allowsPath: false, isControlPlane: !isPolled)
            let usual = isPolled ? "http://istio-pilot.istio-system:8080" : name
            guard found.isEmpty else { return found }
            return (try? isPolled ? ServerAddress(usual) : ServerAddress(discovery: usual)).map { [$0] } ?? []
        }
        func address(routes: Bool, hosts: Bool) -> ConfigKey<String> {
            let isOfHosts = !routes || hosts && reader.store.entry(Keys.routerAddress.name) == nil
            return isOfHosts ? Keys.egressAddress : Keys.routerAddress
        }
        let hasServices = self.istioUse == .everything || self.istioUse == .services
        let first = hasServices ? services : address(routes: self.istioUse == .routes, hosts: tellsHosts)
        self.controlPlanes = servers(first, isPolled: hasServices && self.istio.isPolled, name: name)
        var second: ConfigKey<String>?
        if streamsRoutes || streamsHosts {
            let key = address(routes: streamsRoutes, hosts: streamsHosts)
            second = key
            self.streams = Streams(
                use: streamsRoutes ? .routes : .externalHosts,
                servers: servers(key, isPolled: false, name: "istio-pilot.istio-system"))
        }
        let hasRoutes = self.istioUse == .everything || self.istioUse == .routes || streamsRoutes
        for (key, isMeant, isSecond) in [
            (Keys.routerAddress, hasRoutes, streamsRoutes), (Keys.egressAddress, tellsHosts, streamsHosts),
        ] where isMeant && key.name != first.name && key.name != second?.name {
            let found = reader.readServers(key, allowsPath: false, isControlPlane: true)
            guard !found.isEmpty, found != (isSecond ? self.streams?.servers : self.controlPlanes),
                let entry = reader.store.entry(key.name)
            else { continue }
            reader.note(
                ConfigProblem(
                    .warning, at: entry.value.location, key: entry.key,
                    "it has no effect: the control plane at \((isSecond ? second : nil)?.name ?? first.name) is asked",
                    remedy: "leave it out"))
        }
    }

    /// Whether services are found in this kind of registry.
    package func uses(_ kind: Kind) -> Bool { self.kinds.contains(kind) }

    /// The path of the file, as it is written.
    package var filePath: String {
        if !self.file.isEmpty { return self.file }
        return self.kinds == [.file] && !self.address.isEmpty ? self.address : "service.json"
    }

    /// Where the file of a file registry is.
    package func path(in configDirectory: String) -> String {
        let path = self.filePath
        return path.hasPrefix("/") ? path : "\(configDirectory)/\(path)"
    }

    /// The file is named where none is read, or twice.
    private func noteFile(_ reader: inout ConfigReader) {
        guard !self.file.isEmpty, let entry = reader.store.entry(Keys.file.name) else { return }
        if !self.uses(.file) {
            reader.note(
                ConfigProblem(
                    .warning, at: entry.value.location, key: entry.key,
                    "it has no effect: \(Keys.kind.name) does not name file",
                    remedy: "write \(Keys.kind.name): servicecenter,file"))
        } else if self.kinds == [.file], !self.address.isEmpty, let address = reader.store.entry(Keys.address.name) {
            reader.note(
                ConfigProblem(
                    .warning, at: address.value.location, key: address.key,
                    "it has no effect: \(Keys.file.name) names the file", remedy: "leave one of the two out"))
        }
    }

    /// The registry pushes to services that it knows.
    private func noteWatch(_ reader: inout ConfigReader) {
        guard self.isWatching, !self.isRegistering, let entry = reader.store.entry(Keys.watch.name) else { return }
        reader.note(
            ConfigProblem(
                .note, at: entry.value.location, key: entry.key,
                "nothing is pushed to a sidecar that registers no service: the registry is asked at each interval"))
    }

    /// The keys of ``RegistryConfig``.
    package enum Keys {
        static let disabled = ConfigKey(
            "cse.service.registry.disabled", .bool, default: false, "Whether to do without a registry.")
        static let kind = ConfigKey(
            "cse.service.registry.type", .several(.oneOf(Kind.self, "registry type"), isOptional: false),
            default: [.serviceCenter],
            "Where services are found. `file`: in the file that `address` names. `servicecenter`: in Apache ServiceComb service-center, where the local service is registered too. `istio`, also `pilotv3`: in Istio, which says what becomes of requests too. `pilotv2`: the same, also of Istio up to 1.6. `pilot`: in Istio up to 0.8, asked again at each `refreshInterval`. `kube` is not active yet. Several with commas: a service belongs to the first one that has it."
        )
        static let discovery = ConfigKey(
            "cse.service.registry.serviceDiscovery.type",
            .several(.oneOf(Kind.self, "registry type"), isOptional: false), default: [],
            "Where services are found, in place of `type`.")
        static let discoveryAddress = ConfigKey(
            "cse.service.registry.serviceDiscovery.address", .text, default: "",
            "Address of Istio's control plane: `grpc://istiod.istio-system:15010`, which is meant when absent (for `pilotv2`: `grpc://istio-pilot.istio-system:15010`, for `pilot`: `http://istio-pilot.istio-system:8080`), or `grpcs://istiod.istio-system:15012` for TLS with a token; several with commas are tried in turn. Without a port 15010 is meant, for `grpcs` 15012."
        )
        /// The values of ``infra`` and ``egressInfra`` that mean Istio.
        static let ofIstio = ["pilot", "pilotv2", "istio"]

        static let egressInfra = ConfigKey(
            "egress.infra", .choice("cse", "servicecomb", "pilot", "pilotv2", "istio"), default: "cse",
            reload: .restart,
            "Who says which external hosts may be called. `cse`, also `servicecomb`: the rules of this file. `istio`: Istio's control plane, whose ServiceEntries they are. `pilot`, `pilotv2`: the same, also of Istio up to 1.6."
        )
        static let egressAddress = ConfigKey(
            "egress.address", .text, default: "", reload: .restart,
            "Address of Istio's control plane, where neither services nor routes come from there: `http://istiod.istio-system:15010`, which is meant when absent (for `pilotv2`: `http://istio-pilot.istio-system:15010`)."
        )
        static let infra = ConfigKey(
            "router.infra", .choice("cse", "servicecomb", "pilot", "pilotv2", "istio"), default: "cse",
            reload: .restart,
            "Who says what becomes of requests for services. `cse`, also `servicecomb`: the rules of this file. `istio`: Istio's control plane. `pilot`, `pilotv2`: the same, also of Istio up to 1.6. When absent: Istio where services are found there, or else the rules of this file."
        )
        static let routerAddress = ConfigKey(
            "router.address", .text, default: "", reload: .restart,
            "Address of Istio's control plane, where services are found elsewhere: `http://istiod.istio-system:15010`, which is meant when absent (for `pilotv2`: `http://istio-pilot.istio-system:15010`)."
        )
        static let file = ConfigKey(
            "mesher.registry.file", .text, default: "",
            "The path of the file registry, relative to the configuration directory; where `address` is that of another registry. When absent: `address`, if `type` is `file` alone, or else service.json."
        )
        static let address = ConfigKey(
            "cse.service.registry.address", .text, default: "",
            "Address of the registry; several of a service-center with commas, `http://127.0.0.1:30100` when absent. Without a scheme `http` is meant, without a port that of the scheme. For `file`: the path, relative to the configuration directory; service.json when absent."
        )

        static let tenant = ConfigKey(
            "cse.service.registry.tenant", .text, default: "default",
            "Tenant of the registry: a world of its own, so a misspelt one looks like a registry without services.")
        static let scope = ConfigKey(
            "cse.service.registry.scope", .oneOf(Scope.self, "scope"), default: .app,
            "`full`: services of other applications may call this one.")
        static let register = ConfigKey(
            "cse.service.registry.register", .choice("auto", "manual"), default: "auto",
            "`manual`: the instance is not registered, the service is.")
        static let heartbeat = ConfigKey(
            "cse.service.registry.heartbeat.interval", .duration(.seconds(10)...(.seconds(86_400))),
            default: .seconds(30),
            "Time between two heartbeats. The registry forgets an instance after four times that.")
        static let refresh = ConfigKey(
            "cse.service.registry.refreshInterval", .duration(.milliseconds(100)...(.seconds(86_400))),
            default: .seconds(30), "How often the instances of the services in use are asked for.")
        static let watch = ConfigKey(
            "cse.service.registry.watch", .bool, default: false,
            "Whether the registry is to push changes of instances, so that they are known at once.")
        static let index = ConfigKey(
            "cse.service.registry.autoIPIndex", .bool, default: false,
            "Whether to know the service of every address, for the `ip` resolver and to name callers. Every service is asked for at each interval."
        )
        static let probe = ConfigKey(
            "cse.service.registry.healthCheck", .bool, default: false,
            "Whether the last usable instances of a service that have vanished from the registry are kept for up to 5 minutes, as long as they take connections."
        )
        static let members = ConfigKey(
            "cse.service.registry.autodiscovery", .bool, default: false,
            "Whether the members that the registry names are asked too, besides `address`.")
        static let registratorDisabled = ConfigKey(
            "cse.service.registry.registrator.disabled", .bool, default: false,
            "Whether to find services only, and register none.")
        static let stateDirectory = ConfigKey(
            "mesher.stateDirectory", .text, default: "",
            "Where the last known services are saved, for a start while the registry is away. When absent: the environment variable `STATE_DIRECTORY`, or else `mesher` in `XDG_STATE_HOME` or in `~/.local/state`."
        )
        static let accountName = ConfigKey(
            "cse.credentials.account.name", .text, default: "", reload: .restart,
            "Account at a service-center that asks who calls.")
        static let accountPassword = ConfigKey(
            "cse.credentials.account.password", .text, default: "", reload: .restart, "Its password.")
        static let farewell = ConfigKey(
            "mesher.timeouts.farewell", .duration(.zero...(.seconds(60))), default: .seconds(3),
            "How long requests are still taken after the registration has ended, since others learn of it with a delay."
        )

        /// All of them, in the order of the reference.
        package static let all: [any AnyConfigKey] =
            [
                Self.kind, Self.address, Self.discovery, Self.discoveryAddress, Self.file, Self.disabled, Self.tenant,
                Self.scope, Self.register, Self.heartbeat,
                Self.registratorDisabled, Self.refresh, Self.watch, Self.index, Self.probe, Self.members, Self.farewell,
                Self.stateDirectory,
            ] + IstioConfig.Keys.all
    }
}
