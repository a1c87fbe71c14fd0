// SPDX-License-Identifier: Apache-2.0

/// Says of tags of `tls.yaml` that nobody uses them: what they are for stays in clear text.
struct TLSTagReview {
    private let own: String
    /// Whether an address of the registry, and one of the configuration server, is `https`.
    private let usesRegistry: Bool
    private let usesConfigServer: Bool

    /// Tags of the original for parts of the control plane that are one here, or are not here.
    private static let unused = [
        "registrator.Consumer", "serviceDiscovery.Consumer", "contractDiscovery.Consumer", "monitor.Consumer",
        "router.Consumer", "egress.Consumer",
    ]
    private static let control = [ClientTLSConfig.Keys.registry] + ClientTLSConfig.Keys.configServers
    private static let protocols = ["rest", "grpc"]

    /// What there is to say of the tags of `store`, which `config` was read from.
    static func problems(_ config: MesherConfig, _ store: ConfigStore) -> [ConfigProblem] {
        let review = TLSTagReview(
            own: config.identity.name, usesRegistry: config.registry.tls != nil,
            usesConfigServer: config.configServer?.tls != nil)
        return review.problems(store)
    }

    private func problems(_ store: ConfigStore) -> [ConfigProblem] {
        var told: Set<String> = []
        return store.entries(below: "ssl").compactMap { suffix, entry -> ConfigProblem? in
            guard let dot = suffix.lastIndex(of: "."),
                TrafficTLSConfig.fields.contains(String(suffix[suffix.index(after: dot)...])),
                case let tag = String(suffix[..<dot]), told.insert(tag).inserted,
                let (severity, problem, remedy) = self.judge(tag, store)
            else { return nil }
            return ConfigProblem(severity, at: entry.value.location, key: entry.key, problem, remedy: remedy)
        }
    }

    private typealias Judgement = (ConfigProblem.Severity, String, String)

    private func judge(_ tag: String, _ store: ConfigStore) -> Judgement? {
        let parts = tag.split(separator: ".", omittingEmptySubsequences: false).map(String.init)
        switch parts.last {
        case "Consumer": return self.judgeConsumer(tag, Array(parts.dropLast()), store)
        case "Provider": return self.judgeProvider(tag, Array(parts.dropLast()))
        default:
            guard let last = parts.last,
                let side = ["Consumer", "Provider"].first(where: { Spelling.slips(from: last, to: $0) != nil })
            else {
                return (
                    .error, "the tag \(tag) is nobody's: a tag ends in .Consumer or .Provider",
                    "write ssl.\(tag).Consumer or ssl.\(tag).Provider"
                )
            }
            return (
                .error, "the tag \(tag) is nobody's",
                "did you mean ssl.\((parts.dropLast() + [side]).joined(separator: "."))?"
            )
        }
    }

    private func judgeConsumer(_ tag: String, _ names: [String], _ store: ConfigStore) -> Judgement? {
        if Self.control.contains(tag) {
            let isUsed = tag == ClientTLSConfig.Keys.registry ? self.usesRegistry : self.usesConfigServer
            let asks = ["caFile", "certFile"].contains { store.entry("ssl.\(tag).\($0)")?.value.text?.isEmpty == false }
            guard !isUsed, asks else { return nil }
            return (.note, "has no effect: no address there is https", "write https:// before the addresses")
        }
        if Self.unused.contains(tag) {
            let isRegistry = ["registrator", "serviceDiscovery", "contractDiscovery"].contains(names.joined())
            return (
                .note, "has no effect: nothing uses the tag \(tag)",
                isRegistry ? "write ssl.registry.Consumer, which is for all of the registry" : "remove it"
            )
        }
        if names.count == 1 {
            if Self.protocols.contains(names[0]) { return nil }
            let known = Self.control.map { String($0.dropLast(".Consumer".count)) } + Self.protocols
            if let near = Spelling.nearest(to: names[0], among: known) {
                return (.error, "the tag \(tag) is nobody's", "did you mean ssl.\(near).Consumer?")
            }
            return (
                .warning, "has no effect: the tag of a service has a protocol", "write ssl.\(names[0]).rest.Consumer"
            )
        }
        guard let last = names.last, !Self.protocols.contains(last) else { return nil }
        let service = names.dropLast().joined(separator: ".")
        return (
            .warning, "has no effect: instances are called by rest or grpc, not by \(last)",
            "write ssl.\(service).rest.Consumer"
        )
    }

    private func judgeProvider(_ tag: String, _ names: [String]) -> Judgement? {
        if tag == "mesher.Provider" || Self.protocols.contains(where: { tag == "\(self.own).\($0).Provider" }) {
            return nil
        }
        if self.own.isEmpty { return nil }
        let service = names.count > 1 ? names.dropLast().joined(separator: ".") : names.joined()
        let isSlip = service != self.own && Spelling.slips(from: service, to: self.own) != nil
        return (
            isSlip ? .error : .warning,
            "has no effect: the listeners here are those of \(self.own)",
            "write ssl.\(self.own).\(Self.protocols.contains(names.last ?? "") ? names.last ?? "" : "rest").Provider"
        )
    }
}
