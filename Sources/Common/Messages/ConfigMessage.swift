// SPDX-License-Identifier: Apache-2.0

/// What the component of configuration is told.
package enum ConfigMessage: Sendable {
    /// Read the files now, changed or not: somebody sent SIGHUP.
    case reloadRequested
    /// The configuration server says something else than before; this is all that it says now.
    case remoteChanged(ConfigSource)
}
