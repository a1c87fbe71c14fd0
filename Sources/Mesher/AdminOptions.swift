// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Common
import FoundationEssentials

/// Which running sidecar a command asks, for commands that may show it the token.
struct AdminOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "Where the sidecar's admin API is, if not where the files say, or at 127.0.0.1:30102.",
            valueName: "host:port"), completion: Completions.admin)
    var admin: String?

    @Option(help: ArgumentHelp("Path of mesher.yaml.", valueName: "file"), completion: Completions.files)
    var config: String?

    /// Where the admin API is, and the token that the files have for it; empty where they have none.
    var place: (address: String, token: String) {
        var arguments = ConfigLoader.Arguments()
        arguments.mesherFile = self.config
        let config = ConfigLoader(
            arguments: arguments, environment: ProcessInfo.processInfo.environment,
            executableDirectory: Executable.directory
        ).examine().config
        return (self.admin ?? config.listeners.admin.map { "\($0)" } ?? "127.0.0.1:30102", config.admin.token)
    }
}
