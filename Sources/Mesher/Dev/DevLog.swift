// SPDX-License-Identifier: Apache-2.0

import Common
import Logging
import Synchronization

/// What the sidecars of `mesher dev` log, on standard error for a person to read.
///
/// They read one file, so that what is logged of it comes from each of them: such a line is written once.
final class DevLog: Sendable {
    private struct State {
        var level = Logger.Level.error
        /// What was written of the file, and when.
        var recent: [String: ContinuousClock.Instant] = [:]
    }

    private let state = Mutex(State())

    /// For how long a line is not repeated: all sidecars have seen a change by then.
    private static let patience = Duration.seconds(3)

    /// The least severe level that is written.
    var level: Logger.Level {
        get { self.state.withLock { $0.level } }
        set { self.state.withLock { $0.level = newValue } }
    }

    /// The logger of a sidecar; `nil` for what belongs to all of them.
    func logger(of service: String?) -> Logger {
        Logger(label: "mesher") { _ in DevLogHandler(log: self, service: service) }
    }

    /// Writes a line of a service; `nil`: one that others would say again.
    fileprivate func write(_ text: String, of service: String?) {
        if service == nil {
            let isNew = self.state.withLock { state in
                let now = ContinuousClock.now
                state.recent = state.recent.filter { now - $0.value < Self.patience }
                return state.recent.updateValue(now, forKey: text) == nil
            }
            guard isNew else { return }
        }
        var line = Array("mesher: \(service.map { "\($0): " } ?? "")".utf8)
        LineEscaper.appendText(Array(text.utf8).rawSpan, to: &line)
        Console.complain("\(String(decoding: line, as: UTF8.self))\n")
    }
}

/// Makes a line of what is logged.
private struct DevLogHandler: LogHandler {
    let log: DevLog
    let service: String?
    var metadata: Logger.Metadata = [:]

    var logLevel: Logger.Level {
        get { self.log.level }
        set {}  // one for all of them
    }

    subscript(metadataKey key: String) -> Logger.MetadataValue? {
        get { self.metadata[key] }
        set { self.metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        let values = self.metadata.merging(event.metadata ?? [:]) { $1 }
        let rest = values.filter { $0.key != "problem" }.sorted { $0.key < $1.key }
        let text = "\(event.message)" + rest.map { " \($0.key)=\($0.value)" }.joined()
        let problem = values["problem"].map { ": \($0)" } ?? ""
        // The module that reads the file, and starts components.
        let isOfFile = event.source == "Common" && values["component"] == nil
        self.log.write(text + problem, of: isOfFile ? nil : self.service)
    }
}
