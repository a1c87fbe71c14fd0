// SPDX-License-Identifier: Apache-2.0

import Common
import Testing

@testable import Injector

/// A manifest, and where its pod is.
struct ManifestCase: Sendable, CustomTestStringConvertible {
    let testDescription: String
    let text: String
    var path = ["spec", "template"]
}

/// Manifests whose pods get sidecars.
@Suite struct ManifestInjectionTests {
    static func inject(
        _ text: String, settings: String = "", version: String? = nil, namespace: String = ""
    ) throws -> ManifestInjection {
        try ManifestInjection(
            Array(text.utf8), source: "shop.yaml", policy: testPolicy(settings: settings, version: version),
            namespace: namespace)
    }

    static func text(_ injection: ManifestInjection) -> String { String(decoding: injection.text, as: UTF8.self) }

    static let deployment = """
        # The shop.
        apiVersion: apps/v1
        kind: Deployment
        metadata:
          name: web   # its name
          labels: &labels {app: web}
        spec:
          selector:
            matchLabels: *labels
          template:
            metadata:
              labels: *labels
              annotations:
                sidecar.mesher.io/inject: "yes"
                sidecar.mesher.io/servicePorts: rest:8080
                note: |
                  --- not a mark
                    yes
            spec:
              containers:
                # the shop itself
                - name: web
                  image: web:1
                  command:
                    - sh
                    - -c
                    - |
                      exec web
                  # env: none so far
              # at the end
              terminationGracePeriodSeconds: 30
              volumes:
                - name: data
                  emptyDir: {}

        """

    static let pod = "containers: [{name: web, image: 'web:1'}]"

    static let manifests: [ManifestCase] = [
        ManifestCase(testDescription: "comments, anchors, a block", text: Self.deployment),
        ManifestCase(
            testDescription: "no metadata, lists in the column of their key",
            text: """
                apiVersion: apps/v1
                kind: StatefulSet
                metadata:
                  name: web
                spec:
                  template:
                    spec:
                      containers:
                      - name: web
                        image: web:1
                      - image: log:1
                        name: log
                """),
        ManifestCase(
            testDescription: "a pod of one line",
            text: "{apiVersion: v1, kind: Pod, metadata: {name: web}, spec: {\(Self.pod)}}\n", path: []),
        ManifestCase(
            testDescription: "flow style inside of a block",
            text: """
                apiVersion: apps/v1
                kind: DaemonSet
                metadata: {name: web}
                spec:
                  template:
                    metadata: {annotations: {a: b}, labels: {}}
                    spec:
                      \(Self.pod)
                      volumes: []   # none
                      initContainers: ~
                """),
        ManifestCase(
            testDescription: "nothing behind the keys",
            text: """
                kind: ReplicaSet
                apiVersion: apps/v1
                metadata: {name: web}
                spec:
                  template:
                    metadata:
                      annotations:
                      labels:
                        # none yet
                      name: web
                    spec: &spec
                      containers: &containers
                        -   name: web
                            image: web:1
                      restartPolicy: Always
                """),
        ManifestCase(
            testDescription: "a replication controller in JSON",
            text: """
                {
                    "kind": "ReplicationController", "apiVersion": "v1", "metadata": {"name": "web"},
                    "spec": {"template": {"spec": {"containers": [{"name": "\\ud83d\\ude00", "n": 1.50}]}}}
                }
                """),
        ManifestCase(
            testDescription: "a cron job",
            text: """
                apiVersion: batch/v1
                kind: CronJob
                metadata: {name: web}
                spec:
                  jobTemplate:
                    spec:
                      template:
                        spec:
                          containers:
                            - {name: web, image: "web:1"}
                          initContainers:
                            # before all
                            - name: first
                              image: first:1
                          restartPolicy: Never
                """, path: ["spec", "jobTemplate", "spec", "template"]),
        ManifestCase(
            testDescription: "a job whose init containers are in one line",
            text: """
                apiVersion: batch/v1
                kind: Job
                metadata: {name: web}
                spec:
                  template:
                    spec:
                      restartPolicy: OnFailure
                      initContainers: [{name: first, image: "first:1"}]
                      containers:
                      - name: web
                        image: web:1
                        env:
                        - name: A
                          value: |-
                            text
                """),
        ManifestCase(
            testDescription: "a list",
            text: """
                apiVersion: v1
                kind: List
                items:
                - apiVersion: v1
                  kind: Service
                  metadata: {name: web}
                - apiVersion: apps/v1
                  kind: Deployment
                  metadata: {name: web}
                  spec:
                    template:
                      spec:
                        containers:
                        - name: web
                          image: web:1
                """, path: ["items", "1", "spec", "template"]),
    ]

    @Test(arguments: Self.manifests) func aPodGetsASidecarAndTheTextStays(_ example: ManifestCase) throws {
        let injection = try Self.inject(example.text, settings: "proxyEnv: yes")
        #expect(injection.notes == [])
        #expect(injection.reports.contains { $0.line.hasSuffix("\"web\" injected") })
        let text = Self.text(injection)
        let document = try JSONDocument(injection.json.bytes)
        let pod = try Pod(#require(document.root.value(at: example.path)))
        #expect((pod.containers + pod.initContainers).contains { $0.name == "sidecar-mesher" })
        #expect(pod.annotations["sidecar.mesher.io/status"] == "injected")
        #expect(pod.containers.first?.variables.contains("http_proxy") == true)
        // Each line is there still, in the same order, but for those that something was added to.
        if !injection.isJSON {
            var rest = text.split(separator: "\n", omittingEmptySubsequences: false)[...]
            for line in example.text.split(separator: "\n") where !line.contains("{") && !line.contains("*labels") {
                guard !line.hasSuffix("~"), !line.contains("[]") else { continue }
                let index = try #require(rest.firstIndex(of: line), "\(line) is not there, or in another place")
                rest = rest[(index + 1)...]
            }
        }
        // What was printed says what was meant, and a second time changes nothing.
        let again = try Self.inject(text, settings: "proxyEnv: yes")
        #expect(again.json.canonical == injection.json.canonical)
        #expect(Self.text(again) == text)
    }

    @Test func linesAreInsertedWhereTheyBelong() throws {
        let text = Self.text(try Self.inject(Self.deployment))
        #expect(text.contains("      labels:\n        <<: *labels\n        sidecar.mesher.io/injected: \"true\"\n"))
        #expect(
            text.contains(
                "        note: |\n          --- not a mark\n            yes\n        sidecar.mesher.io/status"))
        let comment = try #require(text.firstRange(of: "          # env: none so far\n"))
        #expect(
            text[comment.upperBound...].hasPrefix("        - name: sidecar-mesher\n          image: \"mesher:1\"\n"))
        #expect(text.contains("            - name: SERVICE_PORTS\n              value: \"rest:8080\"\n"))
        let volume = "        - name: mesher-conf\n          configMap:\n            name: mesher-configmap\n"
        #expect(text.hasSuffix("          emptyDir: {}\n\(volume)            optional: true\n"))
    }

    @Test func endsOfLinesAreThoseOfTheText() throws {
        let text = Self.deployment.replacing("\n", with: "\r\n")
        let result = Self.text(try Self.inject(text))
        #expect(result.contains("sidecar-mesher"))
        #expect(!result.replacing("\r\n", with: "").contains("\n"))
    }

    @Test func otherDocumentsStayOctetForOctet() throws {
        let service =
            "---\n# A service\napiVersion: v1\nkind: Service\nmetadata: {name:   web}\nspec: {ports: [ {port: 80} ]}\n"
        let end = "---\n# nothing\n---\napiVersion: shop.example/v1\nkind: Job\nmetadata: {name: other}   \n...\n"
        let text = "\u{feff}\(service)---\n\(Self.deployment)\(end)"
        let injection = try Self.inject(text)
        let result = Self.text(injection)
        #expect(result.unicodeScalars.first == "\u{feff}")
        #expect(result.dropFirst().hasPrefix(service) || result.contains(service))
        #expect(result.hasSuffix(end))
        #expect(
            injection.reports.map(\.line) == [
                "service \"web\" passed on", "deployment \"web\" injected", "job \"other\" passed on",
            ])
        #expect(injection.reports.map(\.document) == [1, 2, 3])
    }

    @Test func anAliasInThePlaceOfContainersIsWrittenOut() throws {
        let injection = try Self.inject(
            """
            # lost
            x: &containers [{name: web, image: "web:1"}]
            apiVersion: v1
            kind: Pod
            metadata: {name: web, annotations: {quoted: "yes"}}
            spec:
              containers: *containers
            """)
        #expect(injection.notes.count == 1)
        #expect(injection.notes.first?.hasPrefix("document 1 was written anew") == true)
        let text = Self.text(injection)
        #expect(text.contains("quoted: \"yes\"\n"))
        #expect(text.contains("- name: sidecar-mesher\n"))
        #expect(Self.text(try Self.inject(text)) == text)
    }

    @Test func anAnchorThatIsUsedElsewhereChangesNothingThere() throws {
        let injection = try Self.inject(
            """
            apiVersion: v1
            kind: Pod
            metadata:
              name: web
              labels: &labels
                app: web
            spec:
              containers: [{name: web, image: "web:1"}]
              nodeSelector: *labels
            """)
        let document = try JSONDocument(injection.json.bytes)
        #expect(document.root.value(at: ["spec", "nodeSelector"])?.members.map(\.name) == ["app"])
        let again = try Self.inject(Self.text(injection))
        #expect(again.json.canonical == injection.json.canonical)
    }

    @Test(arguments: [
        ("no", "skipped: sidecar.mesher.io/inject is \"no\"", 0),
        ("true", "skipped: sidecar.mesher.io/inject is \"true\"", 1),
        ("Y", "injected", 0),
    ]) func anAnnotationIsRespected(_ value: String, _ line: String, _ warnings: Int) throws {
        let text = """
            apiVersion: v1
            kind: Pod
            metadata: {name: web, annotations: {sidecar.mesher.io/inject: "\(value)"}}
            spec: {\(Self.pod)}
            """
        let injection = try Self.inject(text)
        #expect(injection.reports.first?.line == "pod \"web\" \(line)")
        #expect(injection.reports.first?.warnings.count == warnings)
        #expect((Self.text(injection) == text) == (value != "Y"))
    }

    @Test func annotationsOfAWorkloadAreMisplaced() throws {
        let injection = try Self.inject(
            """
            apiVersion: apps/v1
            kind: Deployment
            metadata: {name: web, namespace: kube-system, annotations: {sidecar.mesher.io/inject: "yes"}}
            spec: {template: {spec: {\(Self.pod)}}}
            """)
        #expect(injection.reports.first?.line == "deployment \"web\" skipped: its namespace gets no sidecars")
        #expect(
            injection.reports.first?.warnings.last == """
                sidecar.mesher.io/inject: nobody reads it here; write it in spec.template.metadata.annotations
                """)
    }

    @Test func nothingToInjectIsSaid() throws {
        let text = "apiVersion: v1\nkind: Service\nmetadata: {name: web}\n"
        let injection = try Self.inject(text)
        #expect(injection.notes == ["nothing to inject: 1 document, and no pod or workload among them"])
        #expect(Self.text(injection) == text)
        #expect(Self.text(try Self.inject("--- null\n---\n\(text)")) == "--- null\n---\n\(text)")
        #expect(try Self.inject("").notes == ["nothing to inject: 0 documents, and no pod or workload among them"])
    }

    @Test(arguments: [
        ("hello", "document 1: this is no object of Kubernetes"),
        ("a: 1", "document 1: kind or apiVersion is missing"),
        ("# c\n---\napiVersion: v1\nkind: Service\n---\na: [\n", "document 2: shop.yaml:6:4: "),
        (
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec: {}\n",
            "document 1: deployment \"web\": spec.template is missing"
        ),
        (
            "apiVersion: v1\nkind: Pod\nmetadata: {name: web, annotations: {sidecar.mesher.io/inject: yes}}\nspec: {}\n",
            "document 1: pod \"web\": metadata.annotations.sidecar.mesher.io/inject is no text; put it in quotes"
        ),
        (
            "apiVersion: v1\nkind: Pod\nmetadata: {name: web, annotations: {sidecar.mesher.io/servicePorts: rest}}\nspec: {}\n",
            "document 1: pod \"web\": sidecar.mesher.io/servicePorts: [rest] is invalid"
        ),
        ("apiVersion: v1\nkind: List\nitems: [{kind: Pod}]\n", "document 1: items[0]: kind or apiVersion is missing"),
    ]) func mistakesHaveTheNumberOfTheirDocument(_ text: String, _ message: String) throws {
        let failure = try #require(throws: ManifestInjection.Failure.self) { try Self.inject(text) }
        #expect(failure.mistakes.count == 1)
        #expect(failure.mistakes.first?.hasPrefix(message) == true, "\(failure.mistakes)")
    }

    @Test func severalDocumentsAreOneListOfJSON() throws {
        let list = "apiVersion: v1\nkind: List\nitems: [{apiVersion: v1, kind: ConfigMap}]\n"
        let injection = try Self.inject("\(Self.deployment)---\n\(list)")
        let document = try JSONDocument(injection.json.bytes)
        #expect(document.root["kind"]?.text == "List")
        #expect(document.root["items"]?.elements.map { $0["kind"]?.text } == ["Deployment", "ConfigMap"])
    }

    @Test func theCommandLineWinsOverTheTemplate() throws {
        let template = try testTemplate()
        #expect(template.with(discoveryType: nil, placement: .auto).digest == template.digest)
        let changed = template.with(discoveryType: .pilot, placement: .yes)
        #expect(changed.digest != template.digest)
        let injection = try ManifestInjection(
            Array(Self.deployment.utf8), source: "shop.yaml",
            policy: InjectionPolicy(changed, InjectionPolicy.Cluster(), build: "9.9"))
        let text = Self.text(injection)
        #expect(text.contains("      initContainers:\n        - name: sidecar-mesher\n"))
        #expect(text.contains("mesher-configmap-pilot"))
        #expect(text.contains("sidecar.mesher.io/injector: \"9.9/\(changed.digest)\""))
    }

    // MARK: The difference

    @Test func theDifferenceAppliesToWhatWas() throws {
        let injection = try Self.inject("apiVersion: v1\nkind: Service\n---\n\(Self.deployment)")
        let diff = UnifiedDiff.text(injection.parts.map { ($0.before, $0.after) }, name: "shop.yaml")
        #expect(diff.hasPrefix("--- shop.yaml\n+++ shop.yaml\n@@ -"))
        let removed = diff.split(separator: "\n").dropFirst(2).filter { $0.hasPrefix("-") }
        #expect(removed == ["-      labels: *labels"])
        #expect(diff.contains("+        - name: sidecar-mesher\n"))
        #expect(UnifiedDiff.text([(Array("a\n".utf8), Array("a\n".utf8))], name: "x") == "")
    }

    @Test func hunksHaveTheNumbersOfTheirLines() {
        let lines = (1...30).map { "\($0)\n" }
        var changed = lines
        changed[19] = "twenty\n"
        changed.insert("one\n", at: 0)
        changed[30] = "30"
        func bytes(_ lines: [String]) -> [UInt8] { Array(lines.joined().utf8) }
        #expect(
            UnifiedDiff.text([(bytes(lines), bytes(changed))], name: "x") == """
                --- x
                +++ x
                @@ -1,3 +1,4 @@
                +one
                 1
                 2
                 3
                @@ -17,7 +18,7 @@
                 17
                 18
                 19
                -20
                +twenty
                 21
                 22
                 23
                @@ -27,4 +28,4 @@
                 27
                 28
                 29
                -30
                +30
                \\ No newline at end of file

                """)
    }
}
