// SPDX-License-Identifier: Apache-2.0

import Common

/// An object of a manifest, by what it is.
struct ManifestObject {
    /// Such as `Deployment`.
    let kind: String
    /// Its name; what that begins with when a server completes it; empty when it has neither.
    let name: String
    /// Empty when it does not say.
    let namespace: String
    /// Where it is in its document: names of keys and numbers of elements.
    let path: [String]
    /// Where its pod is, within the object; empty for a pod, `nil` for what has none.
    let template: [String]?

    /// As `kubectl` calls it.
    var title: String { "\(self.kind.lowercased()) \"\(self.name)\"" }

    private static let template = ["spec", "template"]
    /// Groups of the kinds, without their versions; the core has none.
    private static let workloads: [String: (groups: Set<String>, template: [String])] = [
        "Pod": ([""], []), "ReplicationController": ([""], Self.template),
        "Deployment": (["apps", "extensions"], Self.template), "DaemonSet": (["apps", "extensions"], Self.template),
        "ReplicaSet": (["apps", "extensions"], Self.template), "StatefulSet": (["apps"], Self.template),
        "Job": (["batch"], Self.template), "CronJob": (["batch"], ["spec", "jobTemplate"] + Self.template),
    ]

    /// The pod of a kind of object, as a path; `nil` when it has none.
    static func template(_ kind: String, _ apiVersion: String) -> [String]? {
        let group = apiVersion.lastIndex(of: "/").map { String(apiVersion[..<$0]) } ?? ""
        return Self.workloads[kind].flatMap { $0.groups.contains(group) ? $0.template : nil }
    }

    /// Whether it is a list of other objects.
    static func isList(_ kind: String, _ apiVersion: String) -> Bool { kind == "List" && apiVersion == "v1" }

    /// The objects of a document: itself, or those of its lists.
    ///
    /// - Throws: Where one is that is no object.
    static func all(in json: JSONValue, at path: [String] = []) throws(ManifestMistake) -> [ManifestObject] {
        let place = path.isEmpty ? "" : "\(Self.text(path)): "
        guard json.isObject else { throw ManifestMistake(problem: "\(place)this is no object of Kubernetes") }
        guard let kind = json["kind"]?.text, let version = json["apiVersion"]?.text else {
            throw ManifestMistake(problem: "\(place)kind or apiVersion is missing")
        }
        if Self.isList(kind, version) {
            var found: [ManifestObject] = []
            for (index, element) in (json["items"]?.elements ?? []).enumerated() {
                found += try Self.all(in: element, at: path + ["items", "\(index)"])
            }
            return found
        }
        let metadata = json["metadata"]
        let names = [metadata?["name"]?.text, metadata?["generateName"]?.text].compactMap(\.self)
        return [
            ManifestObject(
                kind: kind, name: names.first { !$0.isEmpty } ?? "", namespace: metadata?["namespace"]?.text ?? "",
                path: path, template: Self.template(kind, version))
        ]
    }

    /// A path as people write it: `items[2].spec`.
    static func text(_ path: [String]) -> String {
        path.reduce("") { text, name in
            Int(name) != nil ? "\(text)[\(name)]" : text.isEmpty ? name : "\(text).\(name)"
        }
    }
}

/// Why a manifest is none.
struct ManifestMistake: Error {
    /// Where, and what.
    let problem: String
}

extension JSONValue {
    /// What is at a path; `nil` for `null` and for nothing.
    func value(at path: [String]) -> JSONValue? {
        var value = self
        for name in path {
            guard let inner = value.isList ? value.element(name) : value[name], !inner.isNull else { return nil }
            value = inner
        }
        return value
    }

    private func element(_ name: String) -> JSONValue? {
        let elements = self.elements
        return Int(name).flatMap { elements.indices.contains($0) ? elements[$0] : nil }
    }
}
