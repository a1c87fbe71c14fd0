// SPDX-License-Identifier: Apache-2.0

/// Where services are found: `cse.service.registry.*` of `chassis.yaml`.
package struct RegistryConfig: Sendable, Equatable {
    /// The kinds of registry.
    package enum Kind: String, Sendable, CaseIterable {
        /// A file, for tests and single machines.
        case file
    }

    /// Which kind; `nil` when the registry is disabled.
    package var kind: Kind?
    /// Where it is; for a file, its path.
    package var address: String

    /// Reads the registry's keys.
    package init(_ reader: inout ConfigReader) {
        let isDisabled = reader.read(Keys.disabled)
        self.kind = isDisabled ? nil : reader.read(Keys.kind)
        self.address = reader.read(Keys.address)
    }

    /// The keys of ``RegistryConfig``.
    package enum Keys {
        static let disabled = ConfigKey(
            "cse.service.registry.disabled", .bool, default: false, "Whether to do without a registry.")
        static let kind = ConfigKey(
            "cse.service.registry.type", .registryKind, default: .file,
            "Where services are found. `file`: in the file that `address` names.")
        static let address = ConfigKey(
            "cse.service.registry.address", .text, default: "",
            "Address of the registry. For `file`: the path, relative to the configuration directory.")

        /// All of them, in the order of the reference.
        package static let all: [any AnyConfigKey] = [Self.kind, Self.address, Self.disabled]
    }
}

extension ConfigKind<RegistryConfig.Kind> {
    fileprivate static var registryKind: Self {
        Self("registry type", describe: \.rawValue) { text throws(ConfigMistake) in
            guard let kind = RegistryConfig.Kind(rawValue: text) else {
                let known = RegistryConfig.Kind.allCases.map(\.rawValue).joined(separator: ", ")
                throw ConfigMistake("unknown registry type \"\(text)\"", remedy: "write one of: \(known)")
            }
            return kind
        }
    }
}
