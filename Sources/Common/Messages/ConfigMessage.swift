// SPDX-License-Identifier: Apache-2.0

/// What the component of configuration is told.
package enum ConfigMessage: Sendable {
    /// Read the files now, changed or not: somebody sent SIGHUP.
    case reloadRequested
}
