// SPDX-License-Identifier: Apache-2.0

import Foundation

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

    /// Reads the keys of the registry.
    ///
    /// A key of the tag counts, then the same without a tag, then the default.
    package init(registry reader: inout ConfigReader) {
        self.verifiesPeer = Self.read(Keys.verifyPeer, &reader)
        self.caFile = Self.read(Keys.caFile, &reader)
        self.certFile = Self.read(Keys.certFile, &reader)
        self.keyFile = Self.read(Keys.keyFile, &reader)
        self.passwordFile = Self.read(Keys.certPwdFile, &reader)
        let oldest = Self.read(Keys.oldest, &reader)
        // Older ones are broken; whoever allows them gets the oldest that is not.
        self.oldest = oldest == "TLSv1.3" ? oldest : "TLSv1.2"
        if self.verifiesPeer, self.caFile.isEmpty {
            self.note(
                Keys.verifyPeer.name, "there is no caFile to verify the registry with", "set \(Keys.caFile.name)",
                &reader)
        }
        if self.certFile.isEmpty != self.keyFile.isEmpty {
            self.note(
                self.certFile.isEmpty ? Keys.keyFile.name : Keys.certFile.name,
                "certFile and keyFile belong together", "set both", &reader)
        }
        for (key, path) in [
            (Keys.caFile, self.caFile), (Keys.certFile, self.certFile), (Keys.keyFile, self.keyFile),
            (Keys.certPwdFile, self.passwordFile),
        ] where !path.isEmpty && !FileManager.default.isReadableFile(atPath: path) {
            self.note(key.name, "\(path) cannot be read", "let the user that mesher runs as read it", &reader)
        }
    }

    private func note(_ key: String, _ problem: String, _ remedy: String, _ reader: inout ConfigReader) {
        let general = key.replacing(".registry.Consumer", with: "")
        if let entry = reader.store.entry(key) ?? reader.store.entry(general) {
            reader.note(entry, ConfigMistake(problem, remedy: remedy))
        }
    }

    private static func read<Value>(_ key: ConfigKey<Value>, _ reader: inout ConfigReader) -> Value {
        if let value = reader.readIfPresent(key) { return value }
        let general = ConfigKey(
            key.name.replacing(".registry.Consumer", with: ""), key.kind, default: key.fallback, key.help)
        return reader.read(general)
    }

    /// The keys of ``ClientTLSConfig``.
    package enum Keys {
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
    }
}
