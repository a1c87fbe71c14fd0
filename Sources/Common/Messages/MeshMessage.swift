// SPDX-License-Identifier: Apache-2.0

/// What the mesh component is told.
package enum MeshMessage: Sendable {
    /// The source at this place of the configured order has something new to say.
    case partChanged(Int)
    /// The configuration has changed in something that may change while the process runs.
    case configurationChanged(MesherConfig)
}
