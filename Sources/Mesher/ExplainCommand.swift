// SPDX-License-Identifier: Apache-2.0

import AdminAPI
import ArgumentParser
import Common
import Egress
import FoundationEssentials
import RegistryBridge

/// `mesher explain`: what a sidecar would do with a request, and why.
struct ExplainCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "explain", abstract: "Say what a sidecar would do with a request, and why.",
        discussion: """
            Asks the running sidecar, which sends nothing and counts nothing:
            no turn, token or trial is used up. With --files the configuration
            alone is asked, as for a sidecar that has just started.
            Exits with 0 when the request would be forwarded, with 1 when mesher
            would answer it, or a share of such requests, itself, with 2 when
            nothing can be said.

            Examples:
              mesher explain GET http://cart/items
              mesher explain GET http://cart/ -H 'X-Env: canary' --from shop
              mesher explain POST cart/orders --files --json | jq .answer
            """)

    @Argument(help: ArgumentHelp("GET, POST ….", valueName: "method"), completion: Completions.methods)
    var method: String

    @Argument(help: ArgumentHelp("As a client of the sidecar writes it: http://service/path.", valueName: "url"))
    var url: String

    @Option(name: [.customShort("H"), .customLong("header")], help: "A header line, `name: value`; may be repeated.")
    var headers: [String] = []

    @Option(help: ArgumentHelp("The calling service, if not the sidecar's own.", valueName: "service"))
    var from: String?

    @Flag(help: "Go by the configuration files alone.")
    var files = false

    @Option(
        help: ArgumentHelp("Where the sidecar's admin API is, if not where the files say.", valueName: "host:port"),
        completion: Completions.admin)
    var admin: String?

    @Option(help: ArgumentHelp("Path of mesher.yaml.", valueName: "file"), completion: Completions.files)
    var config: String?

    @Flag(help: "Print one JSON document.")
    var json = false

    func run() async throws {
        let question = ExplainQuestion(method: self.method, url: self.url, headers: self.headers, from: self.from)
        let explanation: Explanation
        do {
            explanation = self.files ? try await self.explainFiles(question) : try await self.ask(question)
        } catch {
            Console.complain("mesher explain: \(error)\n")
            throw ExitCode(2)
        }
        if self.json {
            try Console.print(json: explanation)
        } else {
            print(ExplanationText(explanation).text)
        }
        guard !explanation.answer.isForwarded || explanation.answer.failingPercent != nil else { return }
        throw explanation.answer.status == nil ? ExitCode(2) : ExitCode.failure
    }

    private var loader: ConfigLoader {
        var arguments = ConfigLoader.Arguments()
        arguments.mesherFile = self.config
        return ConfigLoader(
            arguments: arguments, environment: ProcessInfo.processInfo.environment,
            executableDirectory: Executable.directory)
    }

    private func ask(_ question: ExplainQuestion) async throws -> Explanation {
        if let admin { return try await AdminClient.explain(question, at: admin) }
        guard let address = self.loader.examine().config.listeners.admin else {
            throw ValidationError(
                "the files name no admin listener (cse.protocols.rest-admin); write --admin host:port, or --files")
        }
        return try await AdminClient.explain(question, at: "\(address)")
    }

    private func explainFiles(_ question: ExplainQuestion) async throws -> Explanation {
        let loader = self.loader
        let result = loader.examine()
        if let problem = result.problems.first(where: { $0.severity == .error }) { throw problem }
        let config = result.config
        var parts: [ServiceDirectory] = []
        for kind in config.registry.kinds {
            let path = config.registry.path(in: loader.directory)
            parts.append(
                kind == .file
                    ? try await FileRegistry.directory(path, ownApp: config.identity.app)
                    : ServiceDirectory([], isSynced: false))
        }
        if parts.isEmpty { parts = [ServiceDirectory([], isSynced: true)] }
        return try Explainer(config, directory: .merging(parts, upon: nil)).explain(question)
    }
}
