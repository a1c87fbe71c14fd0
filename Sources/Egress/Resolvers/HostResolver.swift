// SPDX-License-Identifier: Apache-2.0
// request path

package import Common
package import Proxy

/// `host`: the host of the target is the service's name; the port does not matter.
package struct HostResolver: DestinationResolver {
    package static let name = "host"

    /// A resolver.
    package init() {}

    package func resolve(_ exchange: borrowing Exchange, in directory: ServiceDirectory) -> Destination {
        .name(exchange.request.authority.host)
    }
}
