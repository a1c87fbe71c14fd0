// SPDX-License-Identifier: Apache-2.0

package import Common

/// Finds what is wrong with the injector's annotations in a manifest, and where it stands.
package struct ManifestCheck: Sendable {
    /// In the order of the text.
    package private(set) var problems: [ConfigProblem] = []
    /// How many pods and workloads there are.
    package private(set) var pods = 0
    /// How many documents there are.
    package private(set) var documents = 0

    private let source: String
    private var linesBefore = 0
    private var quoted: Set<ConfigLocation> = []

    /// Reads a text.
    ///
    /// - Parameter bytes: YAML, of any number of documents, or JSON.
    /// - Parameter source: The file's path, for messages.
    package init(_ bytes: [UInt8], source: String) {
        self.source = source
        let text = bytes.starts(with: [0xef, 0xbb, 0xbf]) ? Array(bytes[3...]) : bytes
        for part in ManifestStream.parts(of: text) {
            guard part.number != nil else { continue }
            self.documents += 1
            self.linesBefore = part.linesBefore
            do throws(ConfigProblem) {
                let tree = try ConfigTree(yaml: part.bytes, source: source, quoted: &self.quoted)
                if case .null = tree { continue }
                self.check(tree)
            } catch {
                self.note(error.severity, at: error.location, error.key, error.problem, error.remedy)
            }
        }
        self.problems.sort { $0.location < $1.location }
    }

    private func place(_ location: ConfigLocation) -> ConfigLocation {
        location.line == 0
            ? location
            : ConfigLocation(location.source, line: location.line + self.linesBefore, column: location.column)
    }

    private mutating func note(
        _ severity: ConfigProblem.Severity = .error, at location: ConfigLocation, _ key: String, _ problem: String,
        _ remedy: String
    ) {
        self.problems.append(
            ConfigProblem(severity, at: self.place(location), key: key, problem, remedy: remedy))
    }

    // MARK: Objects

    private mutating func check(_ tree: ConfigTree) {
        guard let kind = tree["kind"]?.text, let version = tree["apiVersion"]?.text else {
            return self.note(
                at: tree.location, "", "this is no object of Kubernetes", "write apiVersion: and kind:")
        }
        if ManifestObject.isList(kind, version) {
            if case .list(let items, _) = tree["items"] {
                for item in items { self.check(item) }
            }
            return
        }
        guard let template = ManifestObject.template(kind, version) else {
            return self.checkMetadata(tree["metadata"], kind, template: nil)
        }
        self.pods += 1
        if !template.isEmpty { self.checkMetadata(tree["metadata"], kind, template: template) }
        guard let pod = template.reduce(Optional(tree), { $0?[$1] }) else {
            return self.note(
                at: tree.location, ManifestObject.text(template), "the pod is missing", "write its template")
        }
        self.checkPod(pod)
    }

    private static func entries(_ tree: ConfigTree?) -> [ConfigTree.Entry] {
        if case .map(let entries, _) = tree { entries } else { [] }
    }

    /// The metadata of an object that is no pod.
    private mutating func checkMetadata(_ metadata: ConfigTree?, _ kind: String, template: [String]?) {
        let place = template.map { ManifestObject.text($0 + ["metadata", "annotations"]) }
        for part in ["annotations", "labels"] {
            for entry in Self.entries(metadata?[part]) where entry.key.hasPrefix(Wish.prefix) {
                self.note(
                    at: entry.location, entry.key, "nobody reads this on a \(kind)",
                    place.map { "write it in \($0)" } ?? "write it in the annotations of a pod")
            }
        }
        guard kind == "Namespace" else { return }
        for entry in Self.entries(metadata?["annotations"]) where entry.key == Self.namespaceLabel {
            self.note(
                at: entry.location, entry.key, "this is a label, and no annotation", "write it in metadata.labels")
        }
        for entry in Self.entries(metadata?["labels"]) where entry.key == Self.namespaceLabel {
            guard let text = entry.value.text, !["enabled", "disabled"].contains(text) else { continue }
            self.note(
                .warning, at: entry.location, entry.key, "pods here get no sidecar with \"\(text)\"", "write enabled")
        }
    }

    /// The label of namespaces whose pods the injector is asked about.
    private static let namespaceLabel = "sidecar-injector"

    // MARK: Pods

    private mutating func checkPod(_ tree: ConfigTree) {
        let annotations = Self.entries(tree["metadata"]?["annotations"])
        for entry in Self.entries(tree["metadata"]?["labels"]) where Self.isWish(entry.key) {
            self.note(
                at: entry.location, entry.key, "this is an annotation, and no label", "write it in metadata.annotations"
            )
        }
        for entry in annotations { self.checkName(entry) }
        let json = OrderedJSON(tree, quoted: self.quoted)
        var isUsable = true
        for entry in annotations where Self.isWish(entry.key) {
            let value = OrderedJSON(entry.value, quoted: self.quoted)
            let isText = if case .null = value { true } else { value.text != nil }
            guard !isText else { continue }
            isUsable = false
            self.note(
                at: entry.location, entry.key, "this is no text, and the API server refuses it", "put it in quotes")
        }
        guard isUsable, let document = try? JSONDocument(json.bytes) else { return }
        let pod: Pod
        do throws(Pod.Malformed) {
            pod = try Pod(document.root)
        } catch {
            return self.note(at: tree.location, "", error.problem, "")
        }
        for mistake in Wishes(pod, allowsImage: true).mistakes {
            let location = annotations.first { $0.key == mistake.wish.key }?.location ?? tree.location
            self.note(at: location, mistake.wish.key, mistake.problem, "")
        }
        self.checkInject(pod, annotations)
    }

    private static func isWish(_ key: String) -> Bool { Wish.allCases.contains { $0.key == key } }

    /// Whether somebody reads an annotation of this name.
    private mutating func checkName(_ entry: ConfigTree.Entry) {
        let keys = Wish.allCases.map(\.key)
        guard !keys.contains(entry.key) else { return }
        let near = Spelling.nearest(to: entry.key, among: keys)
        guard near != nil || entry.key.hasPrefix(Wish.prefix) else { return }
        let name = String(entry.key.dropFirst(Wish.prefix.count))
        let meant =
            entry.key.hasPrefix(Wish.prefix)
            ? Spelling.nearest(to: name, among: Wish.allCases.map(\.rawValue)).map { Wish.prefix + $0 } : near
        self.problems.append(.unknown(entry.key, at: self.place(entry.location), near: meant))
    }

    /// Whether the pod gets a sidecar that it seems to want.
    private mutating func checkInject(_ pod: Pod, _ annotations: [ConfigTree.Entry]) {
        guard let entry = annotations.first(where: { $0.key == Wish.inject.key }) else {
            let own = annotations.first {
                Self.isWish($0.key) && ![Wish.status.key, Wish.injector.key].contains($0.key)
            }
            guard let own, pod.annotations[Wish.status.key] == nil else { return }
            return self.note(
                .note, at: own.location, own.key, "the injector leaves a pod without \(Wish.inject.key) alone",
                "write \(Wish.inject.key): \"yes\", unless mesher inject is for it")
        }
        let word = (entry.value.text ?? "").lowercased()
        if ["y", "yes"].contains(word) || Flag.read(word) == false { return }
        self.note(at: entry.location, entry.key, "\"\(word)\" does not inject a sidecar", "write \"yes\"")
    }
}
