// SPDX-License-Identifier: Apache-2.0

/// What the registry bridge is told.
package enum RegistryMessage: Sendable {
    /// The local application has become well or ill; ``LocalHealth`` says which.
    case localHealthChanged
    /// The registry no longer knows this sidecar's service.
    case registrationLost
    /// The registry answers again, perhaps without what it knew.
    case registryReturned
}

/// What the part of the registry bridge is told that finds services.
package enum DiscoveryMessage: Sendable {
    /// A request is for a service of which nothing is known.
    case serviceWanted(ServiceDemand)
    /// No instance that is known of a service takes a connection, or there is none.
    case serviceRefuses(ServiceDemand)
    /// The names that other registries have, all of them: whether this one has them too.
    case namesElsewhere(Set<String>)
    /// This sidecar's own service has another id.
    case consumerChanged
    /// The registry says that an instance has changed.
    case instanceChanged(WatchEvent)
    /// The addresses of a host by whose name an endpoint is known.
    case addressesChanged(String)
    /// Whatever has changed until now may have been missed.
    case caughtUp
}
