// SPDX-License-Identifier: Apache-2.0

/// Where services are found: `cse.service.registry.*` of `chassis.yaml`.
package struct RegistryConfig: Sendable, Equatable {
    /// The kinds of registry.
    package enum Kind: String, Sendable, CaseIterable {
        /// Apache ServiceComb service-center.
        case serviceCenter = "servicecenter"
        /// A file, for tests and single machines.
        case file
        /// Istio's first discovery API.
        case pilot
        /// Istio's xDS.
        case pilotV2 = "pilotv2"
        /// Kubernetes itself.
        case kube

        /// Whether this version can ask it.
        package var isActive: Bool { self == .file }
    }

    /// Which kind; `nil` when the registry is disabled.
    package var kind: Kind?
    /// Where it is; for a file, its path.
    package var address: String

    /// Reads the registry's keys.
    package init(_ reader: inout ConfigReader) {
        let isDisabled = reader.read(Keys.disabled)
        let configured = reader.readIfPresent(Keys.kind)
        let isWrong = configured == nil && reader.store.entry(Keys.kind.name) != nil
        self.kind = isDisabled ? nil : configured ?? Keys.kind.fallback
        self.address = reader.read(Keys.address)
        guard let kind = self.kind, !kind.isActive, !isWrong, !reader.isPartial else { return }
        reader.note(
            ConfigProblem(
                .note, at: reader.store.entry(Keys.kind.name)?.value.location ?? ConfigLocation("chassis.yaml"),
                key: Keys.kind.name,
                "\(kind.rawValue) is not active yet: no service is found, and outgoing requests are answered 503; "
                    + "incoming ones are served"))
    }

    /// The keys of ``RegistryConfig``.
    package enum Keys {
        static let disabled = ConfigKey(
            "cse.service.registry.disabled", .bool, default: false, "Whether to do without a registry.")
        static let kind = ConfigKey(
            "cse.service.registry.type", .registryKind, default: .serviceCenter,
            "Where services are found. `file`: in the file that `address` names. The others are not active yet.")
        static let address = ConfigKey(
            "cse.service.registry.address", .text, default: "",
            "Address of the registry. For `file`: the path, relative to the configuration directory; service.json when absent."
        )

        /// All of them, in the order of the reference.
        package static let all: [any AnyConfigKey] = [Self.kind, Self.address, Self.disabled]
    }
}

extension ConfigKind<RegistryConfig.Kind> {
    fileprivate static var registryKind: Self {
        let names = RegistryConfig.Kind.allCases.map(\.rawValue)
        return Self(names.map { "`\($0)`" }.joined(separator: ", "), describe: \.rawValue) {
            text throws(ConfigMistake) in
            guard let kind = RegistryConfig.Kind(rawValue: text) else {
                let near = Spelling.nearest(to: text, among: names).map { "write \($0)" }
                throw ConfigMistake(
                    "unknown registry type \"\(text)\"",
                    remedy: near ?? "write one of: \(names.joined(separator: ", "))")
            }
            return kind
        }
    }
}
