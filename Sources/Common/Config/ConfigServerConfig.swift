// SPDX-License-Identifier: Apache-2.0

/// Which server is asked for settings while the process runs: `cse.config.client.*` of `chassis.yaml`.
package struct ConfigServerConfig: Sendable, Equatable {
    /// The kinds of server.
    package enum Kind: Sendable {
        /// Apache ServiceComb kie.
        case kie
        /// The older config center.
        case configCenter
    }

    /// Which kind.
    package var kind: Kind
    /// Its addresses, which share one store: `http://host:port`.
    package var addresses: [String]
    /// Whether changes come at once: kie holds the question until there is one, config center pushes.
    package var isPushing: Bool
    /// Time between two questions; how long kie holds one.
    package var interval: Duration
    /// Where config center pushes.
    package var pushPort: Int
    /// `v3` or `v2`, of config center.
    package var version: String
    /// The tenant of config center.
    package var tenant: String
    /// The project; part of the paths.
    package var project: String
    /// Whether config center's own members are asked too.
    package var isFindingMembers: Bool
    /// How to speak TLS to it; `nil` when its addresses are `http`.
    package var tls: ClientTLSConfig?

    /// Reads the keys; `nil` when no server is asked.
    package init?(_ reader: inout ConfigReader) {
        let type = reader.read(Keys.kind)
        let isEnabled = reader.read(Keys.enabled)
        self.kind = type == "config_center" ? .configCenter : .kie
        self.isPushing = reader.read(Keys.mode) == 0
        self.interval = .seconds(reader.read(Keys.interval))
        self.pushPort = reader.read(Keys.pushPort)
        self.version = reader.read(Keys.version)
        self.tenant = reader.read(Keys.tenant)
        self.isFindingMembers = reader.read(Keys.members)
        // As for the registry, a variable of the environment only.
        self.project = reader.store.entry("CSE_PROJECT_ID")?.value.text ?? ""
        if self.project.isEmpty { self.project = "default" }
        self.tls = nil
        self.addresses = []
        guard isEnabled else { return nil }
        let servers = reader.readServers(Keys.address, allowsPath: true)
        self.addresses = servers.map(\.text)
        if type == "apollo" {
            Self.note(Keys.kind.name, "Apollo is not supported: settings come from this machine alone", &reader)
            return nil
        }
        if self.addresses.isEmpty {
            let text = "without \(Keys.address.name) no server is asked: it is not looked up in the registry"
            Self.note(Keys.kind.name, text, &reader)
            return nil
        }
        if servers.contains(where: \.isSecure) { self.tls = ClientTLSConfig(configServer: &reader) }
    }

    private static func note(_ key: String, _ text: String, _ reader: inout ConfigReader) {
        guard let entry = reader.store.entry(key) else { return }
        reader.note(ConfigProblem(.note, at: entry.value.location, key: entry.key, text))
    }

    /// The keys of ``ConfigServerConfig``.
    package enum Keys {
        static let address = ConfigKey(
            "cse.config.client.serverUri", .text, default: "",
            "Address of the configuration server, `http://127.0.0.1:30110`; several with commas. When absent, no server is asked."
        )
        static let kind = ConfigKey(
            "cse.config.client.type", .choice("config_center", "kie", "servicecomb-kie", "apollo"),
            default: "config_center",
            "What the server is; `servicecomb-kie` is another word for `kie`. `apollo` is known and not supported.")
        static let enabled = ConfigKey(
            "cse.config.client.enabled", .bool, default: true, "Whether the server is asked, when it has an address.")
        static let mode = ConfigKey(
            "cse.config.client.refreshMode", .integer(0...1), default: 1,
            "0: changes come at once, by a long poll of `kie` or a WebSocket of `config_center`. 1: the server is asked at each interval."
        )
        static let interval = ConfigKey(
            "cse.config.client.refreshInterval", .integer(1...86_400, .seconds), default: 30,
            "Seconds between two questions; with `refreshMode: 0`, how long `kie` holds one, 300 at most.")
        static let pushPort = ConfigKey(
            "cse.config.client.refreshPort", .integer(1...65_535), default: 30_104,
            "Port on which `config_center` pushes.")
        static let version = ConfigKey(
            "cse.config.client.api.version", .choice("v2", "v3"), default: "v3",
            "Version of the API of `config_center`.")
        static let tenant = ConfigKey(
            "cse.config.client.tenantName", .text, default: "default", "Tenant of `config_center`.")
        static let members = ConfigKey(
            "cse.config.client.autodiscovery", .bool, default: false,
            "Whether the members that `config_center` names are asked too, besides `serverUri`.")

        /// All of them, in the order of the reference.
        package static let all: [any AnyConfigKey] = [
            Self.address, Self.kind, Self.enabled, Self.mode, Self.interval, Self.pushPort, Self.version, Self.tenant,
            Self.members,
        ]
    }
}
