// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Common
import FoundationEssentials
import Injector

extension Wishes.DiscoveryType: ExpressibleByArgument {}
extension InjectorSettings.Placement: ExpressibleByArgument {}

/// `mesher inject`: gives the pods of a manifest their sidecars, without a cluster.
struct InjectCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "inject", abstract: "Give the pods of a Kubernetes manifest their sidecars.",
        discussion: """
            Reads pods and workloads, as YAML or JSON, and prints them with sidecars;
            everything else passes as it is. Lines are inserted, so that comments and
            order stay. A pod gets a sidecar unless sidecar.mesher.io/inject in its
            template says otherwise; one that has a sidecar is left alone. What
            becomes of each object is said on standard error.

            Exits with 1, and prints nothing, when there is an error; with 64 when
            the command line is wrong.

            Examples:
              mesher inject -f shop.yaml | kubectl apply -f -
              mesher inject -f shop.yaml --diff
              kubectl get deployment -o yaml | mesher inject | kubectl apply -f -
              mesher inject -f shop.yaml --discovery-type pilot --native yes
              mesher inject -f shop.yaml --image registry.example.org/mesher:0.1.0
              mesher inject -f shop.yaml --report --json | jq '.[].result'
            """)

    @Option(
        name: [.customShort("f"), .customLong("file")],
        help: ArgumentHelp("The manifest; - for standard input.", valueName: "file"), completion: Completions.manifests)
    var file: String?

    @Option(
        name: [.customShort("o"), .customLong("output")],
        help: ArgumentHelp("Write there; default: standard output.", valueName: "file"),
        completion: Completions.manifests)
    var output: String?

    @Option(
        help: ArgumentHelp("The template of sidecars; default: a built-in one.", valueName: "file"),
        completion: Completions.files)
    var template: String?

    @Option(help: ArgumentHelp("The sidecar's image in the built-in template.", valueName: "image"))
    var image: String?

    @Option(
        name: .customLong("discovery-type"),
        help: ArgumentHelp("Of pods that do not say: sc or pilot; default: the template's.", valueName: "type"))
    var discoveryType: Wishes.DiscoveryType?

    @Option(
        help: ArgumentHelp(
            "Init containers that go on: yes, no, or auto, for jobs only; default: the template's.",
            valueName: "when"))
    var native: InjectorSettings.Placement?

    @Option(help: ArgumentHelp("The namespace of objects that do not say.", valueName: "name"))
    var namespace = ""

    @Flag(help: "Print JSON; several documents as one list.")
    var json = false

    @Flag(help: "Print what is changed, as diff -u does, in place of the manifest.")
    var diff = false

    @Flag(help: "Print what becomes of each object, in place of the manifest.")
    var report = false

    func validate() throws {
        if self.diff, self.json || self.report {
            throw ValidationError("--diff stands alone, without --json and --report")
        }
        if self.template != nil, self.image != nil {
            throw ValidationError("--image is for the built-in template; write the image into \(self.template ?? "")")
        }
    }

    func run() throws {
        let policy = InjectionPolicy(try self.sidecars(), InjectionPolicy.Cluster())
        let file = try ManifestFile(self.file)
        let injection: ManifestInjection
        do throws(ManifestInjection.Failure) {
            injection = try ManifestInjection(
                file.bytes, source: file.name, policy: policy, namespace: self.namespace)
        } catch {
            let count = error.mistakes.count
            throw Exit.because(
                "nothing was written: \(count == 1 ? "one error" : "\(count) errors")", after: error.mistakes)
        }
        var lines: [String] = []
        for report in injection.reports {
            if !self.report { lines.append(report.line) }
            lines += report.warnings.map { "warning: document \(report.document): \($0)" }
        }
        lines += injection.notes.map { "note: \($0)" }
        if !lines.isEmpty { Console.complain(lines.joined(separator: "\n") + "\n") }
        try self.write(try self.text(injection, name: file.name))
    }

    /// What is printed.
    private func text(_ injection: ManifestInjection, name: String) throws -> String {
        if self.report {
            guard self.json else { return injection.reports.map { "\($0.line)\n" }.joined() }
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
            return String(decoding: try encoder.encode(injection.reports.map(InjectReport.init)), as: UTF8.self) + "\n"
        }
        if self.diff {
            return UnifiedDiff.text(injection.parts.map { ($0.before, $0.after) }, name: name)
        }
        if self.json, !injection.isJSON { return injection.json.pretty(indentation: "    ") + "\n" }
        return String(decoding: injection.text, as: UTF8.self)
    }

    private func write(_ text: String) throws {
        guard let output = self.output, output != "-" else {
            Console.write(text)
            return
        }
        do {
            try Data(text.utf8).write(to: URL(fileURLWithPath: output))
        } catch {
            throw Exit.because("\(output) cannot be written")
        }
    }

    /// The template, with what the command line says of it.
    private func sidecars() throws -> SidecarTemplate {
        var yaml = Array(BuiltInTemplate.yaml(image: self.image ?? "mesher:\(BuildInfo.sourceVersion)").utf8)
        if let path = self.template {
            guard let data = try? Data(contentsOf: URL(fileURLWithPath: path)) else {
                throw Exit.because("--template: \(path) cannot be read")
            }
            yaml = Array(data)
        }
        var problems: [ConfigProblem] = []
        do throws(MesherError) {
            let template = try SidecarTemplate(
                yaml: yaml, source: self.template ?? "the built-in template", problems: &problems)
            for problem in problems { Console.complain("\(problem)\n") }
            return template.with(discoveryType: self.discoveryType, placement: self.native)
        } catch {
            guard case .configuration(let mistakes) = error else { throw error }
            throw Exit.because("the template has errors", after: mistakes.map(\.description))
        }
    }
}

/// An object in the document of `mesher inject --report --json`.
private struct InjectReport: Encodable {
    let document: Int
    let kind: String
    let name: String
    /// `injected`, `skipped`, or `passed` for an object without pods.
    let result: String
    /// The name of the rule, and its number; `nil` for an object without pods.
    let reason: String?
    let rule: Int?
    let warnings: [String]

    init(_ report: ManifestInjection.Report) {
        self.document = report.document
        self.kind = report.kind
        self.name = report.name
        self.result = report.decision?.result.rawValue ?? "passed"
        self.reason = report.decision?.reason.rawValue
        self.rule = report.decision?.reason.rule
        self.warnings = report.warnings
    }
}
