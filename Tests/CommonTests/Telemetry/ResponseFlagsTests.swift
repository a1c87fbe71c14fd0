// SPDX-License-Identifier: Apache-2.0

import Common
import Testing

@Suite struct ResponseFlagsTests {
    private static func text(_ flags: ResponseFlags, isLong: Bool = false) -> String {
        var text = ""
        flags.write(isLong: isLong) { text += $0 }
        return text
    }

    @Test("each reason has the flag that the documentation says, or none")
    func reasons() {
        let table = ProxyError.Reason.allCases.map { reason in
            let flags = ResponseFlags().adding(reason, hasCluster: false, isStreamReset: false)
            return "\(reason.rawValue) \(Self.text(flags))"
        }
        #expect(
            table == [
                "bad_request DPE", "header_too_large DPE", "request_timeout -", "destination_unresolved -",
                "destination_refused -", "method_refused -", "loop -", "unauthenticated -", "rate_limited RL",
                "fault_injected FI", "circuit_open -", "bulkhead_full UO", "overloaded OM", "not_ready -",
                "no_rule NR", "no_endpoint UH", "no_local_port -", "connect_failed UF", "upstream_reset UC",
                "upstream_timeout UT", "bad_upstream_response UPE", "client_gone DC", "internal -",
            ])
    }

    @Test("what is known besides makes it more exact")
    func more() {
        let none = ResponseFlags()
        #expect(Self.text(none.adding(.noRule, hasCluster: true, isStreamReset: false)) == "NC")
        #expect(Self.text(none.adding(.upstreamReset, hasCluster: true, isStreamReset: true)) == "UR")
        let silent = ResponseFlags.silent.adding(.upstreamTimeout, hasCluster: true, isStreamReset: false)
        #expect(Self.text(silent) == "SI" && silent.details(.upstreamTimeout) == "stream_idle_timeout")
        let whole = ResponseFlags.wholeOver.adding(.upstreamTimeout, hasCluster: true, isStreamReset: false)
        #expect(Self.text(whole) == "-" && whole.details(.upstreamTimeout) == "max_duration_timeout")
        let call = ResponseFlags.callOver.adding(.upstreamTimeout, hasCluster: true, isStreamReset: false)
        #expect(Self.text(call) == "UT" && call.details(.upstreamTimeout) == "response_timeout")
        #expect(none.details(.upstreamTimeout) == "upstream_per_try_timeout")
        #expect(Self.text(none.adding(nil, hasCluster: true, isStreamReset: false)) == "-")
    }

    @Test("several are written in their order, whichever came first")
    func several() {
        let flags = ResponseFlags([.late, .retriesOver, .delayed])
        #expect(Self.text(flags) == "DI,URX,UT")
        #expect(Self.text(flags, isLong: true) == "DelayInjected,UpstreamRetryLimitExceeded,UpstreamRequestTimeout")
    }
}
