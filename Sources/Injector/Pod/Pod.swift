// SPDX-License-Identifier: Apache-2.0

/// A pod, or the template of one, as far as an injection looks at it.
package struct Pod: Sendable {
    /// Why an object is no pod.
    package struct Malformed: Error, Equatable {
        /// The path of what is wrong, and what it should be.
        package let problem: String
    }

    /// Who has made it.
    package struct Owner: Sendable, Equatable {
        /// Such as `ReplicaSet`.
        package let kind: String
        /// The owner's name.
        package let name: String
    }

    /// The object itself.
    package let json: JSONValue
    /// The name; of one that a controller makes, what it begins with; empty when it has neither.
    package let name: String
    /// By their whole keys.
    package let annotations: [String: String]
    /// By their whole keys.
    package let labels: [String: String]
    /// The controller that has made it; `nil` when it was made by hand.
    package let owner: Owner?
    /// Those of the application.
    let containers: [PodContainer]
    let initContainers: [PodContainer]

    /// A look at `json`.
    ///
    /// `null`, an empty value and none are the same.
    ///
    /// - Throws: When a part of it that matters has another type than a pod's.
    package init(_ json: JSONValue) throws(Malformed) {
        guard json.isObject else { throw Malformed(problem: "the object is no map") }
        self.json = json
        let metadata = try Self.object(json["metadata"], "metadata")
        guard let spec = try Self.object(json["spec"], "spec") else { throw Malformed(problem: "spec is missing") }
        self.annotations = try Self.texts(metadata?["annotations"], "metadata.annotations")
        self.labels = try Self.texts(metadata?["labels"], "metadata.labels")
        let names = [metadata?["name"]?.text, metadata?["generateName"]?.text].compactMap { $0 }
        self.name = names.first { !$0.isEmpty } ?? ""
        let controller = metadata?["ownerReferences"]?.elements.first { $0["controller"]?.flag == true }
        self.owner = controller.flatMap { owner in
            guard let kind = owner["kind"]?.text, let name = owner["name"]?.text else { return nil }
            return Owner(kind: kind, name: name)
        }
        self.containers = try Self.containers(spec, "containers")
        self.initContainers = try Self.containers(spec, "initContainers")
        for name in ["volumes", "imagePullSecrets"] { _ = try Self.objects(spec[name], "spec.\(name)") }
    }

    /// What its `spec` has under a name; `nil` for `null` and for nothing.
    func spec(_ name: String) -> JSONValue? { self.json["spec"]?[name] }

    /// A part of the metadata, likewise.
    func metadata(_ name: String) -> JSONValue? { self.json["metadata"]?[name] }

    /// Whether it shares the network of its node.
    var usesHostNetwork: Bool { self.spec("hostNetwork")?.flag == true }

    /// Whether its containers are for Windows.
    var isWindows: Bool { self.spec("os")?["name"]?.text?.lowercased() == "windows" }

    /// Whether it is done when its containers have ended, as that of a Job.
    var ends: Bool { ["Never", "OnFailure"].contains(self.spec("restartPolicy")?.text ?? "") }

    /// Seconds from its end on after which what still runs is killed, if it says so.
    var grace: Int? { self.spec("terminationGracePeriodSeconds")?.integer }

    /// Whether limits or requests hold for all containers together.
    var hasResources: Bool {
        ["limits", "requests"].contains { self.spec("resources")?[$0].map { !$0.isEmpty } ?? false }
    }

    private static func object(_ value: JSONValue?, _ path: String) throws(Malformed) -> JSONValue? {
        if let value, !value.isObject { throw Malformed(problem: "\(path) is no map") }
        return value
    }

    private static func texts(_ value: JSONValue?, _ path: String) throws(Malformed) -> [String: String] {
        var found: [String: String] = [:]
        for (name, value) in try self.object(value, path)?.members ?? [] {
            guard let text = value.isNull ? "" : value.text else {
                throw Malformed(problem: "\(path).\(name) is no text")
            }
            found[name] = text
        }
        return found
    }

    private static func objects(_ value: JSONValue?, _ path: String) throws(Malformed) -> [JSONValue] {
        guard let value else { return [] }
        guard value.isList, value.elements.allSatisfy(\.isObject) else {
            throw Malformed(problem: "\(path) is no list of maps")
        }
        return value.elements
    }

    private static func containers(_ spec: JSONValue, _ name: String) throws(Malformed) -> [PodContainer] {
        var found: [PodContainer] = []
        for (index, json) in try self.objects(spec[name], "spec.\(name)").enumerated() {
            let path = "/spec/\(name)/\(index)"
            for list in ["env", "ports"] { _ = try self.objects(json[list], "spec.\(name)[\(index)].\(list)") }
            found.append(PodContainer(json: json, path: path))
        }
        return found
    }
}

/// A container of a pod.
struct PodContainer: Sendable {
    let json: JSONValue
    /// Where it is, as a JSON pointer.
    let path: String

    /// Its name; empty when it has none.
    var name: String { self.json["name"]?.text ?? "" }

    /// The names of its variables.
    var variables: Set<String> { Set(self.json["env"]?.elements.compactMap { $0["name"]?.text } ?? []) }

    /// Whether it has any variables.
    var hasVariables: Bool { self.json["env"].map { !$0.isEmpty } ?? false }

    /// The ports that it says to take.
    var ports: [Int] { self.json["ports"]?.elements.compactMap { $0["containerPort"]?.integer } ?? [] }
}
