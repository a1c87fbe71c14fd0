// SPDX-License-Identifier: Apache-2.0
// request path

import Common
import Proxy

/// Ends a request that comes by for the second time, and marks all others so that they are known again.
///
/// - Source: promise T5.
struct LoopStage: Stage {
    static let name = "loop"

    let token: HopToken

    func onRequest(_ exchange: inout Exchange) -> Verdict {
        if self.token.look(in: exchange.requestHeaders) == .loop { return .reject(ProxyError(.loop)) }
        exchange.requestHeaders.append(self.token.line)
        return .proceed
    }
}
