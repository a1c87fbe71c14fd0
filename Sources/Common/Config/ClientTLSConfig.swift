// SPDX-License-Identifier: Apache-2.0

import FoundationEssentials

/// How to speak TLS to a part of the control plane: `ssl.<tag>.*` of `tls.yaml`.
package struct ClientTLSConfig: Sendable, Equatable {
    /// Whether the other side has to prove who it is.
    package var verifiesPeer: Bool
    /// Certificates of the authorities that may vouch for it, PEM; empty for none.
    package var caFile: String
    /// Own certificate chain, PEM; empty when none is asked for.
    package var certFile: String
    /// Its private key, PEM.
    package var keyFile: String
    /// File with the key's password; empty when it has none.
    package var passwordFile: String
    /// The oldest version: `TLSv1.2` or `TLSv1.3`.
    package var oldest: String

    /// What was found elsewhere than in a configuration: with TLS 1.2 at least.
    package init(verifiesPeer: Bool = true, caFile: String, certFile: String = "", keyFile: String = "") {
        self.verifiesPeer = verifiesPeer
        self.caFile = caFile
        self.certFile = certFile
        self.keyFile = keyFile
        self.passwordFile = ""
        self.oldest = "TLSv1.2"
    }

    /// Reads the keys of the registry.
    package init(registry reader: inout ConfigReader) { self.init([Keys.registry], of: "the registry", &reader) }

    /// Reads the keys of the configuration server.
    package init(configServer reader: inout ConfigReader) {
        self.init(Keys.configServers, of: "the configuration server", &reader)
    }

    /// A key of the first tag that has it counts, then the same without a tag, then the default.
    private init(_ tags: [String], of peer: String, _ reader: inout ConfigReader) {
        self.verifiesPeer = Self.read(Keys.verifyPeer, tags, &reader)
        self.caFile = Self.read(Keys.caFile, tags, &reader)
        self.certFile = Self.read(Keys.certFile, tags, &reader)
        self.keyFile = Self.read(Keys.keyFile, tags, &reader)
        self.passwordFile = Self.read(Keys.certPwdFile, tags, &reader)
        let oldest = Self.read(Keys.oldest, tags, &reader)
        // Older ones are broken; whoever allows them gets the oldest that is not.
        self.oldest = oldest == "TLSv1.3" ? oldest : "TLSv1.2"
        func note(_ key: String, _ problem: String, _ remedy: String) {
            let names = Self.names(of: key, tags)
            for name in names {
                guard let entry = reader.store.entry(name) else { continue }
                return reader.note(entry, ConfigMistake(problem, remedy: remedy))
            }
        }
        if self.verifiesPeer, self.caFile.isEmpty {
            let key = Self.names(of: Keys.caFile.name, tags)[0]
            note(Keys.verifyPeer.name, "there is no caFile to verify \(peer) with", "set \(key)")
        }
        if self.certFile.isEmpty != self.keyFile.isEmpty {
            note(
                self.certFile.isEmpty ? Keys.keyFile.name : Keys.certFile.name,
                "certFile and keyFile belong together", "set both")
        }
        for (key, path) in [
            (Keys.caFile, self.caFile), (Keys.certFile, self.certFile), (Keys.keyFile, self.keyFile),
            (Keys.certPwdFile, self.passwordFile),
        ] where !path.isEmpty && !FileManager.default.isReadableFile(atPath: path) {
            note(key.name, "\(path) cannot be read", "let the user that mesher runs as read it")
        }
    }

    /// The names of a key of the registry for each of other tags, and without any.
    private static func names(of key: String, _ tags: [String]) -> [String] {
        tags.map { key.replacing(Keys.registry, with: $0) } + [key.replacing(".\(Keys.registry)", with: "")]
    }

    private static func read<Value>(
        _ key: ConfigKey<Value>, _ tags: [String], _ reader: inout ConfigReader
    ) -> Value {
        for name in Self.names(of: key.name, tags) {
            if let value = reader.readIfPresent(key.named(name, key.help)) { return value }
        }
        return key.fallback
    }

    /// The keys of ``ClientTLSConfig``.
    package enum Keys {
        static let registry = "registry.Consumer"
        static let configServers = ["configServer.Consumer", "configcenter.Consumer"]

        static let verifyPeer = ConfigKey(
            "ssl.registry.Consumer.verifyPeer", .bool, default: false, reload: .restart,
            "Whether the registry has to prove who it is; needs `caFile`.")
        static let caFile = ConfigKey(
            "ssl.registry.Consumer.caFile", .text, default: "", reload: .restart,
            "Certificates of the authorities that may vouch for the registry, PEM.")
        static let certFile = ConfigKey(
            "ssl.registry.Consumer.certFile", .text, default: "", reload: .restart,
            "Own certificate chain for a registry that asks for one, PEM.")
        static let keyFile = ConfigKey(
            "ssl.registry.Consumer.keyFile", .text, default: "", reload: .restart, "Its private key, PEM.")
        static let certPwdFile = ConfigKey(
            "ssl.registry.Consumer.certPwdFile", .text, default: "", reload: .restart,
            "File with the password of the key.")
        static let oldest = ConfigKey(
            "ssl.registry.Consumer.protocol", .choice("TLSv1.0", "TLSv1.1", "TLSv1.2", "TLSv1.3"), default: "TLSv1.2",
            reload: .restart, "Oldest version of TLS; 1.2 at least, whatever stands here.")

        /// All of them, in the order of the reference.
        package static let all: [any AnyConfigKey] = [
            Self.verifyPeer, Self.caFile, Self.certFile, Self.keyFile, Self.certPwdFile, Self.oldest,
        ]

        /// The same for the configuration server, in both spellings.
        package static let configServer: [any AnyConfigKey] = Self.configServers.flatMap { Self.all(for: $0) }

        private static func all(for tag: String) -> [any AnyConfigKey] {
            func key<Value>(_ key: ConfigKey<Value>) -> any AnyConfigKey {
                let help = "The same for the configuration server."
                let spelling =
                    "Another spelling of `\(key.name.replacing(Self.registry, with: Self.configServers[0]))`."
                return key.named(
                    key.name.replacing(Self.registry, with: tag), tag == Self.configServers[0] ? help : spelling)
            }
            return [
                key(Self.verifyPeer), key(Self.caFile), key(Self.certFile), key(Self.keyFile), key(Self.certPwdFile),
                key(Self.oldest),
            ]
        }
    }
}

extension ConfigKey {
    /// The same key with another name and meaning.
    fileprivate func named(_ name: String, _ help: String) -> Self {
        Self(name, self.kind, default: self.fallback, reload: self.reload, help)
    }
}
