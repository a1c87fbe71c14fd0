// SPDX-License-Identifier: Apache-2.0

/// What the registry bridge is told.
package enum RegistryMessage: Sendable {
    /// The local application has become well or ill; ``LocalHealth`` says which.
    case localHealthChanged
}
