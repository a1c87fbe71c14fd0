// SPDX-License-Identifier: Apache-2.0
// request path

package import Common
package import Proxy

/// Finds out what service an outgoing request names.
///
/// To write one: a file beside this one with a type that conforms, a line in the table of ``Resolvers``, and its name in
/// `ResolverConfig.known`. It is made once for each plan and shared by all event loops, so it keeps nothing between two
/// requests, and it makes no text: it answers with a place in the bytes of the request, or with a service.
package protocol DestinationResolver: Sendable {
    /// The name in `plugin.destinationResolver`.
    static var name: String { get }

    /// What the request with this head names.
    ///
    /// Called on the request's event loop, once per request. Whether the service exists, and whether the place may be
    /// called at all, is decided afterwards, the same for every resolver.
    ///
    /// - Parameter directory: The services that are known now.
    func resolve(
        _ request: RequestHead, _ headers: borrowing HeaderBlock, in directory: ServiceDirectory
    ) -> Resolution
}

/// What a resolver found.
package enum Resolution {
    /// The service whose name stands in these bytes of the request's header block.
    ///
    /// The port, which may be empty, goes along as `X-Forwarded-Port`; it chooses no instance.
    case name(ByteRange, port: ByteRange)
    /// This service.
    case service(Service, port: ByteRange)
    /// None: the request is answered with this error.
    case refused(ProxyError)
}

extension Resolution {
    /// The refusal of a request that was not sent as to a proxy.
    package static var notForProxy: Self {
        .refused(
            ProxyError(
                .destinationUnresolved,
                """
                Invalid uri, please check: (1) a mesher on the provider's side must listen on an external IP; \
                (2) the client must use the sidecar as its proxy: set http_proxy to the address that it has called here, \
                or mesher.egress.routeByHost to true
                """))
    }
}
