// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Common

/// `mesher version`.
struct VersionCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "version", abstract: "Print the version, the commit and the time of the build.")

    func run() {
        let build = BuildInfo(executableDirectory: Executable.directory)
        print("mesher \(build.version)")
        if !build.commit.isEmpty { print("commit \(build.commit)") }
        if !build.built.isEmpty { print("built \(build.built)") }
    }
}
