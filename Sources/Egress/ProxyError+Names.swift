// SPDX-License-Identifier: Apache-2.0

import Common
import Proxy

extension ProxyError {
    /// What a name is told that nobody has.
    ///
    /// - Source: the text of the original; where the name may be that of a host outside, what to do is ours.
    static func unknownName(_ name: String) -> ProxyError {
        let remedy = name.contains(".") ? "; a host outside needs an egress rule, or a place in no_proxy" : ""
        return ProxyError(.noEndpoint, "lb: No available instance, key: \(name)()\(remedy)")
    }

    /// What an address of this machine or its surroundings is told.
    static func unreachable(_ name: String) -> ProxyError {
        ProxyError(
            .destinationRefused,
            "destination refused: [\(name)] is no service; list it in no_proxy, so that it is called directly")
    }
}
