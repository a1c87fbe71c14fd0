// SPDX-License-Identifier: Apache-2.0

extension ConfigCatalogue {
    static let chains = KeyGroup(
        "Handler chains", in: "chassis.yaml",
        ChainConfig.Keys.all.map { KnownKey($0) } + [
            .later(
                "cse.handler.chain.<Consumer|Provider>.<name>", .handlers, reload: .restart,
                "Handlers of another listener.")
        ])

    static let transport = KeyGroup(
        "Transport", in: "chassis.yaml",
        [
            KnownKey(GovernanceConfig.Keys.failure),
            .later("cse.transport.failure.<protocol>", .texts, "The same for other protocols."),
            .later(
                "cse.transport.maxIdleCon.<protocol>", .integer(0...100_000), default: "512", reload: .restart,
                "Idle connections to one instance."),
            .unused("cse.transport.timeout.<protocol>", "see mesher.timeouts"),
            .unused("cse.transport.maxBodyBytes.<protocol>", "bodies are passed on as they come, in bounded memory"),
            .unused("cse.transport.maxHeaderBytes.<protocol>", "see mesher.limits.headerSection"),
        ])

    static let balancing = KeyGroup(
        "Load balancing and retries", in: "load_balancing.yaml",
        BalancingConfig.Keys.framework + BalancingConfig.Keys.own.map { KnownKey($0) })

    static let breaking = KeyGroup(
        "Timeouts of calls, circuit breakers, fallback", in: "circuit_breaker.yaml",
        ResilienceConfig.Keys.all + [
            .unused("cse.isolation.<Consumer|Provider>[.<service>].timeout.enabled", "the limit always applies"),
            .unused("cse.fallback.<Consumer|Provider>[.<service>].maxConcurrentRequests", "the original never read it"),
        ])

    static let rateLimits = KeyGroup(
        "Rate limits", in: "rate_limiting.yaml",
        RateLimitConfig.Keys.all.map { KnownKey($0) } + [
            .rules("cse.rateLimiting.<policy>", "text with YAML", "Limits for marked traffic.", .text),
            .rules("cse.match.<name>", "text with YAML", "Marks traffic.", .text),
        ])

    static let faults = KeyGroup("Fault injection", in: "fault.yaml", FaultRules.keys)

    static let routes = KeyGroup(
        "Route rules", in: "router.yaml",
        [
            KnownKey(RegistryConfig.Keys.infra), KnownKey(RegistryConfig.Keys.routerAddress),
            .rules(
                "routeRule.<service>", "list of rules", "Which instances of a service get which requests.",
                RouteRuleReader.shape),
            .rules("cse.routeRule.<service>", "text with YAML", "The same as a text.", RouteRuleReader.shape),
            .rules(
                "sourceTemplate.<name>.<key>", "match", "A match that several rules refer to.",
                .map(MatchReader.routeShape)),
            .rules("cse.darklaunch.policy.<service>", "JSON", "The same in an older language.", .text),
        ])

    static let mesh = KeyGroup(
        "Virtual hosts", in: "mesh.yaml",
        [
            .rules(
                "mesh.hosts", "list of hosts", "Which requests belong to a name, and what becomes of them.",
                .either([.onlyList(.map(MeshReader.hostShape)), .text])),
            .rules(
                "mesh.clusters", "list of clusters", "Where the routes of the hosts lead.",
                .either([.onlyList(.map(MeshReader.clusterShape)), .text])),
        ])

    static let egress = KeyGroup(
        "External hosts", in: "egress.yaml",
        [
            KnownKey(RegistryConfig.Keys.egressInfra), KnownKey(RegistryConfig.Keys.egressAddress),
            .rules(
                "egressRule.<name>", "list of {hosts, ports}", "External hosts that may be called.",
                ExternalHostReader.shape),
        ] + RuleConfig.keys.map { KnownKey($0) })

    static let edge = KeyGroup(
        "Edge mode", in: "mesher.yaml",
        [
            .later(
                "mesher.ingress.type", .choice("servicecomb"), default: "servicecomb", reload: .restart,
                "Where rules come from."),
            .structure("mesher.ingress.rule.http", "text with YAML", "Which requests go to which service."),
        ])

    static let tls = KeyGroup(
        "TLS", in: "tls.yaml",
        (ClientTLSConfig.Keys.all + ClientTLSConfig.Keys.configServer).map { KnownKey($0) }
            + TrafficTLSConfig.Keys.known)

    static let credentials = KeyGroup(
        "Credentials of the control plane", in: "auth.yaml",
        [
            KnownKey(RegistryConfig.Keys.accountName), KnownKey(RegistryConfig.Keys.accountPassword),
            .later("cse.credentials.cipher", .text, default: "default", reload: .restart, "What decrypts it."),
            .unused("cse.credentials.accessKey", "signed requests to hosted registries are not supported"),
            .unused("cse.credentials.secretKey", "signed requests to hosted registries are not supported"),
            .unused("cse.credentials.akskCustomCipher", "signed requests to hosted registries are not supported"),
            .unused("cse.credentials.project", "signed requests to hosted registries are not supported"),
        ])

    static let logs = KeyGroup("Logs", in: "lager.yaml", LogConfig.Keys.all.map { KnownKey($0) })

    static let tracing = KeyGroup(
        "Tracing", in: "tracing.yaml",
        TracingConfig.Keys.all.map { KnownKey($0) } + [
            .unused("tracing.enable", "SkyWalking is not supported; it takes spans by OTLP: tracing.tracer: otlp"),
            .unused("tracing.serverUri", "SkyWalking is not supported; it takes spans by OTLP: tracing.tracer: otlp"),
        ])
}
