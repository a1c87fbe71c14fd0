// SPDX-License-Identifier: Apache-2.0

package import Logging

/// Where logs go, which of them, and in which form: what `lager.yaml` says.
///
/// The defaults are those of a missing file: everything from `DEBUG` on, as JSON, to standard output.
///
/// | property | keys | default |
/// |---|---|---|
/// | `writers` | `logWriters`, `writers` | `stdout` |
/// | `level` | `logLevel`, `logger_level` | `DEBUG` |
/// | `path` | `logFile`, `logger_file` | `log/chassis.log` |
/// | `format` | `logFormatText`, `log_format_text` | JSON |
/// | `color` | `logColorMode` | `auto` |
/// | `rotation` | see ``Rotation`` | |
package struct LogSettings: Sendable, Equatable {
    /// A place that takes lines.
    package enum Writer: String, Sendable, CaseIterable {
        /// Standard output.
        case stdout
        /// Standard error.
        case stderr
        /// The file at `path`.
        case file
    }

    /// What a line looks like.
    package enum Format: UInt8, Sendable {
        /// `2026-11-28T00:12:34.567Z INFO  egress: message key=value`.
        case text
        /// One object a line.
        case json
    }

    /// When the level of a text line has a color; only on the standard streams, never in a file or in JSON.
    package enum ColorMode: String, Sendable {
        /// On a terminal, unless `NO_COLOR` is set or `TERM` is `dumb`.
        case auto
        /// Also where there is no terminal.
        case always
        /// Nowhere.
        case never
    }

    /// When a new file is begun, and what becomes of the old ones.
    ///
    /// | property | keys | default | range |
    /// |---|---|---|---|
    /// | `isDisabled` | `logRotateDisable` | false | |
    /// | `isCompressing` | `logRotateCompress` | false | |
    /// | `policy` | `rollingPolicy` | `size` | |
    /// | `ageInDays` | `logRotateAge`, `log_rotate_date` | 1 | 0…10 |
    /// | `sizeInMegabytes` | `logRotateSize`, `log_rotate_size` | 10 | 1…500 |
    /// | `backupCount` | `logBackupCount`, `log_backup_count` | 7 | 0…100 |
    package struct Rotation: Sendable, Equatable {
        /// What makes a file old.
        package enum Policy: String, Sendable {
            /// Its size.
            case size
            /// The end of its day, in UTC.
            case daily
        }

        /// Nothing is renamed, compressed or removed: for logrotate and its like.
        package var isDisabled = false
        /// Old files are compressed with gzip.
        package var isCompressing = false
        /// What makes a file old.
        package var policy = Policy.size
        /// Old files are removed after so many days; 0 keeps them, as in the original.
        package var ageInDays = 1
        /// How much a file may hold by the policy `size`, in units of 1,048,576 bytes; at least 1.
        package var sizeInMegabytes = 10
        /// How many old files stay; 0 keeps all, as in the original.
        package var backupCount = 7

        /// The defaults.
        package init() {}
    }

    /// Where every line goes.
    package var writers: Set<Writer> = [.stdout]
    /// The least severe level that is logged, unless a logger has one of its own.
    package var level = Logger.Level.debug
    /// The file of the writer `file`; a relative path starts in the process's working directory.
    package var path = "log/chassis.log"
    /// What a line looks like.
    package var format = Format.json
    /// When text has colors.
    package var color = ColorMode.auto
    /// When a new file is begun.
    package var rotation = Rotation()

    /// The defaults.
    package init() {}
}
