// SPDX-License-Identifier: Apache-2.0

package import HummingbirdCore

extension HTTPServerBuilder {
    /// HTTP/1.1 within limits.
    package static func limited(_ limits: ServerLimits) -> HTTPServerBuilder {
        let places = ServerPlaces(limits)
        return .http1(configuration: .init(additionalChannelHandlers: [ServedConnectionHandler(places)]))
    }
}
