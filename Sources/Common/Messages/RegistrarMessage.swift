// SPDX-License-Identifier: Apache-2.0

/// What the component that registers the local service is told.
package enum RegistrarMessage: Sendable {
    /// The local application has become well or ill; ``LocalHealth`` says which.
    case localHealthChanged
    /// The registry no longer knows this sidecar's service.
    case registrationLost
    /// The registry answers again, perhaps without what it knew.
    case registryReturned
}
