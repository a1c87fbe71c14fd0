// SPDX-License-Identifier: Apache-2.0
// request path

package import Common
package import Proxy

/// Finds the service that an outgoing request is for.
///
/// Called on the event loop, for each request: it may look at the request and at the directory, and must not block. A
/// resolver of one's own is a type in a file of its own and one line in ``DestinationResolvers``.
package protocol DestinationResolver: Sendable {
    /// As `plugin.destinationResolver` names it.
    static var name: String { get }

    /// A resolver without settings of its own.
    init()

    /// Decides by the request, whose target has been found to be absolute: `exchange.request.authority` is set.
    func resolve(_ exchange: borrowing Exchange, in directory: ServiceDirectory) -> Destination
}

/// What a resolver has found.
package enum Destination {
    /// The name of a service: these bytes of the request's head.
    case name(ByteRange)
    /// A service of the directory.
    case service(Service)
    /// None; the text tells the caller why, with status 400.
    case unresolved(String)
}
