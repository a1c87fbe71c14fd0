// SPDX-License-Identifier: Apache-2.0
// request path

package import Common
package import Proxy

/// `authority`: like `host`, but the target must have a port: `cart:8080`.
package struct AuthorityResolver: DestinationResolver {
    package static let name = "authority"

    /// A resolver.
    package init() {}

    package func resolve(_ exchange: borrowing Exchange, in directory: ServiceDirectory) -> Destination {
        let authority = exchange.request.authority
        guard !authority.portDigits.isEmpty else {
            return .unresolved("invalid authority, write service:port")
        }
        return .name(authority.host)
    }
}
