// SPDX-License-Identifier: Apache-2.0

import Common

/// A part of a sidecar that can be read alone: its components, and the metrics of what they know.
protocol Feature {
    /// Adds its components, in the order in which they are stopped last to first.
    func install(into supervisor: inout Supervisor)
}
