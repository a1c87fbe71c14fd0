// SPDX-License-Identifier: Apache-2.0

extension ConfigCatalogue {
    static let chains = KeyGroup(
        "Handler chains", in: "chassis.yaml",
        [
            .later(
                "cse.handler.chain.Consumer.outgoing", .handlers,
                default: "router,ratelimiter-consumer,bizkeeper-consumer,loadbalance,transport", reload: .restart,
                "Handlers of outgoing requests, in order."),
            .later(
                "cse.handler.chain.Consumer.egress", .handlers, default: "ratelimiter-consumer,transport",
                reload: .restart, "Handlers of requests to external hosts."),
            .later(
                "cse.handler.chain.Provider.incoming", .handlers, default: "ratelimiter-provider,transport",
                reload: .restart, "Handlers of incoming requests."),
            .later(
                "cse.handler.chain.<Consumer|Provider>.<name>", .handlers, reload: .restart,
                "Handlers of another listener."),
        ])

    static let transport = KeyGroup(
        "Transport", in: "chassis.yaml",
        [
            .later("cse.transport.failure.<protocol>", .texts, "Statuses that count as failures: `http_500,http_502`."),
            .later(
                "cse.transport.maxIdleCon.<protocol>", .integer(0...100_000), default: "512", reload: .restart,
                "Idle connections to one instance."),
            .unused("cse.transport.timeout.<protocol>", "see mesher.timeouts"),
            .unused("cse.transport.maxBodyBytes.<protocol>", "bodies are passed on as they come, in bounded memory"),
            .unused("cse.transport.maxHeaderBytes.<protocol>", "see mesher.limits.headerSection"),
        ])

    static let balancing = KeyGroup(
        "Load balancing", in: "load_balancing.yaml",
        [
            .later(
                "cse.loadbalance[.<service>].strategy.name", .text, default: "RoundRobin",
                "`RoundRobin`, `Random`, `WeightedResponse` or `SessionStickiness`."),
            .later("cse.loadbalance[.<service>].strategyName", .text, "Old spelling of the same."),
            .later("cse.loadbalance.serverListFilters", .texts, "Filters before the strategy: `zoneaware`."),
            .later("cse.loadbalance[.<service>].retryEnabled", .bool, default: "false", "Whether to try again."),
            .later(
                "cse.loadbalance[.<service>].retryOnNext", .integer(0...100), default: "0",
                "How many other instances to try."),
            .later(
                "cse.loadbalance[.<service>].retryOnSame", .integer(0...100), default: "0",
                "How often to try the same one again."),
            .later(
                "cse.loadbalance[.<service>].backoff.kind", .choice("exponential", "jittered", "constant", "zero"),
                default: "zero", "How long to wait in between."),
            .later(
                "cse.loadbalance[.<service>].backoff.minMs", .integer(0...3_600_000), default: "0",
                "Shortest wait, in milliseconds."),
            .later("cse.loadbalance[.<service>].backoff.MinMs", .integer(0...3_600_000), default: "0", "The same."),
            .later(
                "cse.loadbalance[.<service>].backoff.maxMs", .integer(0...3_600_000), default: "0",
                "Longest wait, in milliseconds."),
            .later("cse.loadbalance[.<service>].backoff.MaxMs", .integer(0...3_600_000), default: "0", "The same."),
            .later(
                "cse.loadbalance[.<service>].SessionStickinessRule.sessionTimeoutInSeconds", .integer(0...86_400),
                default: "30", "How long a session lives."),
            .later(
                "cse.loadbalance[.<service>].SessionStickinessRule.successiveFailedTimes", .integer(0...1000),
                default: "5", "Failures that end it."),
        ])

    static let breaking = KeyGroup(
        "Timeouts of calls, circuit breakers, fallback", in: "circuit_breaker.yaml",
        [
            .later(
                "cse.isolation.<Consumer|Provider>[.<service>].timeoutInMilliseconds", .integer(1...86_400_000),
                default: "30000", "Longest call."),
            .unused("cse.isolation.<Consumer|Provider>[.<service>].timeout.enabled", "the limit always applies"),
            .later(
                "cse.isolation.<Consumer|Provider>[.<service>].maxConcurrentRequests", .integer(1...1_000_000),
                default: "1000", "Most calls at a time; 5000 at most."),
            .later(
                "cse.circuitBreaker.scope", .choice("api", "service", "instance", "instance-api"), default: "api",
                "What has a breaker of its own."),
            .later(
                "cse.circuitBreaker.<Consumer|Provider>[.<service>].enabled", .bool, default: "false",
                "Whether the breaker works."),
            .later(
                "cse.circuitBreaker.<Consumer|Provider>[.<service>].forceOpen", .bool, default: "false",
                "Refuse everything."),
            .later(
                "cse.circuitBreaker.<Consumer|Provider>[.<service>].forceClosed", .bool, default: "false",
                "Refuse nothing."),
            .later(
                "cse.circuitBreaker.<Consumer|Provider>[.<service>].sleepWindowInMilliseconds",
                .integer(1...86_400_000), default: "15000", "From open to the first trial."),
            .later(
                "cse.circuitBreaker.<Consumer|Provider>[.<service>].requestVolumeThreshold", .integer(0...1_000_000),
                default: "20", "Fewest requests to judge by."),
            .later(
                "cse.circuitBreaker.<Consumer|Provider>[.<service>].errorThresholdPercentage", .integer(0...100),
                default: "50", "Share of failures that opens."),
            .later(
                "cse.fallback.<Consumer|Provider>[.<service>].enabled", .bool, default: "true",
                "Whether there is a fallback."),
            .later("cse.fallback.<Consumer|Provider>[.<service>].force", .bool, default: "false", "Always fall back."),
            .unused("cse.fallback.<Consumer|Provider>[.<service>].maxConcurrentRequests", "the original never read it"),
            .later(
                "cse.fallbackpolicy.<Consumer|Provider>[.<service>].policy", .choice("throwexception", "returnnull"),
                default: "throwexception", "What a refused caller gets."),
        ])

    static let rateLimits = KeyGroup(
        "Rate limits", in: "rate_limiting.yaml",
        [
            .later(
                "cse.flowcontrol.<Consumer|Provider>.qps.enabled", .bool, default: "true",
                "Whether limits apply to a side."),
            .later(
                "cse.flowcontrol.<Consumer|Provider>.qps.global.limit", .number, default: "2147483647",
                "Requests a second for all that no other key names."),
            .later(
                "cse.flowcontrol[.<source>].<Consumer|Provider>.qps.limit.<service>", .number,
                "Requests a second to, or from, a service."),
            .structure("cse.rateLimiting.<policy>", "text with YAML", "Limits for marked traffic."),
            .structure("cse.match.<name>", "text with YAML", "Marks traffic."),
        ])

    static let faults = KeyGroup(
        "Fault injection", in: "fault.yaml",
        [
            .later(
                "cse.governance.<name>.policy.fault.protocols.<protocol>.delay.fixedDelay", .integer(1...86_400_000),
                "Delay in milliseconds."),
            .later(
                "cse.governance.<name>.policy.fault.protocols.<protocol>.delay.percent", .integer(0...100),
                default: "100", "Share of requests to delay."),
            .later(
                "cse.governance.<name>.policy.fault.protocols.<protocol>.abort.httpStatus", .integer(100...600),
                "Status to answer."),
            .later(
                "cse.governance.<name>.policy.fault.protocols.<protocol>.abort.percent", .integer(0...100),
                default: "100", "Share of requests to answer with it."),
        ])

    static let routes = KeyGroup(
        "Route rules", in: "router.yaml",
        [
            .later(
                "router.infra", .choice("cse", "servicecomb", "pilot", "pilotv2", "istio"), default: "cse",
                reload: .restart, "Where rules come from."),
            .later("router.address", .text, reload: .restart, "Address of Istio."),
            .structure("routeRule.<service>", "list of rules", "Which instances of a service get which requests."),
            .structure("cse.routeRule.<service>", "text with YAML", "The same as a text."),
            .structure("sourceTemplate.<name>", "match", "A match that several rules refer to."),
            .structure("cse.darklaunch.policy.<service>", "JSON", "The same in an older language."),
        ])

    static let egress = KeyGroup(
        "External hosts", in: "egress.yaml",
        [
            .later("egress.infra", .choice("cse", "pilot"), default: "cse", reload: .restart, "Where rules come from."),
            .later("egress.address", .text, reload: .restart, "Address of Istio."),
            .structure("egressRule.<name>", "list of {hosts, ports}", "External hosts that may be called."),
        ])

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
        (ClientTLSConfig.Keys.all + ClientTLSConfig.Keys.configServer).map { KnownKey($0) } + [
            .later("ssl.<tag>.cipherPlugin", .text, default: "default", reload: .restart, "What decrypts passwords."),
            .later(
                "ssl.<tag>.verifyPeer", .bool, default: "false", reload: .restart,
                "Whether the other side needs a certificate."),
            .later(
                "ssl.<tag>.cipherSuits", .texts,
                default: "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
                reload: .restart, "Ciphers of TLS 1.2."),
            .later(
                "ssl.<tag>.protocol", .choice("TLSv1.0", "TLSv1.1", "TLSv1.2", "TLSv1.3"), default: "TLSv1.2",
                reload: .restart, "Oldest version; 1.2 at least."),
            .later("ssl.<tag>.caFile", .text, reload: .restart, "Certificates of authorities, PEM."),
            .later("ssl.<tag>.certFile", .text, reload: .restart, "Own certificate chain, PEM."),
            .later("ssl.<tag>.keyFile", .text, reload: .restart, "Own private key, PEM."),
            .later("ssl.<tag>.certPwdFile", .text, reload: .restart, "File with the key's password."),
            .later("ssl.<tag>.serverName", .text, reload: .restart, "Name that the other side has to prove."),
        ])

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
