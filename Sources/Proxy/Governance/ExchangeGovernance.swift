// SPDX-License-Identifier: Apache-2.0
// request path

package import Common
package import NIOCore

/// What the balancing stage keeps of a request from one attempt to the next.
package struct BalancingState {
    /// The instance that was chosen: an index into the endpoints of the cluster.
    package var index = 0
    /// Where it was chosen.
    package var balancer: ClusterBalancer?
    /// When it was.
    package var chosenAt = NIODeadline.uptimeNanoseconds(0)
    /// Whether the instance's load counts this request.
    package var isCounted = false
    /// Further tries of the present instance.
    package var triesOnSame = 0
    /// Further instances so far.
    package var instances = 0
    /// Whether the present instance is to be tried again.
    package var staysOnSame = false
    /// Those that have failed; empty, and so without cost, for most requests.
    package var failed: [Endpoint] = []
    /// The session that the request belongs to.
    package var session: String?
    /// What the answer sets, where the hash of the request is that of a cookie which it has not had.
    package var newCookie: String?
    /// Whether the registry was asked for instances, so that the directory has to be looked at again.
    package var isAwaiting = false
    /// Whether the retry budget knows of the request.
    package var isCharged = false
    /// Whether the cluster counts the try.
    package var hasTicket = false
    /// What counts a retry that is still to begin.
    package var nextRetry: ClusterTickets?
    /// What the request was before an endpoint's own host was written into it.
    var mark: HeaderBlock.Mark?
    /// Whether it counts it as a retry.
    package var hasRetryTicket = false

    /// Nothing chosen yet.
    package init() {}
}

/// What a circuit breaker let through: to be told how it went.
package struct Permit {
    /// Which one.
    package let circuit: Circuit
    /// Whether much depends on it: the breaker is open otherwise.
    package let isTrial: Bool

    /// A permit.
    package init(_ circuit: Circuit, isTrial: Bool) {
        self.circuit = circuit
        self.isTrial = isTrial
    }

    /// The request has ended.
    package func giveBack(_ outcome: Outcome, at now: NIODeadline) {
        self.circuit.leave(outcome, isTrial: self.isTrial, at: now)
    }
}

extension Circuit {
    /// What becomes of a request.
    package enum Entry {
        /// It goes on; the permit is given back when it has ended.
        case admitted(Permit)
        /// The circuit is open; for how long, where that is known.
        case open(Duration?)
        /// Too many are on their way.
        case full
    }

    /// Asks the breaker, then for a place; both are free of locks and memory unless the breaker is enabled.
    package func enter(at now: NIODeadline) -> Entry {
        let isTrial: Bool
        switch self.admit(at: now) {
        case .admitted: isTrial = false
        case .trial: isTrial = true
        case .refused(let wait): return .open(wait)
        }
        guard self.take() else {
            self.rejected(at: now)
            return .full
        }
        return .admitted(Permit(self, isTrial: isTrial))
    }

    fileprivate func leave(_ outcome: Outcome, isTrial: Bool, at now: NIODeadline) {
        self.giveBack()
        switch outcome {
        case .answered, .unwantedStatus: self.succeeded(at: now)
        case .listedStatus, .connectFailed, .upstreamFailed, .diedInBody, .noInstance: self.failed(at: now)
        case .refused: self.rejected(at: now)
        // Nothing is known of the service: a trial is still to be made.
        case .open, .clientFault, .replied, .callOver: if isTrial { self.abandoned(at: now) }
        }
    }
}
