// SPDX-License-Identifier: Apache-2.0

import Common
import Foundation
import Testing

@testable import Injector

/// How a pod gets its sidecar.
@Suite struct PatchTests {
    /// Pods of all shapes.
    static let samples: [@Sendable () -> SamplePod] = [
        { SamplePod() },
        {
            SamplePod(
                metadata: ["labels": NSNull()],
                spec: ["volumes": NSNull(), "initContainers": NSNull(), "imagePullSecrets": NSNull()])
        },
        {
            SamplePod(
                metadata: ["labels": [:]],
                spec: ["volumes": [Any](), "initContainers": [Any](), "imagePullSecrets": [Any]()])
        },
        { SamplePod(annotations: ["a/b~c": "d", "~1": "/"], metadata: ["labels": ["x/y": "z"]]) },
        {
            SamplePod(
                spec: [
                    "volumes": [["name": "v", "emptyDir": [:]]], "initContainers": [["name": "i"]],
                    "imagePullSecrets": [["name": "s"]],
                    "containers": [["name": "a"], ["name": "b", "env": [["name": "E", "value": "1"]]]],
                ])
        },
        { SamplePod(metadata: ["generateName": "app-"]) },
        { SamplePod(annotations: [Wish.proxyEnv.key: "yes"], spec: ["initContainers": [["name": "i"]]]) },
        {
            SamplePod(
                annotations: [Wish.nativeSidecar.key: "yes", Wish.proxyEnv.key: "yes"],
                spec: ["initContainers": [["name": "i"]]])
        },
        { SamplePod(spec: ["resources": ["limits": ["memory": "64Mi"]], "restartPolicy": "Never"]) },
        {
            SamplePod(spec: [
                "volumes": [
                    [
                        "name": "mesher-conf",
                        "configMap": ["name": "mesher-configmap", "optional": true, "defaultMode": 420],
                    ]
                ]
            ])
        },
    ]

    @Test("a patch applies, adds one sidecar, keeps everything, and is not made twice", arguments: Self.samples.indices)
    func applies(_ index: Int) throws {
        let sample = Self.samples[index]()
        let policy = try testPolicy(settings: "proxyEnv: no", version: "1.29")
        let injected = try Injected(sample, policy: policy)
        #expect(injected.decision.result == .injected)
        let all = (injected.initContainers + injected.containers).compactMap { $0["name"] as? String }
        #expect(all.count { $0 == "sidecar-mesher" } == 1)
        #expect(injected.volumes.count { $0["name"] as? String == "mesher-conf" } == 1)
        #expect(injected.annotations[Wish.status.key] == "injected")
        #expect(injected.annotations[Wish.injector.key]?.wholeMatch(of: /9\.9\/[0-9a-f]{12}/) != nil)
        #expect(injected.labels["sidecar.mesher.io/injected"] == "true")
        // Whatever was there is there.
        for (key, value) in sample.annotations { #expect(injected.annotations[key] == value) }
        let own = ((sample.object["spec"] as? [String: Any])?["containers"] as? [[String: Any]] ?? [])
        #expect(
            injected.containers.prefix(own.count).map { $0["name"] as? String } == own.map { $0["name"] as? String })
        // The API server calls again, and somebody may export the pod and make it anew.
        let again = policy.decide(
            try Pod(JSONDocument(SamplePod.bytes(injected.object)).root), namespace: "shop")
        #expect(again.reason == .alreadyInjected && again.patch.operations.isEmpty && again.warnings.isEmpty)
    }

    @Test("names in paths are escaped")
    func escaping() {
        #expect(PodPatch.escaped("sidecar.mesher.io/status") == "sidecar.mesher.io~1status")
        #expect(PodPatch.escaped("a~1/b") == "a~01~1b")
    }

    @Test("templates' annotations and labels join those of the pod, whatever is in their keys, and replace none")
    func joined() throws {
        let yaml =
            BuiltInTemplate.yaml(image: "m:1")
            + "annotations: {a/b~c: new, kept: template}\nlabels: {team/x: core}\nimagePullSecrets: [one, two]\n"
        let injected = try Injected(
            SamplePod(annotations: ["kept": "pod"], spec: ["imagePullSecrets": [["name": "one"]]]),
            policy: try testPolicy(yaml))
        #expect(injected.annotations["a/b~c"] == "new" && injected.annotations["kept"] == "pod")
        #expect(injected.labels["team/x"] == "core")
        #expect(
            (injected.spec["imagePullSecrets"] as? [[String: String]])?.compactMap { $0["name"] } == ["one", "two"])
    }

    @Test("a volume of the same name that is another one is refused")
    func clash() throws {
        let injected = try Injected(SamplePod(spec: ["volumes": [["name": "mesher-conf", "emptyDir": [:]]]]))
        #expect(injected.decision.result == .denied && injected.decision.reason == .volumeClash)
        #expect(injected.decision.message.contains("mesher-conf") && injected.decision.patch.operations.isEmpty)
    }

    static let settled:
        [(setting: String, annotation: String?, version: String?, policy: String, isNative: Bool, warns: Bool)] = [
            ("auto", nil, nil, "Always", false, false), ("auto", nil, "1.31.4", "Always", false, false),
            ("auto", nil, "1.32", "Always", true, false), ("auto", nil, "1.36.2", "Always", true, false),
            ("auto", nil, nil, "Never", true, false), ("auto", nil, nil, "OnFailure", true, false),
            ("no", nil, "1.36", "Never", false, true), ("no", nil, "1.36", "Always", false, false),
            ("yes", nil, nil, "Always", true, false), ("no", "on", nil, "Never", true, false),
            ("yes", "N", nil, "Always", false, false), ("auto", "no", "1.36", "OnFailure", false, true),
        ]

    @Test("native or classic", arguments: Self.settled.indices) func placement(_ index: Int) throws {
        let each = Self.settled[index]
        let annotations = each.annotation.map { [Wish.nativeSidecar.key: $0] } ?? [:]
        let injected = try Injected(
            SamplePod(
                annotations: annotations, spec: ["restartPolicy": each.policy, "initContainers": [["name": "first"]]]),
            policy: try testPolicy(settings: "nativeSidecar: \(each.setting)", version: each.version))
        #expect((injected.initContainers.first?["name"] as? String == "sidecar-mesher") == each.isNative)
        #expect((injected.containers.last?["name"] as? String == "sidecar-mesher") == !each.isNative)
        #expect(injected.sidecar?["restartPolicy"] as? String == (each.isNative ? "Always" : nil))
        #expect(!injected.decision.warnings.isEmpty == each.warns)
    }

    /// What the template adds to the container, and the program that leaves; `nil` for none.
    static let hooks: [(template: String, program: String?)] = [
        ("", "/opt/mesher/mesher"), ("    command: [/usr/bin/mesher, run]\n", "/usr/bin/mesher"),
        ("    command: [mesher]\n", "mesher"), ("    command: [/bin/sh, -c, exec mesher]\n", nil),
        ("    lifecycle: {postStart: {exec: {command: [/x]}}}\n", "/opt/mesher/mesher"),
        ("    lifecycle: {preStop: {sleep: {seconds: 5}}}\n", nil),
    ]

    @Test(
        "a native sidecar leaves when its pod is told to end, a classic one with TERM", arguments: Self.hooks.indices)
    func leaving(_ index: Int) throws {
        let each = Self.hooks[index]
        let yaml = BuiltInTemplate.yaml(image: "m:1").replacing(
            "    imagePullPolicy", with: each.template + "    imagePullPolicy")
        func lifecycle(_ version: String?) throws -> [String: Any]? {
            try Injected(SamplePod(), policy: try testPolicy(yaml, version: version)).sidecar?["lifecycle"]
                as? [String: Any]
        }
        let (native, classic) = (try lifecycle("1.33"), try lifecycle(nil))
        let hook = (native?["preStop"] as? [String: Any])?["exec"] as? [String: [String]]
        #expect(hook?["command"] == each.program.map { [$0, "drain"] })
        #expect((native?["postStart"] != nil) == each.template.contains("postStart"))
        // What the template says stands for both.
        #expect((classic?["preStop"] != nil) == each.template.contains("preStop"))
        #expect((native?["preStop"] != nil) == (each.program != nil || each.template.contains("preStop")))
    }

    @Test("applications get the variables of a proxy where they have none")
    func proxy() throws {
        let containers: [[String: Any]] = [
            ["name": "bare"], ["name": "own", "env": [["name": "HTTP_PROXY", "value": "http://x"]]],
            ["name": "hosts", "env": [["name": "no_proxy", "value": "mine"]]],
        ]
        let sample = SamplePod(
            annotations: [Wish.proxyEnv.key: "yes", Wish.noProxy.key: "db, localhost"],
            spec: ["containers": containers, "initContainers": [["name": "early"]]])
        let injected = try Injected(sample, policy: try testPolicy(settings: "noProxy: [cache]"))
        let hosts =
            "127.0.0.1,localhost,::1,169.254.169.254,kubernetes.default.svc,kubernetes.default.svc.cluster.local,"
            + "$(KUBERNETES_SERVICE_HOST),cache,db"
        let (bare, own, other) = (
            Injected.variables(injected.containers[0]), Injected.variables(injected.containers[1]),
            Injected.variables(injected.containers[2])
        )
        let address = "http://127.0.0.1:30101"
        #expect(bare == ["http_proxy": address, "HTTP_PROXY": address, "no_proxy": hosts, "NO_PROXY": hosts])
        #expect(own == ["HTTP_PROXY": "http://x"])
        #expect(other["no_proxy"] == "mine" && other["NO_PROXY"] == hosts && other["http_proxy"] == address)
        #expect(injected.initContainers[0]["env"] == nil)
        #expect(injected.variables["http_proxy"] == nil)
        let native = try Injected(
            SamplePod(
                annotations: sample.annotations.merging([Wish.nativeSidecar.key: "yes"]) { $1 }, spec: sample.spec))
        #expect(Injected.variables(native.initContainers[1])["http_proxy"] == address)
    }

    @Test("the variables of a proxy: the pod's word before the setting, or some containers")
    func proxyWord() throws {
        func names(_ word: String?, _ setting: String) throws -> [String] {
            let injected = try Injected(
                SamplePod(
                    annotations: word.map { [Wish.proxyEnv.key: $0] } ?? [:],
                    spec: ["containers": [["name": "a"], ["name": "b"]]]),
                policy: try testPolicy(settings: "proxyEnv: \(setting)"))
            return injected.containers.filter { Injected.variables($0)["http_proxy"] != nil }.compactMap {
                $0["name"] as? String
            }
        }
        #expect(try names(nil, "no") == [])
        #expect(try names(nil, "yes") == ["a", "b"])
        #expect(try names("no", "yes") == [])
        #expect(try names("b", "no") == ["b"])
    }

    @Test("containers that came later get their variables, and nothing else changes")
    func late() throws {
        let policy = try testPolicy(settings: "proxyEnv: yes")
        var object = try Injected(SamplePod(), policy: policy).object
        var spec = object["spec"] as? [String: Any] ?? [:]
        spec["containers"] = (spec["containers"] as? [Any] ?? []) + [["name": "late"]]
        object["spec"] = spec
        let decision = policy.decide(try Pod(JSONDocument(SamplePod.bytes(object)).root), namespace: "shop")
        #expect(decision.reason == .lateContainers && decision.result == .skipped)
        #expect(decision.patch.operations.allSatisfy { $0.path.hasPrefix("/spec/containers/2/env") })
        let after = try StrictPatch.applied(decision.patch.json.bytes, to: object)
        let again = policy.decide(try Pod(JSONDocument(SamplePod.bytes(after)).root), namespace: "shop")
        #expect(again.reason == .alreadyInjected)
    }

    @Test("resources: the pod's wishes, and none of the template's beside limits of the whole pod")
    func resources() throws {
        func resources(_ annotations: [Wish: String], pod: [String: Any] = [:]) throws -> NSDictionary? {
            let sample = SamplePod(
                annotations: Dictionary(uniqueKeysWithValues: annotations.map { ($0.key.key, $0.value) }), spec: pod)
            return try Injected(sample).sidecar?["resources"] as? NSDictionary
        }
        #expect(
            try resources([:]) == ["requests": ["cpu": "50m", "memory": "64Mi"], "limits": ["memory": "256Mi"]])
        #expect(
            try resources([.cpu: "1", .memory: "128Mi", .cpuLimit: "2", .memoryLimit: "1Gi"])
                == ["requests": ["cpu": "1", "memory": "128Mi"], "limits": ["memory": "1Gi", "cpu": "2"]])
        // One that the pod does not name follows the one that it names.
        #expect(
            try resources([.memory: "1Gi"])
                == ["requests": ["cpu": "50m", "memory": "1Gi"], "limits": ["memory": "1Gi"]])
        #expect(
            try resources([.memoryLimit: "32Mi"])
                == ["requests": ["cpu": "50m", "memory": "32Mi"], "limits": ["memory": "32Mi"]])
        let shared: [String: Any] = ["resources": ["limits": ["memory": "64Mi"]]]
        #expect(try resources([:], pod: shared) == nil)
        #expect(try resources([.cpu: "10m"], pod: shared) == ["requests": ["cpu": "10m"]])
        #expect(try resources([:], pod: ["resources": ["limits": [:]]]) != nil)
    }

    @Test("the sidecar satisfies Pod Security restricted, and OpenShift chooses its user")
    func security() throws {
        let context = try #require(try Injected(SamplePod()).sidecar?["securityContext"] as? NSDictionary)
        #expect(
            context == [
                "allowPrivilegeEscalation": false, "capabilities": ["drop": ["ALL"]], "readOnlyRootFilesystem": true,
                "runAsGroup": 65532, "runAsNonRoot": true, "runAsUser": 65532,
                "seccompProfile": ["type": "RuntimeDefault"],
            ])
        let open = try Injected(SamplePod(), policy: try testPolicy(settings: "runAsUser: none"))
        let left = open.sidecar?["securityContext"] as? [String: Any]
        #expect(left?["runAsUser"] == nil && left?["runAsGroup"] == nil && left?["runAsNonRoot"] as? Bool == true)
    }

    static let golden: [(name: String, sample: @Sendable () -> SamplePod, settings: String, version: String?)] = [
        (
            "sc-native",
            {
                SamplePod(
                    annotations: [Wish.servicePorts.key: "rest:8080,grpc:9000"],
                    metadata: ["labels": ["app": "cart", "version": "1.2"]])
            }, "", "1.33"
        ),
        (
            "pilot-classic",
            {
                SamplePod(
                    annotations: [Wish.discoveryType.key: "pilot", Wish.proxyEnv.key: "yes"],
                    metadata: ["labels": ["app": "cart", "version": "v1"]])
            }, "", nil
        ),
    ]

    @Test("a patch is what it was", arguments: Self.golden.indices) func goldenPatch(_ index: Int) throws {
        let each = Self.golden[index]
        let decision = try Injected(
            each.sample(), policy: try testPolicy(settings: each.settings, version: each.version)
        ).decision
        let object = try JSONSerialization.jsonObject(with: Data(decision.patch.json.bytes))
        let text = try JSONSerialization.data(
            withJSONObject: object, options: [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes])
        let file = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Golden/\(each.name).json")
        if ProcessInfo.processInfo.environment["UPDATE_GOLDEN"] != nil { try (text + Data("\n".utf8)).write(to: file) }
        #expect(
            String(decoding: try Data(contentsOf: file), as: UTF8.self) == String(decoding: text, as: UTF8.self) + "\n")
    }
}
