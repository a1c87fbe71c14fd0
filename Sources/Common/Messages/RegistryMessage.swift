// SPDX-License-Identifier: Apache-2.0

/// What the component that finds services is told.
package enum RegistryMessage: Sendable {
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
