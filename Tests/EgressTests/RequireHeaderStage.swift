// SPDX-License-Identifier: Apache-2.0

import Common
import Proxy

/// Answers requests that have no `X-Tenant`.
struct RequireHeaderStage: Stage {
    static let name = "require-header"

    private static let header = Array("x-tenant".utf8)

    func onRequest(_ exchange: inout Exchange) -> Verdict {
        guard exchange.requestHeaders.firstIndex(ofLowercased: Self.header) != nil else {
            return .reject(ProxyError(.badRequest, "X-Tenant is missing"))
        }
        return .proceed
    }
}
