// SPDX-License-Identifier: Apache-2.0

/// What the mesh component is told.
package enum MeshMessage: Sendable {
    /// The source at this place of the configured order has something new to say.
    case partChanged(Int)
}
