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
            .rules("cse.rateLimiting.<policy>", "text with YAML", "Limits for marked traffic."),
            .rules("cse.match.<name>", "text with YAML", "Marks traffic."),
        ])

    static let faults = KeyGroup("Fault injection", in: "fault.yaml", FaultRules.keys)

    static let routes = KeyGroup(
        "Route rules", in: "router.yaml",
        [
            .later(
                "router.infra", .choice("cse", "servicecomb", "pilot", "pilotv2", "istio"), default: "cse",
                reload: .restart, "Where rules come from."),
            .later("router.address", .text, reload: .restart, "Address of Istio."),
            .rules("routeRule.<service>", "list of rules", "Which instances of a service get which requests."),
            .rules("cse.routeRule.<service>", "text with YAML", "The same as a text."),
            .rules("sourceTemplate.<name>.<key>", "match", "A match that several rules refer to."),
            .rules("cse.darklaunch.policy.<service>", "JSON", "The same in an older language."),
        ])

    static let egress = KeyGroup(
        "External hosts", in: "egress.yaml",
        [
            .later("egress.infra", .choice("cse", "pilot"), default: "cse", reload: .restart, "Where rules come from."),
            .later("egress.address", .text, reload: .restart, "Address of Istio."),
            .rules("egressRule.<name>", "list of {hosts, ports}", "External hosts that may be called."),
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

    // Values out of range stand for the default here, as in the original, so they are no mistakes.
    static let logs = KeyGroup(
        "Logs", in: "lager.yaml",
        [
            .later("logWriters", .text, default: "file,stdout", "Where logs go."),
            .later("writers", .text, default: "file,stdout", "Old spelling of `logWriters`."),
            .later("logLevel", .text, default: "DEBUG", "`DEBUG`, `INFO`, `WARN`, `ERROR` or `FATAL`."),
            .later("logger_level", .text, default: "DEBUG", "Old spelling of `logLevel`."),
            .later("logFile", .text, default: "log/chassis.log", "Path of the file."),
            .later("logger_file", .text, default: "log/chassis.log", "Old spelling of `logFile`."),
            .later("logFormatText", .text, default: "false", "Text instead of JSON."),
            .later("log_format_text", .text, default: "false", "Old spelling of `logFormatText`."),
            .later("logRotateAge", .text, default: "1", "Days after which a new file is begun."),
            .later("log_rotate_date", .text, default: "1", "Old spelling of `logRotateAge`."),
            .later("logRotateSize", .text, default: "10", "Megabytes after which a new file is begun."),
            .later("log_rotate_size", .text, default: "10", "Old spelling of `logRotateSize`."),
            .later("logBackupCount", .text, default: "7", "How many old files are kept."),
            .later("log_backup_count", .text, default: "7", "Old spelling of `logBackupCount`."),
            .later("logColorMode", .text, default: "auto", "Colours: `auto`, `always` or `never`."),
            .later("logRotateDisable", .text, default: "false", "Never begin a new file."),
            .later("logRotateCompress", .text, default: "false", "Compress old files."),
            .later("rollingPolicy", .text, default: "size", "`size` or `daily`; old."),
            .later("accessLogFile", .text, "Where the access log goes: a path or `stdout`."),
        ])

    static let tracing = KeyGroup(
        "Tracing", in: "tracing.yaml",
        [
            .later("tracing.tracer", .text, default: "zipkin", reload: .restart, "What takes the spans."),
            .later(
                "tracing.settings.<name>", .text, reload: .restart,
                "`URI`, `batchSize`, `batchInterval` and `collector` of it."),
            .later("tracing.enabled", .bool, reload: .restart, "Old."),
            .later("tracing.enable", .bool, default: "false", reload: .restart, "Whether SkyWalking gets the spans."),
            .later("tracing.serverUri", .text, default: "127.0.0.1:11800", reload: .restart, "Address of SkyWalking."),
            .later(
                "tracing.collectorType", .choice("zipkin", "namedPipe", "file"), reload: .restart,
                "Old spelling of `collector`."),
            .later("tracing.collectorTarget", .text, reload: .restart, "Old spelling of `URI`."),
            .later(
                "tracing.batchSize", .integer(1...1_000_000), default: "10000", reload: .restart, "Old place of it."),
            .later(
                "tracing.batchInterval", .duration(.milliseconds(1)...(.seconds(86_400))), default: "10s",
                reload: .restart, "Old place of it."),
        ])
}
