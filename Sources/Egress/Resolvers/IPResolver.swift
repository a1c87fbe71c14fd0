// SPDX-License-Identifier: Apache-2.0
// request path

package import Common
package import Proxy

/// The host of the URL is the IP address of an instance, and the service is the one that the registry has there; a host
/// that is no address is a name.
///
/// Where several services share the address, the port of the URL tells which one is meant.
package struct IPResolver: DestinationResolver {
    /// What `plugin.destinationResolver` says.
    package static let name = "ip"

    /// The one there is.
    package init() {}

    /// Finds the service; see ``DestinationResolver``.
    package func resolve(
        _ request: RequestHead, _ headers: borrowing HeaderBlock, in directory: ServiceDirectory
    ) -> Resolution {
        guard request.flags.contains(.absoluteTarget) else { return .notForProxy }
        let authority = request.authority
        guard let literal = headers.withBytes(in: authority.host, { IPLiteral($0) }),
            headers.withBytes(in: authority.host, { directory.service(named: $0) }) == nil
        else { return .name(authority.host, port: authority.portDigits) }
        if let service = directory.service(at: literal.address, port: Int(authority.port)) {
            return .service(service, port: authority.portDigits)
        }
        switch directory.owner(of: literal.address) {
        case .one(let service, _): return .service(service, port: authority.portDigits)
        case .several:
            return Self.refuse(request, headers, "several services found for ip", "; name one of their ports")
        case nil:
            // Before the registry has answered, or for an address that nobody may ask for, others know what to say.
            guard directory.isSynced, !literal.address.isInternal, !literal.isEmbedded else {
                return .name(authority.host, port: authority.portDigits)
            }
            return Self.refuse(request, headers, "no service found for ip", "")
        }
    }

    private static func refuse(
        _ request: RequestHead, _ headers: borrowing HeaderBlock, _ text: String, _ remedy: String
    ) -> Resolution {
        let host = headers.string(in: request.authority.host)
        return .refused(ProxyError(.destinationUnresolved, "\(text) [\(host)]\(remedy)"))
    }
}
