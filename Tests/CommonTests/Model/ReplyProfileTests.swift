// SPDX-License-Identifier: Apache-2.0

import Common
import Testing

@Suite struct ReplyProfileTests {
    private static let broken = "upstream connect error or disconnect/reset before headers. reset reason:"

    @Test(
        "Envoy's answers have its statuses and texts",
        arguments: [
            (.noRule, 404, ""), (.noEndpoint, 503, "no healthy upstream"),
            (.upstreamTimeout, 504, "upstream request timeout"), (.bulkheadFull, 503, "\(Self.broken) overflow"),
            (.connectFailed, 503, "\(Self.broken) connection failure"),
            (.upstreamReset, 503, "\(Self.broken) connection termination"), (.rateLimited, 429, "local_rate_limited"),
            (.faultInjected, 500, "fault filter abort"), (.internal, 500, "x"),
        ] as [(ProxyError.Reason, Int, String)])
    func envoy(reason: ProxyError.Reason, status: Int, body: String) {
        let error = ProxyError(reason, "x")
        #expect(ReplyProfile.envoy.status(of: error) == status && ReplyProfile.envoy.body(of: error) == body)
    }

    @Test("Gateway API wants 503 where there is no endpoint, and all else is as it was")
    func gateway() {
        for reason in ProxyError.Reason.allCases {
            let error = ProxyError(reason, "x")
            let status = reason == .noEndpoint ? 503 : reason.status
            #expect(ReplyProfile.gateway.status(of: error) == status && ReplyProfile.gateway.body(of: error) == "x")
            #expect(ReplyProfile.serviceComb.status(of: error) == reason.status)
            #expect(ReplyProfile.serviceComb.body(of: error) == "x")
        }
    }

    @Test("a status that was written down stays", arguments: ReplyProfile.allCases)
    func written(profile: ReplyProfile) {
        #expect(profile.status(of: ProxyError(.faultInjected, status: 418)) == 418)
        #expect(profile.status(of: ProxyError(.noEndpoint, status: 410)) == 410)
    }
}
