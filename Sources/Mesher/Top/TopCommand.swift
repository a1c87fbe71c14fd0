// SPDX-License-Identifier: Apache-2.0

import AdminAPI
import ArgumentParser
import Common
import Dispatch
import FoundationEssentials
import Glibc

/// `mesher top`: the traffic of a running sidecar, in a terminal.
struct TopCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "top", abstract: "Show the traffic of a running sidecar, live.",
        discussion: """
            Rates, errors and latency of each called service and of each caller, with
            ejected instances and open breakers. Asks the sidecar's admin API.

            Examples:
              mesher top
              mesher top --admin 127.0.0.1:30102 --interval 2
              mesher top --once --json | jq '.services[] | {name, requestRate, p99}'

            Keys: s sorts by the next column, / filters by name, Esc shows all
            again, p pauses, ? lists the keys, q ends.
            """)

    @Option(help: ArgumentHelp("The sidecar's admin listener.", valueName: "host:port"), completion: Completions.admin)
    var admin = "127.0.0.1:30102"

    @Option(help: ArgumentHelp("Seconds between two looks.", valueName: "seconds"))
    var interval = 1.0

    @Flag(help: "Look once, print, and end.")
    var once = false

    @Flag(help: "Print the document as JSON; each look is a line, unless --once is given.")
    var json = false

    func validate() throws {
        guard self.interval >= 0.1, self.interval <= 3600 else {
            throw ValidationError("--interval must be 0.1 to 3600 seconds.")
        }
    }

    func run() async throws {
        let isTerminal = isatty(STDOUT_FILENO) == 1
        let session = isTerminal && !self.json && !self.once ? TopSession(self.admin) : nil
        let sources = session?.begin() ?? []
        defer {
            session?.end()
            sources.forEach { $0.cancel() }
        }
        while true {
            do {
                let document = try await AdminClient.traffic(at: self.admin)
                if let session {
                    session.show(document)
                } else {
                    Console.write(
                        self.json
                            ? try self.json(document) : TopScreen(document, self.admin).text(isTerminal: isTerminal))
                }
            } catch let failure as AdminClient.Failure {
                guard let session else { throw Exit.because(failure.description) }
                session.show(failure)
            }
            if self.once { return }
            try await Task.sleep(for: .seconds(self.interval))
        }
    }

    private func json(_ document: TrafficDocument) throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        if self.once { encoder.outputFormatting.insert(.prettyPrinted) }
        return String(decoding: try encoder.encode(document), as: UTF8.self) + "\n"
    }
}
