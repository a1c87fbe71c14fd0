// SPDX-License-Identifier: Apache-2.0

package import Logging

/// Gives what is logged to a ``LogOutput``, as one line.
///
/// The line is made on the thread that logs. The source in it is the module that logs, or the label where a logger has
/// one of its own: `egress`, `registrybridge`.
///
/// Cost: two allocations, under a microsecond; nothing blocks.
package struct MesherLogHandler: LogHandler {
    /// The label of loggers whose lines name the module instead.
    package static let plainLabel = "mesher"

    /// What every line of this logger says besides its own.
    package var metadata: Logger.Metadata = [:]
    /// Adds to every line what holds for the task that logs.
    package var metadataProvider: Logger.MetadataProvider?
    private let output: LogOutput
    private let label: String
    private var ownLevel: Logger.Level?

    /// A handler for one logger.
    ///
    /// - Parameter label: Named in lines as their source, unless it is ``plainLabel``.
    /// - Parameter output: Takes the lines, and says which levels are logged.
    /// - Parameter metadataProvider: Asked for each line, on the thread that logs.
    package init(label: String, output: LogOutput, metadataProvider: Logger.MetadataProvider? = nil) {
        self.output = output
        self.metadataProvider = metadataProvider
        self.label = label == Self.plainLabel ? "" : label.lowercased()
    }

    /// The least severe level that is logged: the output's, which may change at any time.
    ///
    /// Setting it gives this copy of the logger a level of its own, which stays. Reading is a load.
    package var logLevel: Logger.Level {
        get { self.ownLevel ?? self.output.level }
        set { self.ownLevel = newValue }
    }

    /// One value of ``metadata``.
    package subscript(metadataKey key: String) -> Logger.MetadataValue? {
        get { self.metadata[key] }
        set { self.metadata[key] = newValue }
    }

    /// Writes one line; the event's own values go before those of the task, those before the logger's.
    package func log(event: LogEvent) {
        let record = LogRecord(
            time: self.output.now, level: event.level,
            source: self.label.isEmpty ? event.source.lowercased() : self.label, message: event.message.description,
            members: LogRecord.sorted(self.allMetadata(of: event)))
        self.output.write(record.line(self.output.format))
    }

    private func allMetadata(of event: LogEvent) -> Logger.Metadata {
        var all = self.metadata
        if let provided = self.metadataProvider?.get() { all.merge(provided) { $1 } }
        if let own = event.metadata {
            if all.isEmpty { all = own } else { all.merge(own) { $1 } }
        }
        if let error = event.error, all["error"] == nil { all["error"] = "\(error)" }
        return all
    }
}
