// SPDX-License-Identifier: Apache-2.0

import Common
import Testing

@testable import Injector

/// What is told of annotations in manifests.
@Suite struct ManifestCheckTests {
    static func problems(_ text: String) -> [String] {
        ManifestCheck(Array(text.utf8), source: "shop.yaml").problems.map(\.description)
    }

    /// A deployment with annotations in its template, from line 7 on.
    static func deployment(_ annotations: String) -> String {
        """
        apiVersion: apps/v1
        kind: Deployment
        metadata: {name: web}
        spec:
          template:
            metadata: {annotations: {
              \(annotations)
            }}
            spec: {containers: [{name: web}]}

        """
    }

    @Test(arguments: [
        ("rest:9999", nil), ("rest:8080,grpc:9000", nil), ("grps:9000", nil), ("rest-admin:8080", nil),
        ("http:8080", nil), ("REST:8080, rest-admin:8081", nil),
        ("rest", "[rest] is invalid; write protocol:port, such as rest:8080 or rest:8080,grpc:9000"),
        ("8080", "[8080] is invalid; write rest:8080"), ("rest:70000", "[rest:70000] is invalid; ports end at 65535"),
    ]) func spellingsOfServicePorts(_ value: String, _ problem: String?) {
        let found = Self.problems(
            Self.deployment("sidecar.mesher.io/inject: \"yes\", sidecar.mesher.io/servicePorts: \"\(value)\""))
        #expect(found == (problem.map { ["shop.yaml:7:40: sidecar.mesher.io/servicePorts: \($0)"] } ?? []))
    }

    @Test(arguments: [
        ("sidecar.mesher.io/inject: yes", "this is no text, and the API server refuses it; put it in quotes"),
        ("sidecar.mesher.io/inject: \"true\"", "\"true\" does not inject a sidecar; write \"yes\""),
        ("sidecar.mesher.io/inject: \"no\"", ""), ("sidecar.mesher.io/inject: \"Y\"", ""),
        (
            "sidecar.mesher.io/cpu: lots, sidecar.mesher.io/inject: \"y\"",
            "\"lots\" is no quantity above zero; write one such as 100m"
        ),
        (
            "sidecar.mesher.io/serviceports: \"rest:80\"",
            "unknown key; did you mean sidecar.mesher.io/servicePorts?"
        ),
        ("sidecars.mesher.io/inject: \"yes\"", "unknown key; did you mean sidecar.mesher.io/inject?"),
        ("sidecar.mesher.io/other: \"x\"", "unknown key; remove it"),
        ("prometheus.io/scrape: \"true\"", ""),
        (
            "sidecar.mesher.io/serviceName: shop",
            "the injector leaves a pod without sidecar.mesher.io/inject alone; write sidecar.mesher.io/inject: \"yes\", unless mesher inject is for it"
        ),
    ]) func valuesAndNames(_ annotations: String, _ problem: String) throws {
        let found = Self.problems(Self.deployment(annotations))
        guard !problem.isEmpty else {
            #expect(found == [])
            return
        }
        #expect(found.count == 1)
        let line = try #require(found.first)
        #expect(line.hasPrefix("shop.yaml:7:7: "))
        #expect(line.hasSuffix(": \(problem)"))
    }

    @Test func annotationsOnTheWrongObject() {
        let text = """
            apiVersion: v1
            kind: Namespace
            metadata:
              name: shop
              annotations: {sidecar-injector: enabled}
              labels: {sidecar-injector: "yes"}
            ---
            apiVersion: v1
            kind: List
            items:
            - apiVersion: batch/v1
              kind: CronJob
              metadata:
                annotations:
                  sidecar.mesher.io/inject: "yes"
              spec: {jobTemplate: {spec: {template: {metadata: {labels: {
                sidecar.mesher.io/inject: "yes"
              }}, spec: {containers: [{name: web}]}}}}}
            - apiVersion: v1
              kind: Service
              metadata: {annotations: {
                sidecar.mesher.io/servicePorts: "rest:80"
              }}
            """
        #expect(
            Self.problems(text) == [
                "shop.yaml:5:17: sidecar-injector: this is a label, and no annotation; write it in metadata.labels",
                "shop.yaml:6:12: warning: sidecar-injector: pods here get no sidecar with \"yes\"; write enabled",
                "shop.yaml:15:7: sidecar.mesher.io/inject: nobody reads this on a CronJob; write it in spec.jobTemplate.spec.template.metadata.annotations",
                "shop.yaml:17:5: sidecar.mesher.io/inject: this is an annotation, and no label; write it in metadata.annotations",
                "shop.yaml:22:5: sidecar.mesher.io/servicePorts: nobody reads this on a Service; write it in the annotations of a pod",
            ])
    }

    @Test func whatIsNoManifest() {
        #expect(Self.problems("# c\n--- null\n") == [])
        #expect(
            Self.problems("a: 1\n") == ["shop.yaml:1:1: this is no object of Kubernetes; write apiVersion: and kind:"])
        #expect(
            Self.problems("---\n# c\n---\nkind: Pod\napiVersion: v1\nspec: {}\n---\na: {\n").map { $0.prefix(13) } == [
                "shop.yaml:8:4"
            ])
        #expect(
            Self.problems("kind: Job\napiVersion: batch/v1\n") == [
                "shop.yaml:1:1: spec.template: the pod is missing; write its template"
            ])
    }
}
