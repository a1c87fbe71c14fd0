// SPDX-License-Identifier: Apache-2.0

package import Common

/// Gives the pods of a manifest their sidecars, as the webhook does, and leaves all else of the text as it is.
///
/// Pure; doing it again to what came of it changes nothing.
package struct ManifestInjection: Sendable {
    /// Why there is no result.
    package struct Failure: Error, Sendable, Equatable {
        /// A line for each mistake, with the number of its document.
        package let mistakes: [String]
    }

    /// What became of an object.
    package struct Report: Sendable {
        /// The number of its document, from 1.
        package let document: Int
        /// Such as `Deployment`.
        package let kind: String
        /// Empty when it has none.
        package let name: String
        /// `nil` for an object that has no pods.
        package let decision: Decision?
        /// What whoever wrote it is told: one line each.
        package let warnings: [String]
        /// Why it is so; empty when that needs no word.
        package let why: String

        /// In one line.
        package var line: String {
            let title = "\(self.kind.lowercased()) \"\(self.name)\""
            switch self.decision?.result {
            case .injected: return "\(title) injected"
            case .skipped: return "\(title) skipped: \(self.why)"
            case .denied, nil: return "\(title) passed on"
            }
        }
    }

    /// A part of the text.
    package struct Part: Sendable {
        /// As it was.
        package let before: [UInt8]
        /// As it is; the same bytes when nothing was to be done.
        package fileprivate(set) var after: [UInt8]
        /// What it says now; `nil` when there are only comments.
        package fileprivate(set) var json: OrderedJSON?
    }

    /// All parts in their order: together they are the text.
    package private(set) var parts: [Part] = []
    /// In the order of the objects.
    package private(set) var reports: [Report] = []
    /// What else is to be told: one line each.
    package private(set) var notes: [String] = []
    /// Whether the text is JSON.
    package let isJSON: Bool

    private let policy: InjectionPolicy
    private let namespace: String
    private let source: String
    private var mistakes: [String] = []

    private static let mark: [UInt8] = [0xef, 0xbb, 0xbf]

    /// Reads a text and gives its pods their sidecars.
    ///
    /// - Parameter bytes: YAML, of any number of documents, or JSON.
    /// - Parameter source: The file's path, for messages.
    /// - Parameter namespace: That of objects that do not say; empty for none.
    package init(
        _ bytes: [UInt8], source: String, policy: InjectionPolicy, namespace: String = ""
    ) throws(Failure) {
        self.policy = policy
        self.namespace = namespace
        self.source = source
        if let document = try? JSONDocument(bytes), document.root.isObject {
            self.isJSON = true
            self.injectJSON(document, bytes)
        } else {
            self.isJSON = false
            let isMarked = bytes.starts(with: Self.mark)
            for part in ManifestStream.parts(of: isMarked ? Array(bytes[3...]) : bytes) { self.injectYAML(part) }
            if isMarked { self.parts.insert(Part(before: Self.mark, after: Self.mark), at: 0) }
        }
        guard self.mistakes.isEmpty else { throw Failure(mistakes: self.mistakes) }
        if !self.reports.contains(where: { $0.decision != nil }) {
            let count = self.parts.count { $0.json != nil }
            self.notes.append(
                "nothing to inject: \(count) document\(count == 1 ? "" : "s"), and no pod or workload among them")
        }
    }

    /// The whole text as it is now.
    package var text: [UInt8] { self.parts.flatMap(\.after) }

    /// All documents as one: a list, unless there is one only.
    package var json: OrderedJSON {
        let documents = self.parts.compactMap(\.json)
        if documents.count == 1, let document = documents.first { return document }
        let items = documents.flatMap { document in
            let isList = ManifestObject.isList(document["kind"]?.text ?? "", document["apiVersion"]?.text ?? "")
            return isList ? document["items"]?.elements ?? [] : [document]
        }
        return .object([("apiVersion", .string("v1")), ("kind", .string("List")), ("items", .array(items))])
    }

    // MARK: Documents

    private mutating func injectJSON(_ document: JSONDocument, _ bytes: [UInt8]) {
        var part = Part(before: bytes, after: bytes, json: OrderedJSON(document.root))
        let additions = self.additions(document.root, number: 1)
        if !additions.isEmpty, let json = Self.applied(additions, to: part.json) {
            part.json = json
            let end = bytes.last == .lineFeed ? "\n" : ""
            let text = Self.indentation(bytes).map { json.pretty(indentation: $0) } ?? json.line
            part.after = Array("\(text)\(end)".utf8)
        }
        self.parts.append(part)
    }

    /// What the levels of a JSON text begin with; `nil` when it is one line.
    private static func indentation(_ bytes: [UInt8]) -> String? {
        guard let end = bytes.firstIndex(of: .lineFeed), end + 1 < bytes.count else { return nil }
        let blanks = bytes[(end + 1)...].prefix { $0 == .space || $0 == .tab }
        return blanks.isEmpty ? "  " : String(decoding: blanks.prefix(16), as: UTF8.self)
    }

    private mutating func injectYAML(_ stream: ManifestStream.Part) {
        var part = Part(before: stream.bytes, after: stream.bytes)
        defer { self.parts.append(part) }
        guard let number = stream.number else { return }
        let title = "document \(number)"
        do throws(ConfigProblem) {
            let json = try Self.json(stream.bytes, self.source)
            // As good as an empty one.
            if case .null = json { return }
            part.json = json
            // Through text, since that is what pods are looked at in.
            guard let document = try? JSONDocument(json.bytes) else {
                self.mistakes.append("\(title): this is nested too deeply, or has too many values")
                return
            }
            let additions = self.additions(document.root, number: number)
            guard !additions.isEmpty, let changed = Self.applied(additions, to: json) else { return }
            part.json = changed
            if let text = Self.inserted(additions, stream.bytes, self.source, expected: changed) {
                part.after = text
                return
            }
            part.after = Self.written(changed, stream.bytes)
            self.notes.append(
                "\(title) was written anew, without its comments and anchors: its style leaves no place to insert lines"
            )
            guard (try? Self.json(part.after, self.source))?.canonical == changed.canonical else {
                self.mistakes.append("\(title): this text cannot be changed; write it in another style")
                return
            }
        } catch {
            let (location, line) = (error.location, error.location.line + stream.linesBefore)
            let place =
                location.line > 0
                ? ConfigLocation(location.source, line: line, column: location.column) : location
            let remedy = error.remedy.isEmpty ? "" : "; \(error.remedy)"
            self.mistakes.append("\(title): \(place): \(error.problem)\(remedy)")
        }
    }

    private static func json(_ bytes: [UInt8], _ source: String) throws(ConfigProblem) -> OrderedJSON {
        var quoted: Set<ConfigLocation> = []
        return OrderedJSON(try ConfigTree(yaml: bytes, source: source, quoted: &quoted), quoted: quoted)
    }

    /// The text with lines inserted; `nil` unless it says what is expected of it.
    private static func inserted(
        _ additions: [Addition], _ bytes: [UInt8], _ source: String, expected: OrderedJSON
    ) -> [UInt8]? {
        guard var text = ManifestText(bytes) else { return nil }
        for addition in additions {
            guard text.add(addition.value, at: addition.path) else { return nil }
        }
        let result = text.result
        return (try? Self.json(result, source))?.canonical == expected.canonical ? result : nil
    }

    /// The document, written anew behind its mark.
    private static func written(_ json: OrderedJSON, _ bytes: [UInt8]) -> [UInt8] {
        let first = bytes.prefix { $0 != .lineFeed }
        let hasMark = ManifestStream.isMark("---", first)
        let isWindows = first.last == .carriageReturn
        let lines = (hasMark ? ["---"] : []) + BlockYAML.lines(json, column: 0)
        return Array(lines.map { $0 + (isWindows ? "\r\n" : "\n") }.joined().utf8)
    }

    // MARK: Objects

    /// A value for a place in a document.
    private struct Addition {
        let path: [String]
        var value: OrderedJSON
    }

    /// What the objects of a document get.
    private mutating func additions(_ root: JSONValue, number: Int) -> [Addition] {
        do throws(ManifestMistake) {
            var additions: [Addition] = []
            for object in try ManifestObject.all(in: root) { additions += self.additions(object, root, number) }
            return additions
        } catch {
            self.mistakes.append("document \(number): \(error.problem)")
            return []
        }
    }

    private mutating func additions(_ object: ManifestObject, _ root: JSONValue, _ number: Int) -> [Addition] {
        guard let template = object.template else {
            self.reports.append(
                Report(
                    document: number, kind: object.kind, name: object.name, decision: nil,
                    warnings: Self.misplaced(object, root), why: ""))
            return []
        }
        let path = object.path + template
        let title = "document \(number): \(object.title): "
        guard let value = root.value(at: path) else {
            self.mistakes.append("\(title)\(ManifestObject.text(template)) is missing")
            return []
        }
        let pod: Pod
        do throws(Pod.Malformed) {
            pod = try Pod(value)
        } catch {
            let place = template.isEmpty ? "" : "\(ManifestObject.text(template)): "
            let remedy = error.problem.hasSuffix("is no text") ? "; put it in quotes" : ""
            self.mistakes.append("\(title)\(place)\(error.problem)\(remedy)")
            return []
        }
        let decision = self.policy.decide(
            pod, namespace: object.namespace.isEmpty ? self.namespace : object.namespace, occasion: .command,
            workload: template.isEmpty || object.name.isEmpty ? nil : object.name)
        if decision.result == .denied { self.mistakes.append("\(title)\(decision.message)") }
        self.reports.append(
            Report(
                document: number, kind: object.kind, name: object.name, decision: decision,
                warnings: decision.warnings + Self.misplaced(object, root), why: Self.why(decision, pod)))
        return Self.folded(decision.patch.operations).map { Addition(path: path + $0.path, value: $0.value) }
    }

    /// Annotations of the injector's on an object that is no pod.
    private static func misplaced(_ object: ManifestObject, _ root: JSONValue) -> [String] {
        if object.template == [] { return [] }
        let annotations = root.value(at: object.path + ["metadata", "annotations"])?.members ?? []
        return annotations.map(\.name).filter { $0.hasPrefix(Wish.prefix) }.map { key in
            let place = object.template.map { ManifestObject.text($0 + ["metadata", "annotations"]) }
            return "\(key): nobody reads it here; \(place.map { "write it in \($0)" } ?? "it belongs to pods")"
        }
    }

    private static func why(_ decision: Decision, _ pod: Pod) -> String {
        switch decision.reason {
        case .notAsked: "\(Wish.inject.key) is \"\(pod.annotations[Wish.inject.key] ?? "")\""
        case .alreadyInjected: "it has a sidecar"
        case .lateContainers: "it has a sidecar; containers that came later get their variables"
        case .excludedNamespace: "its namespace gets no sidecars"
        case .hostNetwork: "hostNetwork"
        case .windows: "Windows"
        case .notAPod, .asked, .invalidAnnotation, .volumeClash, .patchTooLong: ""
        }
    }

    /// A patch whose additions concern what was there before, each: those to what it has made itself are within that.
    private static func folded(_ operations: [PodPatch.Operation]) -> [Addition] {
        var additions: [Addition] = []
        for operation in operations {
            let names = operation.path.dropFirst().split(separator: "/", omittingEmptySubsequences: false)
            let path = names.map { name -> String in
                String(name).replacing("~1", with: "/").replacing("~0", with: "~")
            }
            let index = additions.firstIndex { path.count > $0.path.count && path.starts(with: $0.path) }
            if let index, additions[index].value.add(operation.value, at: path.dropFirst(additions[index].path.count)) {
                continue
            }
            additions.append(Addition(path: path, value: operation.value))
        }
        return additions
    }

    private static func applied(_ additions: [Addition], to json: OrderedJSON?) -> OrderedJSON? {
        guard var result = json else { return nil }
        for addition in additions {
            guard result.add(addition.value, at: addition.path[...]) else { return nil }
        }
        return result
    }
}
