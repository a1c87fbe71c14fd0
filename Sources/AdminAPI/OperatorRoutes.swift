// SPDX-License-Identifier: Apache-2.0

import Common
import FoundationEssentials
import HTTPTypes
import Hummingbird
import Serving

/// What operators change by the admin API; all of it needs the token.
extension AdminRoutes {
    var changes: [ServedEndpoint] {
        [
            ServedEndpoint(
                .post, "/v1/mesher/drain", "Takes the sidecar out of service until the process ends; needs the token.",
                isGuarded: true
            ) { try self.drain($0) }
        ]
    }

    private struct DrainBody: Encodable {
        let draining = true
        /// For how many seconds.
        let `for`: Double
    }

    private func drain(_ call: ServedEndpoint.Call) throws -> Response {
        try self.demandToken(call.request)
        self.state.views.leave()
        let time = self.state.readiness.drainingSince.map { (ContinuousClock.now - $0) / .seconds(1) } ?? 0
        return try ServedAnswer.json(DrainBody(for: (time * 10).rounded() / 10))
    }
}
