// SPDX-License-Identifier: Apache-2.0

package import Logging

/// The names of levels that users read and write: those of the original, which knows five.
extension Logger.Level {
    /// `DEBUG`, `INFO`, `WARN`, `ERROR` or `FATAL`, in any case; `nil` for another name.
    package init?(logName name: String) {
        switch name.uppercased() {
        case "DEBUG": self = .debug
        case "INFO": self = .info
        case "WARN": self = .warning
        case "ERROR": self = .error
        case "FATAL": self = .critical
        default: return nil
        }
    }

    /// The name in a log line; a notice is `INFO` there.
    package var logName: StaticString {
        switch self {
        case .trace: "TRACE"
        case .debug: "DEBUG"
        case .info, .notice: "INFO"
        case .warning: "WARN"
        case .error: "ERROR"
        case .critical: "FATAL"
        }
    }

    /// The place of the level among all, 0…6; what an atomic can hold.
    var code: UInt8 {
        switch self {
        case .trace: 0
        case .debug: 1
        case .info: 2
        case .notice: 3
        case .warning: 4
        case .error: 5
        case .critical: 6
        }
    }

    /// The level with this ``code``.
    init(code: UInt8) {
        switch code {
        case 0: self = .trace
        case 1: self = .debug
        case 2: self = .info
        case 3: self = .notice
        case 4: self = .warning
        case 5: self = .error
        default: self = .critical
        }
    }
}
