// SPDX-License-Identifier: Apache-2.0

import ArgumentParser

/// `mesher quickstart`.
struct QuickstartCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "quickstart", abstract: "A sidecar and a demo service, so that the first curl works.")

    func run() async throws {}
}
