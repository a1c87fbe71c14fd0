// SPDX-License-Identifier: Apache-2.0

import Common
import Foundation
import Testing

@testable import Injector

/// What a template may say.
@Suite struct SidecarTemplateTests {
    private func problems(_ yaml: String) -> [String] {
        var problems: [ConfigProblem] = []
        do {
            _ = try SidecarTemplate(yaml: Array(yaml.utf8), source: "t.yaml", problems: &problems)
        } catch MesherError.configuration(let mistakes) {
            problems += mistakes
        } catch {
            Issue.record(error)
        }
        return problems.map(\.description)
    }

    @Test("an old file is read as it stands")
    func old() throws {
        let template = try testTemplate(
            """
            containers:
            - name: sidecar-mesher
              image: gomesh/mesher:latest
              imagePullPolicy: Always
              ports: [{containerPort: 30101, name: http, protocol: TCP}]
              volumeMounts: [{mountPath: /tmp, name: mesher-conf}]
            volumes:
            - name: mesher-conf
              configMap: {name: mesher-configmap}
            imagePullSecrets: [registry]

            """)
        #expect(template.sidecar["image"]?.text == "gomesh/mesher:latest" && template.pullSecrets == ["registry"])
        // As `sha256sum` has it.
        #expect(template.digest == "852d38b871c4")
    }

    static let words: [(String, String)] = [
        ("yes", "true"), ("\"yes\"", "\"yes\""), ("'8080'", "\"8080\""), ("8080", "8080"), ("Off", "false"),
        ("0644", "420"), ("0x1f", "31"), ("1.5", "1.5"), ("1.50e1", "1.50e1"), ("~", "null"), ("Null", "null"),
        ("50m", "\"50m\""),
        ("1.2.3", "\"1.2.3\""), ("yEs", "\"yEs\""), ("!!str 1", "\"1\""), ("[1, a]", "[1,\"a\"]"),
        ("{b: -2}", "{\"b\":-2}"),
        ("&x 7", "7"), (".5", "0.5"), ("2024-01-01", "\"2024-01-01\""), ("-", "[null]"),
    ]

    @Test("plain words mean what they mean to kubectl", arguments: Self.words)
    func scalar(_ yaml: String, _ json: String) throws {
        var quoted: Set<ConfigLocation> = []
        let tree = try ConfigTree(
            yaml: Array("key: \(yaml == "-" ? "\n  -" : yaml)\n".utf8), source: "", quoted: &quoted)
        #expect(String(decoding: OrderedJSON(tree, quoted: quoted).bytes, as: UTF8.self) == "{\"key\":\(json)}")
    }

    @Test("every mistake is told, with its place")
    func mistakes() {
        #expect(problems("[]") == ["t.yaml:1:1: this is no map of keys; write key: value"])
        #expect(
            problems("containers: []") == ["t.yaml:1:13: containers: none is called sidecar-mesher; write one that is"])
        #expect(
            problems("containers: [{name: sidecar-mesher, image: m, volumeMounts: [{name: x}]}]")
                == ["t.yaml:1:62: containers.volumeMounts: there is no volume x; write it below volumes"])
        #expect(
            problems("containers: [{name: sidecar-mesher}]")
                == ["t.yaml:1:14: containers.image: there is no image; write image: …"])
        #expect(
            problems("containers: [{name: A}, {name: a}, {name: a}]") == [
                "t.yaml:1:14: containers: there is no name of small letters, digits and -; write name: …",
                "t.yaml:1:36: containers: the name a stands here twice; keep one of them",
            ])
        #expect(
            problems("settings: {nativeSidecar: maybe, sc: {address: ''}, onInvalidAnnotation: x, runAsUser: 0}").count
                == 4)
    }

    @Test("a slip is warned of")
    func warnings() throws {
        #expect(
            problems(
                "contaners: []\ncontainers: [{name: sidecar-mesher, image: m, imagePullPolice: Always}]\nsettings: {noproxy: x}"
            ) == [
                "t.yaml:1:1: warning: contaners: unknown key; did you mean containers?",
                "t.yaml:3:21: warning: settings.noproxy: unknown key; did you mean noProxy?",
                "t.yaml:2:47: warning: containers.imagePullPolice: unknown key; did you mean imagePullPolicy?",
            ])
    }

    @Test("settings")
    func settings() throws {
        let settings = try testTemplate(
            settings: """
                defaultDiscoveryType: pilot, nativeSidecar: yes, proxyEnv: on, noProxy: "a, b", pilot.type: istio, \
                onInvalidAnnotation: warn, allowImageOverride: false, extraExcludedNamespaces: [x, y], \
                prometheusAnnotations: yes, runAsUser: 1000
                """
        ).settings
        #expect(settings.discoveryType == .pilot && settings.placement == .yes && settings.setsProxy)
        #expect(settings.noProxy == ["a", "b"] && !settings.deniesMistakes && !settings.allowsImage)
        #expect(settings.excluded == ["x", "y"] && settings.annotatesPrometheus && settings.user == .number(1000))
        let injected = try Injected(
            SamplePod(), policy: try testPolicy(settings: "prometheusAnnotations: yes, runAsUser: 1000"))
        #expect(injected.annotations["prometheus.io/port"] == "30102")
        #expect((injected.sidecar?["securityContext"] as? [String: Any])?["runAsUser"] as? Int == 1000)
        let own = try Injected(
            SamplePod(annotations: ["prometheus.io/scrape": "false"]),
            policy: try testPolicy(settings: "prometheusAnnotations: yes"))
        #expect(own.annotations["prometheus.io/port"] == nil)
    }
}
