// SPDX-License-Identifier: Apache-2.0

package import Logging
import Synchronization

/// What a sidecar of a test has said.
package final class TestLog: Sendable {
    private struct Handler: LogHandler {
        let log: TestLog
        var metadata = Logger.Metadata()
        var logLevel = Logger.Level.debug
        subscript(metadataKey key: String) -> Logger.Metadata.Value? {
            get { self.metadata[key] }
            set { self.metadata[key] = newValue }
        }
        func log(event: LogEvent) {
            let values = (event.metadata ?? [:]).sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
            self.log.state.withLock {
                $0.append("\(event.level) \(event.message) \(values.joined(separator: " "))")
            }
        }
    }

    private let state = Mutex<[String]>([])

    /// Nothing yet.
    package init() {}

    /// Writes here.
    package var logger: Logger { Logger(label: "test") { _ in Handler(log: self) } }

    /// All lines: level, message, metadata sorted by key.
    package var lines: [String] { self.state.withLock { $0 } }
}
