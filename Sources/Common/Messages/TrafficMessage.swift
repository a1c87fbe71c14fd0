// SPDX-License-Identifier: Apache-2.0

/// What the components of traffic, egress and ingress, are told.
package enum TrafficMessage: Sendable {
    /// A new configuration holds; it was checked as a whole.
    case configurationChanged(MesherConfig)
}
