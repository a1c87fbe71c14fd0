// SPDX-License-Identifier: Apache-2.0

import FoundationEssentials
package import Logging

/// Follows the configuration files while the process runs, and tells the components of what may change live.
///
/// Files are taken or refused as a whole: with one mistake in any of them everything stays as it was. The settings of a
/// configuration server come from elsewhere, and each is taken or refused for itself.
package actor ConfigComponent: Component {
    private let loader: ConfigLoader
    private let state: ConfigState
    private let inbox: Mailbox<ConfigMessage>
    private let receivers: [@Sendable (MesherConfig) -> Void]
    private let logger: Logger
    private var watchers: [String: FileWatcher] = [:]
    private var paths: [String] = []
    private var waitingForRestart: [String] = []
    private var refused: Set<String> = []

    /// How many keys one line of the log names.
    private static let namesInLog = 20
    /// How soon a changed file is seen.
    private static let interval = Duration.milliseconds(250)
    /// How long a file that has changed must be left alone before it is read: whoever writes it may not be done.
    private static let settling = Duration.milliseconds(100)

    /// A component that reads with `loader`, keeps what holds in `state`, and tells `receivers` of changes.
    package init(
        loader: ConfigLoader, state: ConfigState, inbox: Mailbox<ConfigMessage>,
        receivers: [@Sendable (MesherConfig) -> Void], logger: Logger
    ) {
        self.loader = loader
        self.state = state
        self.inbox = inbox
        self.receivers = receivers
        self.logger = logger
    }

    package func run() async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await self.watchFiles() }
            group.addTask { await self.readInbox() }
            try await group.next()
            group.cancelAll()
        }
    }

    private func readInbox() async {
        while let message = await self.inbox.receive() {
            switch message {
            case .reloadRequested:
                self.logger.notice("reading the configuration again")
                self.reload()
            case .remoteChanged(let settings): self.take(settings)
            }
        }
    }

    private func watchFiles() async throws {
        while true {
            // The first look finds all files changed. If nothing is, since the process began or since this component
            // failed, the comparison shows it.
            if self.hasChangedFile() {
                for _ in 0..<5 {
                    try await Task.sleep(for: Self.settling)
                    guard self.hasChangedFile() else { break }
                }
                let isNew = self.loader.examine().store.plain != self.state.current.store.local.plain
                if isNew || !self.state.isLastSuccessful { self.reload() }
            }
            try await Task.sleep(for: Self.interval)
        }
    }

    private func hasChangedFile() -> Bool {
        let paths = self.loader.files.map(\.path)
        // A file that has gone gives way to one elsewhere, which may have been seen before and be the same as then.
        var hasChanged = paths != self.paths
        self.paths = paths
        for path in paths {
            var watcher = self.watchers[path] ?? FileWatcher(path)
            if watcher.look() != .unchanged { hasChanged = true }
            self.watchers[path] = watcher
        }
        return hasChanged
    }

    private func reload() {
        let held = self.state.current.store.remote
        let result = self.loader.examine(remote: self.state.remote, upon: held)
        guard !result.hasErrors else {
            self.state.fail()
            self.logger.warning("the new configuration is refused, the old one stays")
            for problem in result.problems where problem.severity == .error {
                self.logger.warning("error in the configuration", metadata: ["problem": "\(problem)"])
            }
            return
        }
        self.report(result)
        self.state.succeed(with: result, now: Date().timeIntervalSince1970)
        self.publish(result)
        self.logger.notice("configuration read again")
        self.reportRestartKeys(result.store.local)
    }

    /// Takes what the configuration server says, over the files as they were read last: those on disk may be broken.
    private func take(_ settings: ConfigSource) {
        self.state.remote = settings
        let current = self.state.current.store
        let result = self.loader.examine(remote: settings, upon: current.remote, local: current.local)
        self.report(result)
        let changed = result.store.remote.keysThatDiffer(from: current.remote)
        self.state.adopt(result)
        guard !changed.isEmpty else { return }
        self.publish(result)
        self.logger.notice(
            "settings of the configuration server have changed", metadata: ["keys": "\(Self.listed(changed))"])
    }

    private static func listed(_ keys: [String]) -> String {
        let others = keys.count - Self.namesInLog
        return keys.prefix(Self.namesInLog).joined(separator: ", ") + (others > 0 ? " and \(others) more" : "")
    }

    private func publish(_ result: ConfigLoader.Result) {
        let config = self.state.started.config.adopting(result.config)
        for receiver in self.receivers { receiver(config) }
    }

    /// Logs what was not there before.
    private func report(_ result: ConfigLoader.Result) {
        let known = Set(self.state.current.problems.map(\.description))
        result.problems.filter { !known.contains($0.description) }.forEach(self.logger.report)
        for problem in result.refused where !self.refused.contains(problem.description) {
            self.logger.warning(
                "a setting of the configuration server is refused, what its key had before stays",
                metadata: ["key": "\(problem.key)", "problem": "\(problem)"])
        }
        self.refused = Set(result.refused.map(\.description))
    }

    /// Names the keys whose new values wait for a restart.
    private func reportRestartKeys(_ store: ConfigStore) {
        let keys = store.keysThatDiffer(from: self.state.started.store.local)
            .filter { ConfigCatalogue.needsRestart($0) }
        if keys != self.waitingForRestart, !keys.isEmpty {
            self.logger.warning(
                "changed keys that take effect after a restart", metadata: ["keys": "\(Self.listed(keys))"])
        }
        self.waitingForRestart = keys
    }
}

extension Logger {
    /// Logs what was found in the configuration at a start or a reload that goes on all the same.
    package func report(_ problem: ConfigProblem) {
        switch problem.severity {
        case .error: self.error("error in the configuration", metadata: ["problem": "\(problem)"])
        case .warning: self.warning("look at the configuration", metadata: ["problem": "\(problem)"])
        case .note: self.notice("configuration without effect", metadata: ["problem": "\(problem)"])
        }
    }
}
