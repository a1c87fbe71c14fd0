// SPDX-License-Identifier: Apache-2.0

import FoundationEssentials

extension ConfigLoader {
    /// What of a configuration without errors has no effect, and what is worth a word in the file of a file registry.
    ///
    /// What is wrong with that file is no error here: the sidecar starts without it, and takes it once it is mended.
    func effects(of config: MesherConfig, _ store: ConfigStore) -> [ConfigProblem] {
        var problems: [ConfigProblem] = []
        var services = self.sharedServices
        if config.registry.uses(.file) {
            let path = config.registry.path(in: self.directory)
            if let bytes = FileManager.default.contents(atPath: path) {
                let file = RegistryFile(Array(bytes), source: path)
                problems += file.problems.map(\.asWarning)
                if file.error != nil {
                    problems.append(
                        ConfigProblem(
                            .warning, at: ConfigLocation(path), "nothing of the registry file counts",
                            remedy: "correct what is wrong with it"))
                } else if config.registry.kinds.filter(\.isActive) == [.file] {
                    services = KnownServices(file.services, file: path, ownApp: config.identity.app)
                }
            } else {
                problems.append(self.missingRegistry(path, config.registry, store))
            }
        }
        return problems + EffectReview.problems(of: config, store, services)
    }

    private func missingRegistry(_ path: String, _ registry: RegistryConfig, _ store: ConfigStore) -> ConfigProblem {
        let manager = FileManager.default
        let key = registry.file.isEmpty ? RegistryConfig.Keys.address.name : RegistryConfig.Keys.file.name
        guard !manager.fileExists(atPath: path) else {
            return ConfigProblem(
                .warning, at: ConfigLocation(path), "the registry file cannot be read: no service is known",
                remedy: "let the user that mesher runs as read it")
        }
        let usual = ["services.yaml", "service.yaml", "services.json", "service.json", "registry.yaml"]
        let other = usual.first { manager.fileExists(atPath: "\(self.directory)/\($0)") }
        let entry = store.entry(key) ?? store.entry(RegistryConfig.Keys.kind.name)
        return ConfigProblem(
            .warning, at: entry?.value.location ?? ConfigLocation(path), key: key,
            "the registry file \(path) does not exist: no service is known until it does",
            remedy: other.map { "write \(key): \($0)" } ?? "create it, or correct \(key)")
    }
}

extension ConfigProblem {
    /// The same where an error is none that keeps a sidecar from starting.
    fileprivate var asWarning: ConfigProblem {
        guard self.severity == .error else { return self }
        return ConfigProblem(.warning, at: self.location, key: self.key, self.problem, remedy: self.remedy)
    }
}
