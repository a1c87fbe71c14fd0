// SPDX-License-Identifier: Apache-2.0

extension ConfigCatalogue {
    static let identity = KeyGroup(
        "The local service", in: "microservice.yaml",
        ServiceIdentity.Keys.all.map { KnownKey($0) } + [
            .structure(
                "service_description.paths", "list of {path, property}", "Paths of the service, for the registry."),
            .structure("service_description.schemas", "list", "Interfaces of the service, for the registry."),
        ])

    static let listeners = KeyGroup(
        "Listeners", in: "chassis.yaml",
        ListenerConfig.Keys.all.map { KnownKey($0) } + [
            .later(
                "cse.protocols.rest.listenAddress", .listenAddress, reload: .restart,
                "A listener that is registered as `rest` instead of the one called `http`."),
            .unused("cse.protocols.rest.advertiseAddress", "the listener called http is registered as rest"),
            .later("cse.protocols.dubbo.<key>", .text, reload: .restart, "The listener for Dubbo."),
            .later("cse.protocols.dubboSimpleRegistry.<key>", .text, reload: .restart, "The stub registry for Dubbo."),
            .unused("cse.protocols.<name>.workerNumber", "event loops are set by mesher.workers"),
            .unused("cse.protocols.<name>.transport", "the original never read it"),
            .later("cse.protocols.<name>.failure", .text, reload: .restart, "Old place of cse.transport.failure."),
            .later(
                "cse.protocols.<name>.cors.<key>", .text, reload: .restart, "Cross-origin requests to the admin API."),
        ])

    static let registry = KeyGroup(
        "Registry", in: "chassis.yaml",
        RegistryConfig.Keys.all.map { KnownKey($0) } + [
            .later(
                "cse.service.registry.<registrator|serviceDiscovery|contractDiscovery>.autodiscovery", .bool,
                default: "false", reload: .restart, "Whether the registry's own members replace its address."),
            .later(
                "cse.service.registry.<registrator|serviceDiscovery|contractDiscovery>.autoIPIndex", .bool,
                default: "false", reload: .restart, "Whether to know the service of every address."),
            .later(
                "cse.service.registry.autoSchemaIndex", .bool, default: "false", reload: .restart,
                "Whether to know the service of every interface, for Dubbo."),
            .later(
                "cse.service.registry.<registrator|serviceDiscovery|contractDiscovery>.refreshInterval",
                .duration(.milliseconds(100)...(.seconds(86_400))), default: "30s", reload: .restart,
                "The same as above for one side."),
            .later(
                "cse.service.registry.<registrator|serviceDiscovery|contractDiscovery>.watch", .bool,
                default: "false", reload: .restart, "The same as above for one side."),
            .later(
                "cse.service.registry.<registrator|serviceDiscovery|contractDiscovery>.tenant", .text,
                default: "default", reload: .restart, "Tenant for one side."),
            .later(
                "cse.service.registry[.<registrator|serviceDiscovery|contractDiscovery>].api.version",
                .choice("v4", "v3"), default: "v4", reload: .restart, "Version of the registry's API."),
            .later(
                "cse.service.registry.<registrator|serviceDiscovery|contractDiscovery>.healthCheck", .bool,
                default: "false", reload: .restart, "Whether to probe instances that have disappeared."),
            .later(
                "cse.service.registry.cacheIndex", .bool, default: "false", reload: .restart,
                "Index of instances by tags."),
            .later(
                "cse.service.registry.uploadSchema", .bool, default: "false", reload: .restart,
                "Whether to upload OpenAPI documents."),
            .later(
                "cse.service.registry.heartbeat.mode", .choice("non-keep-alive", "ping-pong"),
                default: "non-keep-alive", reload: .restart, "How to stay registered."),
            .later(
                "cse.service.registry.<serviceDiscovery|contractDiscovery>.disabled", .bool,
                default: "false", reload: .restart,
                "Whether to do without `serviceDiscovery` or `contractDiscovery`."),
            .later(
                "cse.service.registry.<registrator|contractDiscovery>.type",
                .choice("servicecenter", "pilot", "pilotv2", "kube", "file"), reload: .restart, "Type for one side."),
            .later(
                "cse.service.registry.<registrator|serviceDiscovery|contractDiscovery>.scope", .choice("full", "app"),
                reload: .restart, "Scope for one side."),
            .later(
                "cse.service.registry.<registrator|contractDiscovery>.address", .text,
                reload: .restart, "Address for one side."),
            .later(
                "cse.service.registry.<registrator|serviceDiscovery|contractDiscovery>.register",
                .choice("auto", "manual"), reload: .restart, "The same as above for one side."),
            .later(
                "cse.service.registry.<registrator|serviceDiscovery|contractDiscovery>.configPath", .text,
                default: "/etc/.kube/config", reload: .restart, "Access to Kubernetes."),
        ])

    static let configServer = KeyGroup(
        "Configuration server", in: "chassis.yaml",
        ConfigServerConfig.Keys.all.map { KnownKey($0) } + [
            .unused(
                "cse.config.client.dimension[.<name>]",
                "settings are asked for by application, environment, service name and version"),
            .unused("cse.config.client.serviceName", "Apollo is not supported"),
            .unused("cse.config.client.env", "Apollo is not supported"),
            .unused("cse.config.client.namespace", "Apollo is not supported"),
            .unused("cse.config.client.token", "Apollo is not supported"),
            .unused("cse.config.client.cluster", "Apollo is not supported"),
        ])

    static let plugins = KeyGroup(
        "Resolvers, checks of the local service, profiling", in: "mesher.yaml",
        (ResolverConfig.Keys.all + AdminConfig.Keys.own).map { KnownKey($0) } + [
            KnownKey(HealthCheckConfig.listKey),
            .unused(
                "plugin.sourceResolver",
                "the caller is always found by x-cse-context, x-cse-src-microservice and the address, in this order"),
            .later("admin.serverUri", .listenAddress, reload: .restart, "Old place of the admin API's address."),
            .unused("proxyedProtocol", "the listeners say which protocols are taken"),
            .unused("policy[.<key>]", "obsolete in the original"),
        ])

    static let general = KeyGroup(
        "Process", in: "mesher.yaml", (MesherConfig.Keys.all + TrustConfig.Keys.all).map { KnownKey($0) })

    static let limits = KeyGroup("Limits", in: "mesher.yaml", ProxySettings.Keys.limits.map { KnownKey($0) })

    static let timeouts = KeyGroup("Timeouts", in: "mesher.yaml", ProxySettings.Keys.timeouts.map { KnownKey($0) })

    static let framework = KeyGroup(
        "Metrics and the rest", in: "chassis.yaml",
        AdminConfig.Keys.framework.map { KnownKey($0) } + [
            .unused("cse.metrics.flushInterval", "metrics are always current"),
            .unused("cse.metrics.circuitMetricsConsumerNum", "an inner setting of the original"),
            .unused("cse.monitor.client.<key>", "the vendor's monitoring service is not supported"),
            .unused("cse.noRefreshSchema", "contracts are not uploaded again"),
            .later(
                "control.infra", .choice("archaius", "istio"), default: "archaius", reload: .restart,
                "Where governance comes from."),
            .later("control.settings.address", .text, reload: .restart, "Address of Istio."),
            .unused("cse.references.<service>.<key>", "route rules choose versions"),
        ] + RegionConfig.Keys.all.map { KnownKey($0) })
}
