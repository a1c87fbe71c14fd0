// SPDX-License-Identifier: Apache-2.0
// request path

package import Common
package import Proxy

/// `ip`: the target is the address of an instance, and its service is called; a name is taken as `host` takes it.
///
/// For clients that look instances up themselves. The request goes to any instance of the service, not to that one.
package struct AddressResolver: DestinationResolver {
    package static let name = "ip"

    /// A resolver.
    package init() {}

    package func resolve(_ exchange: borrowing Exchange, in directory: ServiceDirectory) -> Destination {
        let authority = exchange.request.authority
        let service = exchange.requestHeaders.withBytes(in: authority.host) { host in
            exchange.requestHeaders.withBytes(in: authority.whole) { directory.service(at: host, authority: $0) }
        }
        if let service { return .service(service) }
        guard exchange.requestHeaders.withBytes(in: authority.host, HostAddress.isAddress) else {
            return .name(authority.host)
        }
        return .unresolved("no service found for ip [\(exchange.requestHeaders.string(in: authority.host))]")
    }
}
