// SPDX-License-Identifier: Apache-2.0
// request path

package import Common
package import Proxy

/// The host of the URL is the name of the service.
///
/// The name is used as it stands; DNS is not asked. The `Host` header does not count: a request without an absolute
/// target was not meant for a proxy.
package struct HostResolver: DestinationResolver {
    /// What `plugin.destinationResolver` says.
    package static let name = "host"

    /// The one there is.
    package init() {}

    /// Finds the service; see ``DestinationResolver``.
    package func resolve(
        _ request: RequestHead, _ headers: borrowing HeaderBlock, in directory: ServiceDirectory
    ) -> Resolution {
        guard request.flags.contains(.absoluteTarget) else { return .notForProxy }
        return .name(request.authority.host, port: request.authority.portDigits)
    }
}
