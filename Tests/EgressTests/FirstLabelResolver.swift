// SPDX-License-Identifier: Apache-2.0
// request path

import Common
import Egress
import Proxy

/// A resolver of one's own: `http://cart.shop.example/items` is a request to `cart`.
///
/// A resolver says where in the request the name of the service stands. It makes no text: the answer is a range of the
/// request's own bytes. Everything else (whether there is such a service, whether it may be called, which instance gets
/// the request) is done for it.
///
/// To use it: put the file into `Sources/Egress/Resolvers`, add the line
/// `(FirstLabelResolver.name, { FirstLabelResolver() })` to the table in `Resolvers.swift`, and `"first-label"` to
/// `ResolverConfig.known`. Then `plugin.destinationResolver.http: first-label` chooses it.
struct FirstLabelResolver: DestinationResolver {
    /// What `plugin.destinationResolver` says.
    static let name = "first-label"

    func resolve(
        _ request: RequestHead, _ headers: borrowing HeaderBlock, in directory: ServiceDirectory
    ) -> Resolution {
        // Only requests with a whole URL were meant for a proxy.
        guard request.flags.contains(.absoluteTarget) else { return .notForProxy }
        // `authority` says where host and port are in the bytes of the head.
        let authority = request.authority
        // Bytes are looked at in place; here, how many there are before the first dot.
        let length = headers.withBytes(in: authority.host) { host in
            var index = 0
            while index < host.byteCount, host.byte(at: index) != .dot { index += 1 }
            return index
        }
        guard length > 0 else {
            return .refused(ProxyError(.destinationUnresolved, "the host must begin with the name of a service"))
        }
        let start = Int(authority.host.lower)
        return .name(ByteRange(start, start + length), port: authority.portDigits)
    }
}
