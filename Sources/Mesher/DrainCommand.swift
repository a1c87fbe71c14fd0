// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Common
import Glibc

/// `mesher drain`: takes a running sidecar out of service, before it is stopped.
struct DrainCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "drain", abstract: "Take a running sidecar out of service, before it is stopped.",
        discussion: """
            Its instance leaves the registry and /readyz is 503, so others learn to
            go elsewhere; whoever still comes is served. The local application can
            call others as before. The sidecar goes on until TERM, which then does
            not wait for others to learn of it again. There is no way back.
            Sends USR1 to the sidecar that this user runs with this binary; no token
            is needed. Returns at once.

            Examples:
              mesher drain
              mesher drain --pid 4711
            """)

    @Option(help: ArgumentHelp("The sidecar, where several run.", valueName: "number"))
    var pid: Int32?

    func validate() throws {
        if let pid, pid < 1 { throw ValidationError("--pid is the number of a process, 1 or more.") }
    }

    func run() throws {
        do throws(SidecarProcess.Failure) {
            let process = if let pid { try SidecarProcess.named(pid) } else { try SidecarProcess.only() }
            try process.leave()
            print("process \(process.id) is being taken out of service")
        } catch {
            throw Exit.because("\(error)")
        }
    }
}
