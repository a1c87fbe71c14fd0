// SPDX-License-Identifier: Apache-2.0
// request path

import Common
import Egress
import Proxy

/// Takes the first part of the host for the service's name: `cart.shop.internal` is the service `cart`.
///
/// The example of the documentation for a resolver of one's own.
struct FirstLabelResolver: DestinationResolver {
    /// What `plugin.destinationResolver` says.
    static let name = "first-label"

    func resolve(_ exchange: borrowing Exchange, in directory: ServiceDirectory) -> Destination {
        // Where the host stands in the bytes of the request; no text is made of it, since this runs for each request.
        var label = exchange.request.authority.host
        let length = exchange.requestHeaders.withBytes(in: label) { host in
            (0..<host.byteCount).first { host.byte(at: $0) == .dot } ?? host.byteCount
        }
        guard length > 0 else { return .unresolved("the host has no first label") }
        label.upper = label.lower + UInt32(length)
        return .name(label)
    }
}
