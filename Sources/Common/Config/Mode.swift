// SPDX-License-Identifier: Apache-2.0

/// Whose sidecar this is: `--mode`.
package enum Mode: String, Sendable, CaseIterable {
    /// One application's: takes its requests on loopback, and those of others on an address of the machine.
    case sidecar
    /// Shared by the applications of a machine: everything that it takes is outgoing.
    case perHost = "per-host"
}

extension ConfigKind<Mode> {
    /// The name of a mode.
    package static var mode: Self {
        let shape = Shape.choice(Mode.allCases.map(\.rawValue), anyCase: false)
        return Self("`sidecar` or `per-host`", shape: shape, describe: \.rawValue) { text throws(ConfigMistake) in
            guard let mode = Mode(rawValue: text) else {
                throw ConfigMistake(
                    text == "edge" ? "the mode edge is not active yet" : "\"\(text)\" is no mode",
                    remedy: "write sidecar or per-host")
            }
            return mode
        }
    }
}
