// SPDX-License-Identifier: Apache-2.0

import Common
import Logging

/// Looks after the file of the template: a changed one holds for the next pod, and one that is of no use changes nothing.
package actor TemplateComponent: Component {
    private let state: InjectorState
    private let interval: Duration
    private var watcher: FileWatcher

    /// - Parameter path: The file, which need not be there.
    package init(_ path: String, state: InjectorState, interval: Duration = .milliseconds(500)) {
        self.state = state
        self.interval = interval
        self.watcher = FileWatcher(path)
    }

    package func run() async throws {
        while !Task.isCancelled {
            // A file that has gone is being replaced, or will be.
            if case .changed(let bytes) = self.watcher.look() { self.take(bytes) }
            try await Task.sleep(for: self.interval)
        }
    }

    private func take(_ bytes: [UInt8]) {
        var problems: [ConfigProblem] = []
        do throws(MesherError) {
            let template = try SidecarTemplate(yaml: bytes, source: self.watcher.path, problems: &problems)
            // The first look finds what has been read already.
            if template.digest == self.state.policy.template.digest { return }
            self.state.take(template)
            for problem in problems { self.state.logger.warning("template", metadata: ["problem": "\(problem)"]) }
            self.state.logger.notice("template renewed", metadata: ["template": "\(template.digest)"])
        } catch {
            self.state.metrics.reloadFailed()
            self.state.logger.error(
                "template not renewed: the old one stays in use", metadata: ["problem": "\(error)"])
        }
    }
}
