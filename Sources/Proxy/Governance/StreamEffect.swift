// SPDX-License-Identifier: Apache-2.0
// request path

import Common
import NIOCore

/// The limits of a route for calls as a whole, in the loop's units.
struct StreamEffect: Sendable {
    /// See ``StreamLimits/whole``.
    let whole: TimeAmount?
    /// See ``StreamLimits/asked``.
    private let asked: TimeAmount?
    private let askedLess: TimeAmount
    /// See ``StreamLimits/silence``.
    let silence: TimeAmount?

    init(_ limits: StreamLimits) {
        self.whole = limits.whole.map { TimeAmount($0) }
        self.asked = limits.asked.map { TimeAmount($0) }
        self.askedLess = TimeAmount(limits.askedLess)
        self.silence = limits.silence.map { TimeAmount($0) }
    }

    /// How long a call may take; `nil` for any time.
    ///
    /// - Parameter asked: The time that the call asks for; `nil` for none.
    func limit(asked: TimeAmount?) -> TimeAmount? {
        guard let asked, let most = self.asked else { return self.whole }
        let time = most > .zero ? min(asked, most) : asked
        return max(.milliseconds(1), time - self.askedLess)
    }
}

/// Which limit of a route has ended a call; clients of Envoy know each by a text.
enum OverdueStream {
    case whole
    case silence

    /// Has an answer say so.
    func tell(_ reply: inout LocalReply) {
        switch self {
        case .whole:
            reply.body = "downstream duration timeout"
            reply.grpcStatus = 4
        case .silence: reply.body = "stream timeout"
        }
    }
}
