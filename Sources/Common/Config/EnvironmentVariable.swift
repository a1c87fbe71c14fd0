// SPDX-License-Identifier: Apache-2.0

import NIOCore

/// An environment variable that stands for keys of the configuration.
///
/// Those of the original and of the start script of its container, which this program needs no shell for.
package struct EnvironmentVariable: Sendable {
    /// Its name.
    package let name: String
    /// Whether it wins over files, or stands in for what no file says.
    package let isOverride: Bool
    /// The keys that it sets, for the reference.
    package let keys: [String]
    /// What it means.
    package let help: String
    /// The values of the keys that a text sets.
    let values: @Sendable (String) -> [(key: String, value: String)]

    private init(
        _ name: String, overrides isOverride: Bool, _ keys: [String], _ help: String,
        values: (@Sendable (String) -> [(key: String, value: String)])? = nil
    ) {
        self.name = name
        self.isOverride = isOverride
        self.keys = keys
        self.help = help
        self.values = values ?? { value in keys.map { ($0, value) } }
    }

    /// All of them; of two that set the same key the earlier one counts.
    package static let all: [EnvironmentVariable] = [
        Self("SERVICE_PORTS", overrides: true, ["mesher.servicePorts"], "Ports of the local application."),
        Self(
            "SPECIFIC_ADDR", overrides: false, ["mesher.servicePorts"],
            "Address of the local application, as `ip:port`. Old; only the port counts.", values: Self.specificAddress),
        Self(
            "PAAS_CSE_SC_ENDPOINT", overrides: true, ["cse.service.registry.address"], "Address of the registry."),
        Self(
            "PAAS_CSE_CC_ENDPOINT", overrides: true, ["cse.config.client.serverUri"],
            "Address of the configuration server."),
        Self(
            "PAAS_CSE_ENDPOINT", overrides: true,
            ["cse.service.registry.address", "cse.config.client.serverUri", "cse.monitor.client.serverUri"],
            "One address for the registry, the configuration server and monitoring."),
        Self("CSE_REGISTRY_ADDR", overrides: true, ["cse.service.registry.address"], "Address of the registry."),
        Self(
            "CSE_CONFIG_CENTER_ADDR", overrides: true, ["cse.config.client.serverUri"],
            "Address of the configuration server."),
        Self(
            "CSE_MONITOR_SERVER_ADDR", overrides: true, ["cse.monitor.client.serverUri"],
            "Address of the monitoring server."),
        Self(
            "CSE_SERVICE_CENTER", overrides: false, ["cse.service.registry.address"], "Address of the registry."),
        Self("REFRESH_INTERVAL", overrides: true, ["cse.service.registry.refreshInterval"], "How often to ask it."),
        Self(
            "OUTGOING_HANDLER", overrides: true, ["cse.handler.chain.Consumer.outgoing"],
            "Handlers of outgoing requests."),
        Self(
            "INCOMING_HANDLER", overrides: true, ["cse.handler.chain.Provider.incoming"],
            "Handlers of incoming requests."),
        Self("SERVICE_NAME", overrides: false, ["service_description.name"], "Name of the local service."),
        Self("CAS_COMPONENT_NAME", overrides: false, ["service_description.name"], "Name of the local service."),
        Self("VERSION", overrides: false, ["service_description.version"], "Version of the local service."),
        Self(
            "CAS_INSTANCE_VERSION", overrides: false, ["service_description.version"], "Version of the local service."),
        Self("APP_ID", overrides: false, ["APPLICATION_ID"], "Application of the local service."),
        Self("CAS_APPLICATION_NAME", overrides: false, ["APPLICATION_ID"], "Application of the local service."),
        Self(
            "CHASSIS_ENV", overrides: false, ["service_description.environment"], "Environment of the local service."),
        Self(
            "go-chassis_ENV", overrides: false, ["service_description.environment"],
            "Environment of the local service; an old name."),
        Self(
            "ENVIRONMENT", overrides: false, ["service_description.environment"], "Environment of the local service."),
        Self(
            "HOSTING_SERVER_IP", overrides: true, ["service_description.instance_properties.nodeIP"],
            "Address of the node, published as the instance property `nodeIP`."),
        Self("INSTANCE_IPS", overrides: true, ["mesher.instanceIPs"], "All addresses of the pod."),
        Self("MESHER_ZONE", overrides: false, ["region.availableZone"], "Zone of the pod; may be empty."),
        Self(
            "KUBERNETES_SERVICE_HOST", overrides: false,
            ["mesher.timeouts.notice", "mesher.timeouts.ready", "mesher.timeouts.drain", "mesher.workers"],
            "Kubernetes sets it in every pod. Whatever its value, they are 5s, 10s and 25s then, and the CPU limit of the container, or 2 without one.",
            values: Self.pod),
        Self(
            "MD", overrides: true, ["service_description.instance_properties.*"],
            "Instance properties, as `name=value|name=value`.", values: Self.properties),
        Self(
            "TLS_ENABLE", overrides: true, ["ssl.mesher.Provider.certFile", "ssl.mesher.Provider.keyFile"],
            "`true`: TLS for the local listener, with `/etc/ssl/meshercert/kubecfg.crt` and `kubecfg.key`.",
            values: Self.tls),
    ]

    /// The values that the variables of `environment` set, with the place that messages name.
    static func values(
        of environment: [String: String], overrides: Bool
    ) -> [(key: String, value: ConfigTree)] {
        Self.all.filter { $0.isOverride == overrides }.flatMap { variable -> [(String, ConfigTree)] in
            guard let text = environment[variable.name], !text.isEmpty else { return [] }
            let location = ConfigLocation("environment variable \(variable.name)")
            return variable.values(text).map { ($0.key, .text($0.value, location)) }
        }
    }

    /// Those that are read elsewhere, and set no key.
    private static let others = ["CHASSIS_CONF_DIR", "CHASSIS_HOME", "CSE_PROJECT_ID", "INSTANCE_IP"]
    /// Where a zone is said by the pod.
    static let zone = ConfigLocation("environment variable MESHER_ZONE")
    /// What Kubernetes sets to nothing where the pod does not have it.
    private static let mayBeEmpty: Set = ["MESHER_ZONE", "INSTANCE_IP", "INSTANCE_IPS"]

    /// What there is to say of variables that nobody reads, or that say nothing.
    static func problems(in environment: [String: String]) -> [ConfigProblem] {
        let known = Self.all.map(\.name) + Self.others
        // What is more common is set by any program, or by an image.
        let own = known.filter { $0.count >= 8 && $0.contains("_") && !$0.hasPrefix("KUBERNETES_") }
        let families = Set(own.map { $0.prefix { $0 != "_" } })
        return environment.sorted { $0.key < $1.key }.compactMap { name, value in
            let location = ConfigLocation("environment variable \(name)")
            if own.contains(name), value.isEmpty {
                if Self.mayBeEmpty.contains(name) { return nil }
                return ConfigProblem(.note, at: location, "it is empty, which counts as not set")
            }
            guard !known.contains(name) else { return Self.strange(name, value, location) }
            let slip = families.contains(name.prefix { $0 != "_" }) ? own.first { Self.isSlip(name, of: $0) } : nil
            guard let meant = Self.key(inCapitals: name) ?? slip, environment[meant] == nil else { return nil }
            return ConfigProblem(.warning, at: location, "nobody reads it", remedy: "did you mean \(meant)?")
        }
    }

    /// A value that is thrown away.
    private static func strange(_ name: String, _ value: String, _ location: ConfigLocation) -> ConfigProblem? {
        switch name {
        case "MD":
            guard let pair = value.split(separator: "|").first(where: { !$0.contains("=") }) else { return nil }
            return ConfigProblem(
                .warning, at: location, "\"\(pair)\" is no property", remedy: "write name=value|name=value")
        case "TLS_ENABLE":
            guard !value.isEmpty, !["true", "false"].contains(value.lowercased()) else { return nil }
            return ConfigProblem(.warning, at: location, "\"\(value)\" switches nothing on", remedy: "write true")
        default: return nil
        }
    }

    private static func isSlip(_ name: String, of known: String) -> Bool {
        let isPart = name.hasPrefix(known) || known.hasPrefix(name)
        if isPart, abs(name.count - known.count) <= 4 { return true }
        return Spelling.slips(from: name, to: known).map { $0 <= 2 } ?? false
    }

    /// The variable of a key that was written in capitals: letter case counts.
    private static func key(inCapitals name: String) -> String? {
        guard name.hasPrefix("MESHER_") || name.hasPrefix("CSE_") || name.hasPrefix("SERVICECOMB_"),
            name == name.uppercased()
        else { return nil }
        let key = name.lowercased().replacing("_", with: ".")
        guard let meant = ConfigCatalogue.index.nearest(to: ConfigAlias.canonical(key).key),
            meant.lowercased() == ConfigAlias.canonical(key).key.lowercased()
        else { return nil }
        return meant.replacing(".", with: "_")
    }

    private static func specificAddress(_ text: String) -> [(key: String, value: String)] {
        let parts = text.filter { !$0.isWhitespace }.split(separator: ":", omittingEmptySubsequences: false)
        // What is no ip:port goes on as it is, and is refused as a list of ports.
        return [("mesher.servicePorts", parts.count == 2 ? "rest:\(parts[1])" : text)]
    }

    /// What fits the life of a pod.
    ///
    /// Kubernetes needs a moment to tell others that it leaves, does not start the application
    /// before the sidecar is ready, and ends the process 30 seconds after its signal. Without a limit of its own it sees all
    /// processors of a node, which are there for others.
    private static func pod(_: String) -> [(key: String, value: String)] {
        let loops = ProcessorQuota.current.map { Int($0.rounded(.up)) } ?? 2
        return [
            ("mesher.timeouts.notice", "5s"), ("mesher.timeouts.ready", "10s"), ("mesher.timeouts.drain", "25s"),
            ("mesher.workers", "\(min(max(1, loops), System.coreCount))"),
        ]
    }

    private static func properties(_ text: String) -> [(key: String, value: String)] {
        text.split(separator: "|").compactMap { pair in
            guard let equals = pair.firstIndex(of: "=") else { return nil }
            return (
                "service_description.instance_properties.\(pair[..<equals].filter { !$0.isWhitespace })",
                String(pair[pair.index(after: equals)...])
            )
        }
    }

    private static func tls(_ text: String) -> [(key: String, value: String)] {
        guard text.lowercased() == "true" else { return [] }
        return [
            ("ssl.mesher.Provider.certFile", "/etc/ssl/meshercert/kubecfg.crt"),
            ("ssl.mesher.Provider.keyFile", "/etc/ssl/meshercert/kubecfg.key"),
        ]
    }
}
