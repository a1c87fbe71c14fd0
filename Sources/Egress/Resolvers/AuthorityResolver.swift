// SPDX-License-Identifier: Apache-2.0
// request path

package import Common
package import Proxy

/// The authority of the URL is `name:port`, and nothing else will do, but in a `Host` that stands for a URL.
package struct AuthorityResolver: DestinationResolver {
    /// What `plugin.destinationResolver` says.
    package static let name = "authority"

    /// The one there is.
    package init() {}

    /// Finds the service; see ``DestinationResolver``.
    package func resolve(
        _ request: RequestHead, _ headers: borrowing HeaderBlock, in directory: ServiceDirectory
    ) -> Resolution {
        guard request.flags.contains(.absoluteTarget) else { return .notForProxy }
        let authority = request.authority
        // A host in brackets begins one byte later, and has colons of its own.
        let hasPort = !authority.portDigits.isEmpty || request.flags.contains(.hostTarget)
        guard hasPort, authority.host.lower == authority.whole.lower else {
            return .refused(
                ProxyError(.destinationUnresolved, "the authority must be name:port, such as cart:8080"))
        }
        return .name(authority.host, port: authority.portDigits)
    }
}
