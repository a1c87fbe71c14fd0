// SPDX-License-Identifier: Apache-2.0

/// How one side of traffic speaks TLS: `ssl.<tag>.*` of `tls.yaml`.
package struct TLSTag: Sendable, Equatable {
    /// `<service>.<protocol>.Consumer`, `<own>.<protocol>.Provider` or `mesher.Provider`.
    package let name: String
    /// Whose connections these are: those to instances, or those of clients.
    package let side: CallSide
    /// Whether the other side needs a certificate that `caFile` vouches for.
    package var verifiesPeer: Bool
    /// Certificates of authorities, PEM; empty for none.
    package var caFile: String
    /// Own certificate chain, PEM; empty for none.
    package var certFile: String
    /// Own private key, PEM.
    package var keyFile: String
    /// File with the key's password; empty when it has none.
    package var passwordFile: String
    /// Whether nothing older than TLS 1.3 will do; else nothing older than 1.2.
    package var needsTLS13: Bool
    /// Ciphers of TLS 1.2, by their registered numbers; empty for the default.
    package var cipherSuites: [UInt16]
    /// Name to ask for, and to be proven, instead of the service's; empty for that.
    package var serverName: String
    /// DNS names and URIs of which the other side's certificate must have one; empty: a consumer wants the server's
    /// name, a provider any.
    package var subjectNames: [String]
    /// Where each key stands, for messages.
    package var locations: [String: ConfigLocation]
    /// Whether both sides are workloads of a mesh, which have protocols of their own for what is inside.
    package var isOfMesh = false

    /// A mistake in the value of `key`.
    package func problem(_ key: String, _ problem: String, remedy: String) -> ConfigProblem {
        ConfigProblem(
            at: self.locations[key] ?? self.locations.values.min() ?? ConfigLocation("tls.yaml"),
            key: "ssl.\(self.name).\(key)", problem,
            remedy: remedy)
    }

    /// The files that it is made of.
    package var files: [String] {
        [self.caFile, self.certFile, self.keyFile, self.passwordFile].filter { !$0.isEmpty }
    }
}

extension TLSTag {
    /// What names no files: its material comes from elsewhere.
    ///
    /// - Parameter name: What messages call it.
    package init(_ name: String, _ side: CallSide, verifiesPeer: Bool) {
        self.init(
            name: name, side: side, verifiesPeer: verifiesPeer, caFile: "", certFile: "", keyFile: "",
            passwordFile: "", needsTLS13: false, cipherSuites: [], serverName: "", subjectNames: [], locations: [:])
    }
}

/// TLS of traffic: which listeners and which connections to instances have it.
///
/// - Source: the tags of the original; the strongest word is that of the tag, then of the protocol (consumers only), then
///   of the keys without a tag.
package struct TrafficTLSConfig: Sendable, Equatable {
    /// The listeners of outgoing requests: `mesher.Provider`.
    package var outgoing: TLSTag?
    /// The listener of incoming HTTP: `<own>.rest.Provider`.
    package var incoming: TLSTag?
    /// The listener of incoming gRPC: `<own>.grpc.Provider`, or that of HTTP.
    package var incomingGRPC: TLSTag?
    /// By `<service>.<protocol>`.
    package var consumers: [String: TLSTag] = [:]
    /// By protocol: for the services that have none of their own.
    package var allConsumers: [String: TLSTag] = [:]

    /// No TLS.
    package init() {}

    /// All tags.
    package var all: [TLSTag] {
        let listeners = [self.outgoing, self.incoming, self.incomingGRPC].compactMap { $0 }
        let consumers = (Array(self.consumers.values) + Array(self.allConsumers.values)).sorted { $0.name < $1.name }
        var known: Set<String> = []
        return (listeners + consumers).filter { known.insert($0.name).inserted }
    }

    /// Reads all tags.
    ///
    /// - Parameter own: The local service's name.
    package init(_ reader: inout ConfigReader, own: String) {
        let tags = Self.tags(reader.store)
        let isGlobal = Self.isGlobal(reader.store)
        self.outgoing = Self.provider("mesher.Provider", tags, &reader)
        self.incoming = Self.provider("\(own).rest.Provider", tags, &reader)
        self.incomingGRPC =
            tags.contains("\(own).grpc.Provider")
            ? Self.provider("\(own).grpc.Provider", tags, &reader) : self.incoming
        for name in ["rest", "grpc"] where isGlobal || tags.contains("\(name).Consumer") {
            self.allConsumers[name] = Self.consumer("\(name).Consumer", name, &reader)
        }
        for tag in tags where tag.hasSuffix(".Consumer") {
            let key = String(tag.dropLast(".Consumer".count))
            guard let dot = key.lastIndex(of: "."), case let name = String(key[key.index(after: dot)...]),
                name == "rest" || name == "grpc"
            else { continue }
            self.consumers[key] = Self.consumer(tag, name, &reader)
        }
    }

    /// The tags that something is written for.
    static func tags(_ store: ConfigStore) -> Set<String> {
        Set(
            store.entries(below: "ssl").compactMap { suffix, _ -> String? in
                guard let dot = suffix.lastIndex(of: "."),
                    Self.fields.contains(String(suffix[suffix.index(after: dot)...]))
                else { return nil }
                return String(suffix[..<dot])
            })
    }

    /// Whether something is written for all.
    static func isGlobal(_ store: ConfigStore) -> Bool {
        Self.fields.contains { store.entry("ssl.\($0)") != nil }
    }

    /// The keys of a tag.
    static let fields = [
        Keys.cipherPlugin, Keys.verifyPeer, Keys.cipherSuites, Keys.oldest, Keys.caFile, Keys.certFile, Keys.keyFile,
        Keys.certPwdFile, Keys.serverName, Keys.subjectNames,
    ]

    private static func provider(_ tag: String, _ tags: Set<String>, _ reader: inout ConfigReader) -> TLSTag? {
        let result = Self.read(tag, .provider, ["ssl.\(tag)", "ssl"], &reader)
        // Keys without a tag are for everybody; a listener has TLS when it has a certificate.
        guard tags.contains(tag) || !result.certFile.isEmpty else { return nil }
        for (key, path) in [(Keys.certFile, result.certFile), (Keys.keyFile, result.keyFile)] where path.isEmpty {
            reader.noteMissing(
                result.problem(key, "a listener with TLS needs certFile and keyFile", remedy: "set ssl.\(tag).\(key)"))
        }
        return result
    }

    private static func consumer(_ tag: String, _ protocolName: String, _ reader: inout ConfigReader) -> TLSTag {
        var prefixes = ["ssl.\(tag)", "ssl.\(protocolName).Consumer", "ssl"]
        if prefixes[0] == prefixes[1] { prefixes.removeFirst() }
        let result = Self.read(tag, .consumer, prefixes, &reader)
        if result.certFile.isEmpty != result.keyFile.isEmpty {
            let missing = result.certFile.isEmpty ? Keys.certFile : Keys.keyFile
            let present = result.certFile.isEmpty ? Keys.keyFile : Keys.certFile
            reader.note(
                result.problem(
                    present, "certFile and keyFile belong together", remedy: "set ssl.\(tag).\(missing) too"))
        }
        return result
    }

    private static func read(
        _ tag: String, _ side: CallSide, _ prefixes: [String], _ reader: inout ConfigReader
    ) -> TLSTag {
        var locations: [String: ConfigLocation] = [:]
        func value<Value>(_ name: String, _ kind: ConfigKind<Value>, _ fallback: Value) -> Value {
            for prefix in prefixes {
                guard let entry = reader.store.entry("\(prefix).\(name)") else { continue }
                locations[name] = entry.value.location
                let key = ConfigKey("\(prefix).\(name)", kind, default: fallback, reload: .restart, "")
                return reader.readIfPresent(key) ?? fallback
            }
            return fallback
        }
        let oldest = value(Keys.oldest, .choice("TLSv1.0", "TLSv1.1", "TLSv1.2", "TLSv1.3"), "TLSv1.2")
        _ = value(Keys.cipherPlugin, .choice("default"), "default")
        let result = TLSTag(
            name: tag, side: side, verifiesPeer: value(Keys.verifyPeer, .bool, false),
            caFile: value(Keys.caFile, .text, ""), certFile: value(Keys.certFile, .text, ""),
            keyFile: value(Keys.keyFile, .text, ""), passwordFile: value(Keys.certPwdFile, .text, ""),
            needsTLS13: oldest == "TLSv1.3", cipherSuites: value(Keys.cipherSuites, .cipherSuites, []),
            serverName: value(Keys.serverName, .text, ""),
            subjectNames: value(Keys.subjectNames, .texts, []), locations: locations)
        if result.verifiesPeer, result.caFile.isEmpty {
            reader.noteMissing(
                result.problem(
                    Keys.verifyPeer, "there is no caFile to verify the other side with",
                    remedy: "set ssl.\(tag).caFile"))
        }
        if !result.subjectNames.isEmpty, !result.verifiesPeer {
            reader.note(
                result.problem(
                    Keys.subjectNames, "names that nobody has verified prove nothing",
                    remedy: "set ssl.\(tag).verifyPeer: true"))
        }
        return result
    }

    /// The keys of ``TLSTag``.
    package enum Keys {
        static let cipherPlugin = "cipherPlugin"
        static let verifyPeer = "verifyPeer"
        static let cipherSuites = "cipherSuits"
        static let oldest = "protocol"
        /// Where a mistake of the authorities stands.
        package static let caFile = "caFile"
        /// Where a mistake of the certificate stands.
        package static let certFile = "certFile"
        /// Where a mistake of the key stands.
        package static let keyFile = "keyFile"
        /// Where a mistake of the password stands.
        package static let certPwdFile = "certPwdFile"
        static let serverName = "serverName"
        static let subjectNames = "subjectAltNames"

        /// All of them, in the order of the reference.
        static let known: [KnownKey] = [
            KnownKey(
                ConfigKey(
                    "ssl[.<tag>].certFile", .text, default: "", reload: .restart,
                    "Own certificate chain, PEM; a changed file is used for new connections.")),
            KnownKey(
                ConfigKey("ssl[.<tag>].keyFile", .text, default: "", reload: .restart, "Own private key, PEM.")),
            KnownKey(
                ConfigKey(
                    "ssl[.<tag>].certPwdFile", .text, default: "", reload: .restart,
                    "File with the password of the key.")),
            KnownKey(
                ConfigKey(
                    "ssl[.<tag>].caFile", .text, default: "", reload: .restart,
                    "Certificates of the authorities that may vouch for the other side, PEM.")),
            KnownKey(
                ConfigKey(
                    "ssl[.<tag>].verifyPeer", .bool, default: false, reload: .restart,
                    "Whether the other side needs a certificate of one of them.")),
            KnownKey(
                ConfigKey(
                    "ssl[.<tag>].subjectAltNames", .texts, default: [], reload: .restart,
                    "DNS names and URIs (`spiffe://…`) of which the other side's certificate must have one. Empty: the server's name for connections to instances, any for those of clients."
                )),
            KnownKey(
                ConfigKey(
                    "ssl[.<tag>].serverName", .text, default: "", reload: .restart,
                    "Name to ask an instance for, and that it has to prove; empty: the service's.")),
            KnownKey(
                ConfigKey(
                    "ssl[.<tag>].protocol", .choice("TLSv1.0", "TLSv1.1", "TLSv1.2", "TLSv1.3"), default: "TLSv1.2",
                    reload: .restart, "Oldest version of TLS; 1.2 at least, whatever stands here.")),
            KnownKey(
                ConfigKey(
                    "ssl[.<tag>].cipherSuits", .cipherSuites, default: [], reload: .restart,
                    "Ciphers of TLS 1.2. Those without forward secrecy and authenticated encryption are left out.")),
            KnownKey(
                ConfigKey(
                    "ssl[.<tag>].cipherPlugin", .choice("default"), default: "default", reload: .restart,
                    "What decrypts passwords; `default` takes them as they are.")),
        ]
    }
}

extension ConfigKind<[UInt16]> {
    /// Names of TLS 1.2 ciphers, separated by commas.
    package static var cipherSuites: Self {
        Self("names of ciphers", shape: .text, describe: { _ in "" }) { text throws(ConfigMistake) in
            var numbers: [UInt16] = []
            for name in text.split(whereSeparator: { $0 == "," || $0 == " " }) {
                if let number = Self.strong[String(name)] {
                    numbers.append(number)
                } else if !Self.weak.contains(String(name)) {
                    throw ConfigMistake(
                        "unknown cipher suite [\(name)]",
                        remedy: "write some of \(Self.strong.keys.sorted().joined(separator: ", "))")
                }
            }
            if numbers.isEmpty, !text.isEmpty {
                throw ConfigMistake(
                    "none of these cipher suites is safe", remedy: "leave the key out, or add an ECDHE suite with GCM")
            }
            return numbers
        }
    }

    /// - Source: the registry of TLS cipher suites at IANA.
    private static var strong: [String: UInt16] {
        [
            "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256": 0xc02b, "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384": 0xc02c,
            "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256": 0xc02f, "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384": 0xc030,
            "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256": 0xcca8,
            "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256": 0xcca9,
            "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305": 0xcca8, "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305": 0xcca9,
        ]
    }

    /// What users of the original may have: known, and not used.
    private static var weak: Set<String> {
        [
            "TLS_RSA_WITH_AES_128_GCM_SHA256", "TLS_RSA_WITH_AES_256_GCM_SHA384", "TLS_RSA_WITH_AES_128_CBC_SHA",
            "TLS_RSA_WITH_AES_256_CBC_SHA", "TLS_RSA_WITH_AES_128_CBC_SHA256", "TLS_RSA_WITH_3DES_EDE_CBC_SHA",
            "TLS_RSA_WITH_RC4_128_SHA", "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA", "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA",
            "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256", "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA",
            "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA", "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256",
            "TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA", "TLS_ECDHE_RSA_WITH_RC4_128_SHA",
            "TLS_ECDHE_ECDSA_WITH_RC4_128_SHA", "TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384",
            "TLS_CHACHA20_POLY1305_SHA256",
        ]
    }
}
