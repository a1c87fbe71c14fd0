// SPDX-License-Identifier: Apache-2.0

import Common
import FoundationEssentials
import Logging
package import TLS

/// Warns every hour of a certificate that ends within a week.
package actor ExpiryComponent: Component {
    private static let notice = Duration.seconds(7 * 24 * 3600)

    private let contexts: TLSContexts
    private let state: InjectorState

    /// Looks at the certificates of `contexts`.
    package init(_ contexts: TLSContexts, state: InjectorState) {
        self.contexts = contexts
        self.state = state
    }

    package func run() async throws {
        while true {
            for problem in self.contexts.expiring(within: Self.notice) {
                self.state.logger.warning(
                    "certificate ends soon", metadata: ["problem": "\(problem.problem)", "remedy": "\(problem.remedy)"])
            }
            try await Task.sleep(for: .seconds(3600))
        }
    }
}

/// Writes `ok` into a file again and again while the injector is ready, for probes that look at its age.
///
/// - Source: the original's health check.
package actor HealthFileComponent: Component {
    private let path: String
    private let interval: Duration
    private let state: InjectorState

    /// - Parameter path: The file, whose folder is there.
    package init(_ path: String, every interval: Duration, state: InjectorState) {
        self.path = path
        self.interval = interval
        self.state = state
    }

    package func run() async throws {
        while true {
            if self.state.readiness.missing.isEmpty {
                do {
                    try Data("ok".utf8).write(to: URL(filePath: self.path))
                } catch {
                    self.state.logger.warning("the health file cannot be written", metadata: ["file": "\(self.path)"])
                }
            }
            try await Task.sleep(for: self.interval)
        }
    }
}
