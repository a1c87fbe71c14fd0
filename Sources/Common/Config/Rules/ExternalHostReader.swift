// SPDX-License-Identifier: Apache-2.0

/// Reads the external hosts that may be called: `egress.yaml`.
enum ExternalHostReader {
    /// The hosts of all rules `egressRule.<name>`.
    static func read(_ reader: inout ConfigReader) -> ExternalHosts {
        var rules: [ExternalHosts.Rule] = []
        for entry in Self.lists(&reader) {
            var problems = RuleProblems(entry.key)
            do {
                for element in try RuleText.read(entry).elements { rules += Self.rules(element, &problems) }
            } catch {
                reader.note(error)
            }
            problems.problems.forEach { reader.note($0) }
        }
        return ExternalHosts(rules, allowsLoopback: reader.read(Keys.loopback))
    }

    /// The entries `egressRule.<name>`; a rule that was written without a list is refused, once for all its parts.
    private static func lists(_ reader: inout ConfigReader) -> [ConfigSource.Entry] {
        var refused: Set<String> = []
        var lists: [ConfigSource.Entry] = []
        for (path, entry) in reader.store.entries(below: "egressRule") {
            let isRules = (try? RuleText.read(entry))?.elements.contains { $0["hosts"] != nil } == true
            guard !isRules, let dot = path.lastIndex(of: "."),
                ["hosts", "ports"].contains(path[path.index(after: dot)...])
            else {
                lists.append(entry)
                continue
            }
            let name = String(path[..<dot])
            guard refused.insert(name).inserted else { continue }
            reader.note(
                ConfigProblem(
                    at: entry.value.location, key: "egressRule.\(name)",
                    "a map stands where a list of rules belongs", remedy: "write a list: - hosts: [api.example.org]"))
        }
        return lists
    }

    private static func rules(_ tree: ConfigTree, _ problems: inout RuleProblems) -> [ExternalHosts.Rule] {
        guard problems.allow(Self.ruleShape, in: tree) else { return [] }
        var ports: [ExternalHosts.Port] = []
        for element in tree["ports"]?.elements ?? [] {
            guard problems.allow(Self.portShape, in: element) else { continue }
            guard let port = element["port"]?.text.flatMap({ UInt16($0) }), port > 0 else {
                problems.note(
                    element.location, ConfigMistake("this is no port", remedy: "write {port: 80, protocol: HTTP}"))
                continue
            }
            ports.append(ExternalHosts.Port(port, protocolName: element["protocol"]?.text ?? "HTTP"))
        }
        let hosts = tree["hosts"]?.elements ?? []
        if hosts.isEmpty {
            problems.note(
                tree.location, ConfigMistake("the rule has no hosts", remedy: "write hosts: [api.example.org]"))
        }
        return hosts.compactMap { host in
            guard let name = host.text?.lowercased(), ExternalHosts.isHost(name) else {
                problems.note(
                    host.location,
                    ConfigMistake(
                        "\"\(host.text ?? "")\" is no host",
                        remedy: "write a name of letters, digits and hyphens, such as api.example.org or *.example.org")
                )
                return nil
            }
            return ExternalHosts.Rule(name, ports)
        }
    }

    /// The keys.
    enum Keys {
        static let loopback = ConfigKey(
            "mesher.egress.allowLoopback", .bool, default: false, reload: .live,
            "Whether external hosts may have addresses of this machine, its link or its cloud. For tests.")
    }
}
