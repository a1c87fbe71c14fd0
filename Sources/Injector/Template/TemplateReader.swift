// SPDX-License-Identifier: Apache-2.0

import Common

/// Reads a template, and gathers everything that is wrong with it.
///
/// - Source: `sidecar_k8s_spec.yaml` of the original: `containers`, `volumes`, `imagePullSecrets`.
struct TemplateReader {
    /// The fields of a container that the API server knows: it drops others without a word.
    ///
    /// - Source: core/v1 Container, Kubernetes 1.36.
    private static let containerFields: Set<String> = [
        "args", "command", "env", "envFrom", "image", "imagePullPolicy", "lifecycle", "livenessProbe", "name", "ports",
        "readinessProbe", "resizePolicy", "resources", "restartPolicy", "restartPolicyRules", "securityContext",
        "startupProbe", "stdin", "stdinOnce", "terminationMessagePath", "terminationMessagePolicy", "tty",
        "volumeDevices", "volumeMounts", "workingDir",
    ]
    private static let keys = ["containers", "volumes", "imagePullSecrets", "annotations", "labels", "settings"]

    private let source: String
    private var quoted: Set<ConfigLocation> = []
    private(set) var containers: [OrderedJSON] = []
    private(set) var volumes: [OrderedJSON] = []
    private(set) var pullSecrets: [String] = []
    private(set) var annotations: [(String, String)] = []
    private(set) var labels: [(String, String)] = []
    private(set) var settings = InjectorSettings()
    private(set) var problems: [ConfigProblem] = []

    init(source: String) { self.source = source }

    /// The sidecar's container, with the user that the settings want.
    var sidecar: OrderedJSON? {
        var sidecar = self.containers.first { $0["name"]?.text == SidecarTemplate.containerName }
        if self.settings.user == .asWritten { return sidecar }
        var context = sidecar?["securityContext"] ?? .object([])
        let user: OrderedJSON? = if case .number(let number) = self.settings.user { .number(number) } else { nil }
        context["runAsUser"] = user
        context["runAsGroup"] = user
        sidecar?["securityContext"] = context
        return sidecar
    }

    /// - Throws: Why it is no YAML.
    mutating func read(_ yaml: [UInt8]) throws(ConfigProblem) {
        let tree = try ConfigTree(yaml: yaml, source: self.source, quoted: &self.quoted)
        guard case .map(let entries, let location) = tree else {
            throw ConfigProblem(at: tree.location, "this is no map of keys", remedy: "write key: value")
        }
        for entry in entries where !Self.keys.contains(entry.key) {
            self.problems.append(
                .unknown(entry.key, at: entry.location, near: Spelling.nearest(to: entry.key, among: Self.keys)))
        }
        if let settings = tree["settings"] { self.readSettings(settings) }
        self.volumes = self.named(tree["volumes"], "volumes")
        self.containers = self.named(tree["containers"], "containers")
        self.annotations = self.texts(tree["annotations"], "annotations")
        self.labels = self.texts(tree["labels"], "labels")
        self.readPullSecrets(tree["imagePullSecrets"])
        self.checkContainers(tree["containers"], location)
    }

    private mutating func note(_ location: ConfigLocation, _ key: String, _ problem: String, _ remedy: String) {
        self.problems.append(ConfigProblem(at: location, key: key, problem, remedy: remedy))
    }

    /// A list of maps that have names, no two the same.
    private mutating func named(_ tree: ConfigTree?, _ key: String) -> [OrderedJSON] {
        guard let tree, !tree.isNothing else { return [] }
        guard case .list(let elements, _) = tree else {
            self.note(tree.location, key, "this is no list", "write - name: … for each")
            return []
        }
        var names: Set<String> = []
        for element in elements {
            guard let name = element["name"]?.text, Names.isLabel(name) else {
                self.note(
                    element.location, key, "there is no name of small letters, digits and -", "write name: …")
                continue
            }
            if !names.insert(name).inserted {
                self.note(element.location, key, "the name \(name) stands here twice", "keep one of them")
            }
        }
        return elements.map { OrderedJSON($0, quoted: self.quoted) }
    }

    private mutating func texts(_ tree: ConfigTree?, _ key: String) -> [(String, String)] {
        guard let tree, !tree.isNothing else { return [] }
        guard case .map(let entries, _) = tree else {
            self.note(tree.location, key, "this is no map", "write key: value")
            return []
        }
        return entries.compactMap { entry in
            if let text = entry.value.text { return (entry.key, text) }
            self.note(entry.location, "\(key).\(entry.key)", "this is no text", "write one")
            return nil
        }
    }

    /// Names, as in the original, or maps with a name, as in a pod.
    private mutating func readPullSecrets(_ tree: ConfigTree?) {
        guard let tree, !tree.isNothing else { return }
        let elements = if case .list(let elements, _) = tree { elements } else { [tree] }
        for element in elements {
            if let name = element.text ?? element["name"]?.text, Names.isSubdomain(name) {
                self.pullSecrets.append(name)
            } else {
                self.note(element.location, "imagePullSecrets", "this is no name of a secret", "write one")
            }
        }
    }

    private mutating func checkContainers(_ tree: ConfigTree?, _ whole: ConfigLocation) {
        guard self.problems.allSatisfy({ $0.severity != .error }) else { return }
        let name = SidecarTemplate.containerName
        guard let tree, case .list(let elements, _) = tree, self.sidecar != nil else {
            self.note(tree?.location ?? whole, "containers", "none is called \(name)", "write one that is")
            return
        }
        let volumes = Set(self.volumes.compactMap { $0["name"]?.text })
        for element in elements {
            guard case .map(let entries, _) = element else { continue }
            for entry in entries where !Self.containerFields.contains(entry.key) {
                let near = Spelling.nearest(to: entry.key, among: Self.containerFields.sorted())
                self.problems.append(.unknown("containers.\(entry.key)", at: entry.location, near: near))
            }
            if element["image"]?.text?.isEmpty ?? true {
                self.note(element.location, "containers.image", "there is no image", "write image: …")
            }
            guard case .list(let mounts, _) = element["volumeMounts"] else { continue }
            for mount in mounts where !volumes.contains(mount["name"]?.text ?? "") {
                self.note(
                    mount.location, "containers.volumeMounts",
                    "there is no volume \(mount["name"]?.text ?? "without a name")", "write it below volumes")
            }
        }
    }

    // MARK: Settings

    private mutating func readSettings(_ tree: ConfigTree) {
        guard tree.isMapOrEmpty else {
            return self.note(tree.location, "settings", "this is no map", "write key: value")
        }
        var settings = InjectorSettings()
        for (key, value) in tree.flattened() {
            do throws(ConfigMistake) {
                if try !Self.set(key, value.joinedTexts ?? "", in: &settings) {
                    self.problems.append(
                        .unknown(
                            "settings.\(key)", at: value.location,
                            near: Spelling.nearest(to: key, among: Self.settingNames)))
                }
            } catch {
                self.note(value.location, "settings.\(key)", error.problem, error.remedy)
            }
        }
        self.settings = settings
    }

    private static let settingNames = [
        "defaultDiscoveryType", "nativeSidecar", "proxyEnv", "noProxy", "sc.address", "pilot.address", "pilot.type",
        "onInvalidAnnotation", "allowImageOverride", "extraExcludedNamespaces", "prometheusAnnotations", "runAsUser",
    ]

    /// - Returns: `false` when there is no such setting.
    private static func set(
        _ key: String, _ text: String, in settings: inout InjectorSettings
    ) throws(ConfigMistake) -> Bool {
        switch key {
        case "defaultDiscoveryType": settings.discoveryType = try self.choice(text)
        case "nativeSidecar":
            if let placement = InjectorSettings.Placement(rawValue: text) {
                settings.placement = placement
            } else {
                settings.placement = try self.flag(text) ? .yes : .no
            }
        case "proxyEnv": settings.setsProxy = try self.flag(text)
        case "noProxy": settings.noProxy = try Wishes.hosts(text)
        case "sc.address": settings.serviceCenter = try self.address(text)
        case "pilot.address": settings.pilot = try self.address(text)
        case "pilot.type": settings.pilotType = try self.address(text)
        case "onInvalidAnnotation":
            guard ["deny", "warn"].contains(text) else {
                throw ConfigMistake("\"\(text)\" is none of deny, warn", remedy: "write one of them")
            }
            settings.deniesMistakes = text == "deny"
        case "allowImageOverride": settings.allowsImage = try self.flag(text)
        case "extraExcludedNamespaces":
            settings.excluded = Set(text.split { $0 == "," || $0.isWhitespace }.map(String.init))
        case "prometheusAnnotations": settings.annotatesPrometheus = try self.flag(text)
        case "runAsUser":
            guard text == "none" || Int(text) ?? 0 > 0 else {
                throw ConfigMistake("\"\(text)\" is no user but root", remedy: "write a number above 0, or none")
            }
            settings.user = Int(text).map { .number($0) } ?? .chosenByCluster
        default: return false
        }
        return true
    }

    private static func choice<Value: RawRepresentable<String> & CaseIterable>(
        _ text: String
    ) throws(ConfigMistake) -> Value {
        if let value = Value(rawValue: text) { return value }
        let names = Value.allCases.map(\.rawValue).joined(separator: ", ")
        throw ConfigMistake("\"\(text)\" is none of \(names)", remedy: "write one of them")
    }

    private static func flag(_ text: String) throws(ConfigMistake) -> Bool {
        if let flag = Flag.read(text) { return flag }
        throw ConfigMistake("\"\(text)\" is neither yes nor no", remedy: "write yes or no")
    }

    private static func address(_ text: String) throws(ConfigMistake) -> String {
        if !text.isEmpty, !text.contains(where: \.isWhitespace) { return text }
        throw ConfigMistake("\"\(text)\" makes no sense here", remedy: "write one word, or leave the key out")
    }
}

extension ConfigTree {
    fileprivate var isNothing: Bool { if case .null = self { true } else { false } }
}
