// SPDX-License-Identifier: Apache-2.0

import Common
import Foundation
import Testing

@testable import Injector

/// A pod, and which rule decides about it.
struct RuleCase: Sendable, CustomTestStringConvertible {
    let testDescription: String
    let sample: @Sendable () -> SamplePod
    var namespace = "shop"
    let reason: Decision.Reason
    var warnings: [String] = []
}

/// Whether a pod gets a sidecar.
@Suite struct InjectionPolicyTests {
    static let pods: [RuleCase] = [
        RuleCase(testDescription: "no annotations", sample: { SamplePod(inject: nil) }, reason: .notAsked),
        RuleCase(
            testDescription: "annotations are null", sample: { SamplePod(metadata: ["annotations": NSNull()]) },
            reason: .notAsked),
        RuleCase(testDescription: "yes", sample: { SamplePod() }, reason: .asked),
        RuleCase(testDescription: "Y", sample: { SamplePod(inject: "Y") }, reason: .asked),
        RuleCase(testDescription: "no", sample: { SamplePod(inject: "no") }, reason: .notAsked),
        RuleCase(
            testDescription: "true is no yes", sample: { SamplePod(inject: "True") }, reason: .notAsked,
            warnings: ["sidecar.mesher.io/inject: \"true\" does not inject a sidecar; write yes"]),
        RuleCase(
            testDescription: "a slip in the key",
            sample: { SamplePod(annotations: ["sidecar.mesher.io/injct": "yes"], inject: nil) }, reason: .notAsked,
            warnings: ["sidecar.mesher.io/injct: nobody reads this annotation; did you mean sidecar.mesher.io/inject?"]),
        RuleCase(
            testDescription: "injected by hand, in any letter case",
            sample: { SamplePod(annotations: [Wish.status.key: "Injected"]) }, reason: .alreadyInjected),
        RuleCase(
            testDescription: "a container of the sidecar's name",
            sample: { SamplePod(spec: ["containers": [["name": "app"], ["name": "sidecar-mesher"]]]) },
            reason: .alreadyInjected),
        RuleCase(
            testDescription: "an init container of the sidecar's name",
            sample: { SamplePod(spec: ["initContainers": [["name": "sidecar-mesher"]]]) }, reason: .alreadyInjected),
        RuleCase(
            testDescription: "a namespace of the cluster", sample: { SamplePod() }, namespace: "kube-system",
            reason: .excludedNamespace,
            warnings: ["sidecar.mesher.io/inject: pods in namespace kube-system get no sidecar"]),
        RuleCase(
            testDescription: "the injector's own namespace", sample: { SamplePod() }, namespace: "servicecomb",
            reason: .excludedNamespace,
            warnings: ["sidecar.mesher.io/inject: pods in namespace servicecomb get no sidecar"]),
        RuleCase(
            testDescription: "the node's network", sample: { SamplePod(spec: ["hostNetwork": true]) },
            reason: .hostNetwork,
            warnings: [
                "sidecar.mesher.io/inject: no sidecar with hostNetwork: ports 30101 and 30102 would be the node's"
            ]),
        RuleCase(
            testDescription: "Windows", sample: { SamplePod(spec: ["os": ["name": "windows"]]) }, reason: .windows,
            warnings: ["sidecar.mesher.io/inject: no sidecar on Windows"]),
        RuleCase(
            testDescription: "the first rule that matches counts",
            sample: { SamplePod(annotations: [Wish.status.key: "injected"], spec: ["hostNetwork": true]) },
            namespace: "kube-system", reason: .alreadyInjected),
    ]

    @Test("rules", arguments: Self.pods) func rules(_ each: RuleCase) throws {
        let injected = try Injected(each.sample(), namespace: each.namespace)
        #expect(injected.decision.reason == each.reason)
        #expect(injected.decision.result == (each.reason == .asked ? .injected : .skipped))
        #expect(injected.decision.warnings == each.warnings)
        #expect(injected.decision.patch.operations.isEmpty == (each.reason != .asked))
    }

    @Test("rules have the numbers that the documentation lists")
    func numbers() {
        #expect(Decision.Reason.allCases.map(\.rule) == [1, 2, 3, 3, 4, 5, 6, 7, 7, 7, 7])
    }

    @Test("a command injects what does not object")
    func command() throws {
        #expect(try Injected(SamplePod(inject: nil), occasion: .command).decision.reason == .asked)
        #expect(try Injected(SamplePod(inject: "no"), occasion: .command).decision.reason == .notAsked)
    }

    static let invalid: [(String, String, String)] = [
        ("servicePorts", "rest", "[rest] is invalid; write protocol:port, such as rest:8080 or rest:8080,grpc:9000"),
        ("servicePorts", "rest:70000", "[rest:70000] is invalid; ports end at 65535"),
        ("servicePorts", "rest:0", ""), ("servicePorts", ",", "[,] is invalid"),
        ("discoveryType", "istio", "\"istio\" is no type of discovery; write sc or pilot"),
        ("nativeSidecar", "maybe", "\"maybe\" is neither yes nor no; write yes or no"),
        ("proxyEnv", "ap", "\"ap\" is neither yes nor no, nor a container of the pod"),
        ("cpu", "much", "\"much\" is no quantity above zero; write one such as 100m"),
        ("memory", "-1Mi", "\"-1Mi\" is no quantity above zero; write one such as 64Mi"),
        ("imagePullPolicy", "Often", "\"Often\" is no policy"), ("configMap", "Not_One", "\"Not_One\" is no name"),
        ("serviceName", "a b", "\"a b\" is no name of a service"), ("image", "a b", "\"a b\" is no name of an image"),
        ("logLevel", "LOUD", "\"LOUD\" is no level; write one of DEBUG, INFO, WARN, ERROR, FATAL"),
        ("noProxy", "a b", "\"a b\" is no host"),
        ("noProxy", String(repeating: "a,", count: 2_049), "it is longer than 4096 bytes; shorten it"),
    ]

    @Test("a value that makes no sense is refused, with the whole key", arguments: Self.invalid)
    func mistakes(_ name: String, _ value: String, _ problem: String) throws {
        let sample = SamplePod(annotations: ["sidecar.mesher.io/\(name)": value])
        let injected = try Injected(sample)
        #expect(injected.decision.result == .denied && injected.decision.reason == .invalidAnnotation)
        #expect(injected.decision.message.hasPrefix("sidecar.mesher.io/\(name): \(problem)"))
        #expect(injected.decision.patch.operations.isEmpty)
        let lenient = try Injected(sample, policy: try testPolicy(settings: "onInvalidAnnotation: warn"))
        #expect(lenient.decision.result == .injected)
        #expect(lenient.decision.warnings.first == "\(injected.decision.message) (ignored)")
    }

    @Test("a limit below the request is refused, and so is an image where pods may not choose it")
    func more() throws {
        let limits = SamplePod(annotations: [Wish.memory.key: "1Gi", Wish.memoryLimit.key: "512Mi"])
        #expect(try Injected(limits).decision.message.hasPrefix("sidecar.mesher.io/memoryLimit: the limit is below"))
        let image = SamplePod(annotations: [Wish.image.key: "evil:1"])
        let policy = try testPolicy(settings: "allowImageOverride: no")
        #expect(try Injected(image, policy: policy).decision.result == .denied)
        #expect(try Injected(image).sidecar?["image"] as? String == "evil:1")
    }

    @Test("what would be added is bounded, whoever asks for it")
    func bounded() throws {
        func sample(_ count: Int) -> SamplePod {
            let hosts = [Wish.noProxy.key: String(repeating: "a", count: 4_000), Wish.proxyEnv.key: "yes"]
            return SamplePod(
                annotations: hosts, spec: ["containers": (0..<count).map { ["name": "c\($0)", "image": "app:1"] }])
        }
        #expect(try Injected(sample(20)).decision.result == .injected)
        let decision = try Injected(sample(40)).decision
        #expect(decision.result == .denied && decision.reason == .patchTooLong && decision.patch.operations.isEmpty)
        #expect(decision.message.hasPrefix("more than 262144 bytes would be added to this pod"))
    }

    @Test("a mistake in an annotation of a pod that is left alone denies nothing")
    func leftAlone() throws {
        let ports = [Wish.servicePorts.key: "rest"]
        #expect(try Injected(SamplePod(annotations: ports, inject: "no")).decision.result == .skipped)
        #expect(try Injected(SamplePod(annotations: ports), namespace: "kube-system").decision.result == .skipped)
        let done = ports.merging([Wish.status.key: "injected"]) { $1 }
        #expect(try Injected(SamplePod(annotations: done)).decision.reason == .alreadyInjected)
    }

    @Test("whoever makes the pod is told of unknown annotations and of ports that are taken")
    func warnings() throws {
        let sample = SamplePod(
            annotations: ["sidecar.mesher.io/serviceports": "rest:1", "sidecar.mesher.io/colour": "red"],
            spec: ["containers": [["name": "app", "ports": [["containerPort": 30101], ["containerPort": 8080]]]]])
        #expect(
            try Injected(sample).decision.warnings == [
                "sidecar.mesher.io/colour: nobody reads this annotation",
                "sidecar.mesher.io/serviceports: nobody reads this annotation; did you mean sidecar.mesher.io/servicePorts?",
                "container app declares port 30101, which the sidecar takes",
            ])
    }

    @Test("what is no pod is said so, with the path")
    func malformed() {
        let objects: [([String: Any], String)] = [
            (["metadata": [:]], "spec is missing"), (["spec": []], "spec is no map"),
            (["spec": [:], "metadata": ["annotations": ["a": 1]]], "metadata.annotations.a is no text"),
            (["spec": ["containers": ["a"]]], "spec.containers is no list of maps"),
            (["spec": ["initContainers": [["env": [:]]]]], "spec.initContainers[0].env is no list of maps"),
            (["spec": ["volumes": [:]]], "spec.volumes is no list of maps"),
        ]
        for (object, problem) in objects {
            #expect(throws: Pod.Malformed(problem: problem)) {
                try Pod(JSONDocument(SamplePod.bytes(object)).root)
            }
        }
    }
}
