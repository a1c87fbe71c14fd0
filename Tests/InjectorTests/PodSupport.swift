// SPDX-License-Identifier: Apache-2.0

import Common
import Foundation
import Testing

@testable import Injector

/// A pod to be judged, written as JSON.
struct SamplePod {
    /// Annotations besides the one that asks.
    var annotations: [String: String] = [:]
    var metadata: [String: Any] = [:]
    var spec: [String: Any] = [:]
    /// `nil` for no word.
    var inject: String? = "yes"

    /// The object: one container `app`, unless `spec` says otherwise.
    var object: [String: Any] {
        var annotations = self.annotations
        if let inject { annotations[Wish.inject.key] = inject }
        var metadata = self.metadata
        metadata["annotations"] = metadata["annotations"] ?? (annotations.isEmpty ? nil : annotations)
        var spec: [String: Any] = ["containers": [["name": "app", "image": "app:1"]]]
        spec.merge(self.spec) { $1 }
        return ["apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec]
    }

    var pod: Pod { get throws { try Pod(JSONDocument(Self.bytes(self.object)).root) } }

    /// A value as it would be sent.
    static func bytes(_ object: Any) throws -> [UInt8] {
        Array(try JSONSerialization.data(withJSONObject: object, options: [.sortedKeys, .fragmentsAllowed]))
    }
}

/// What a pod becomes.
struct Injected {
    let decision: Decision
    let object: [String: Any]

    init(
        _ sample: SamplePod, namespace: String = "shop", policy: InjectionPolicy? = nil, workload: String? = nil,
        occasion: InjectionPolicy.Occasion = .admission
    ) throws {
        let policy = try policy ?? testPolicy()
        self.decision = policy.decide(
            try sample.pod, namespace: namespace, occasion: occasion, workload: workload)
        self.object = try StrictPatch.applied(self.decision.patch.json.bytes, to: sample.object)
    }

    var spec: [String: Any] { self.object["spec"] as? [String: Any] ?? [:] }
    var metadata: [String: Any] { self.object["metadata"] as? [String: Any] ?? [:] }
    var annotations: [String: String] { self.metadata["annotations"] as? [String: String] ?? [:] }
    var labels: [String: String] { self.metadata["labels"] as? [String: String] ?? [:] }
    var containers: [[String: Any]] { self.spec["containers"] as? [[String: Any]] ?? [] }
    var initContainers: [[String: Any]] { self.spec["initContainers"] as? [[String: Any]] ?? [] }
    var volumes: [[String: Any]] { self.spec["volumes"] as? [[String: Any]] ?? [] }
    var sidecar: [String: Any]? {
        (self.initContainers + self.containers).first { $0["name"] as? String == SidecarTemplate.containerName }
    }
    /// The sidecar's variables that have a value.
    var variables: [String: String] { Self.variables(self.sidecar) }

    static func variables(_ container: [String: Any]?) -> [String: String] {
        let all = container?["env"] as? [[String: Any]] ?? []
        return Dictionary(all.map { ($0["name"] as? String ?? "", $0["value"] as? String ?? "") }) { first, _ in
            Issue.record("the variable stands there twice")
            return first
        }
    }
}

/// A template of this text, or the built-in one, with settings added.
func testTemplate(_ yaml: String? = nil, settings: String = "") throws -> SidecarTemplate {
    var problems: [ConfigProblem] = []
    let text = (yaml ?? BuiltInTemplate.yaml(image: "mesher:1")) + (settings.isEmpty ? "" : "settings: {\(settings)}\n")
    let template = try SidecarTemplate(yaml: Array(text.utf8), source: "template.yaml", problems: &problems)
    #expect(problems.isEmpty)
    return template
}

func testPolicy(_ yaml: String? = nil, settings: String = "", version: String? = nil) throws -> InjectionPolicy {
    var cluster = InjectionPolicy.Cluster()
    cluster.ownNamespace = "servicecomb"
    cluster.version = version.map { Version($0) }
    return InjectionPolicy(try testTemplate(yaml, settings: settings), cluster, build: "9.9")
}

/// RFC 6902, of which only `add` is there, as strict as the API server: whatever is not exactly so is thrown.
enum StrictPatch {
    struct Failure: Error { let problem: String }

    static func applied(_ patch: [UInt8], to object: [String: Any]) throws -> [String: Any] {
        var whole: Any = object
        let operations = try #require(try JSONSerialization.jsonObject(with: Data(patch)) as? [[String: Any]])
        for operation in operations {
            guard operation["op"] as? String == "add", let path = operation["path"] as? String,
                let value = operation["value"], operation.count == 3, path.hasPrefix("/")
            else { throw Failure(problem: "no addition: \(operation)") }
            let names = path.dropFirst().split(separator: "/", omittingEmptySubsequences: false).map {
                String($0).replacing("~1", with: "/").replacing("~0", with: "~")
            }
            whole = try self.added(value, at: names[...], of: whole)
        }
        return try #require(whole as? [String: Any])
    }

    private static func added(_ value: Any, at names: ArraySlice<String>, of whole: Any) throws -> Any {
        guard let name = names.first else { return value }
        let rest = names.dropFirst()
        if var map = whole as? [String: Any] {
            guard let inner = map[name], !rest.isEmpty else {
                guard rest.isEmpty else { throw Failure(problem: "doc is missing \(name)") }
                map[name] = value
                return map
            }
            map[name] = try self.added(value, at: rest, of: inner)
            return map
        }
        guard var list = whole as? [Any] else { throw Failure(problem: "\(name) of what is neither map nor list") }
        if name == "-", rest.isEmpty { return list + [value] }
        guard let index = Int(name), index <= list.count, rest.isEmpty || index < list.count else {
            throw Failure(problem: "no index \(name)")
        }
        if rest.isEmpty {
            list.insert(value, at: index)
        } else {
            list[index] = try self.added(value, at: rest, of: list[index])
        }
        return list
    }
}
