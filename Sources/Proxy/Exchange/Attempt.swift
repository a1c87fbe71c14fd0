// SPDX-License-Identifier: Apache-2.0
// request path

package import Common
import NIOCore

/// One try of a call: made anew each time, so that nothing of a try that failed is left for the next one.
///
/// It borrows the exchange's response storage, which is empty when it begins.
package struct Attempt {
    /// What the request was sent on, while that serves it: the driver.
    var upstream: (any Upstream)?
    /// When the request was handed to the upstream: the driver.
    var sentAt = NIODeadline.uptimeNanoseconds(0)
    /// Whether a byte of the request may have reached the upstream: the driver.
    package var wasSent = false
    /// Whether the upstream says that nobody has looked at the request: a peer sidecar that could not reach its
    /// application, or HTTP/2's REFUSED_STREAM: the driver.
    package var isUnseen = false
    /// Whether the status of the response counts as a failure: the driver.
    package var isFailure = false
    /// How the upstream says that a gRPC call ended; `nil` while it has not: the driver.
    var grpcStatus: Int?
    /// What counts it as one that waits for a connection, while it does: the pool.
    var pending: ClusterTickets?
    /// Whether it has waited for one: what is left of its time is no fair chance for an instance: the pool.
    var hasQueued = false
    /// Whether there was no connection for it, because its cluster has as many as it may: the driver.
    package var isCrowdedOut = false
    /// With what code of HTTP/2 the upstream has reset its stream: the upstream codec.
    var resetCode: UInt32?

    /// A try that has not begun.
    package init() {}
}

/// What is handed out for one try, and shown when it comes back: whose it is.
///
/// A number is used once in a driver's life, and is over as soon as the try is.
package struct Ticket {
    /// Who waits.
    package let driver: ExchangeDriver
    /// Which try, or which wait, of it.
    package let number: UInt64

    /// Whether the driver still waits for this.
    @inline(__always)
    package var isValid: Bool { self.driver.ticket == self.number }
}

/// How a try, or the call, ended: read by ejection and by circuits, each in its own way.
///
/// - Source: ARCHITECTURE.md, the table of the ends of a try.
package enum Outcome: Sendable {
    /// It has not.
    case open
    /// The upstream answered, with whatever status that is not listed as a failure.
    case answered
    /// The upstream answered with a status that is listed as a failure.
    case listedStatus
    /// The upstream answered with a status after which the route wants another try.
    case unwantedStatus
    /// No connection could be made, here or, as a peer sidecar says, there.
    case connectFailed
    /// Reset, time limit or malformed answer before the head of the response.
    case upstreamFailed
    /// The same in its body.
    case diedInBody
    /// The client broke the rules, or is gone.
    case clientFault
    /// Refused by a stage of ours.
    case refused
    /// Answered by a stage of ours.
    case replied
    /// There was no instance to call.
    case noInstance
    /// The time that the client gives its call was over before an instance had a fair chance.
    case callOver

    /// How a call that fails with `error` ends.
    ///
    /// - Parameter hasHead: Whether the head of the response had come.
    init(_ error: ProxyError, hasHead: Bool) {
        switch error.reason {
        case .clientGone, .badRequest, .requestTimeout, .headerTooLarge: self = .clientFault
        case .connectFailed: self = .connectFailed
        case .upstreamReset, .upstreamTimeout, .badUpstreamResponse: self = hasHead ? .diedInBody : .upstreamFailed
        case .noEndpoint, .noLocalPort, .notReady: self = .noInstance
        case .destinationUnresolved, .destinationRefused, .methodRefused, .loop, .unauthenticated, .rateLimited,
            .faultInjected, .circuitOpen, .bulkheadFull, .overloaded, .noRule, .internal:
            self = .refused
        }
    }

    /// Whether the upstream has answered.
    var isAnswer: Bool {
        switch self {
        case .answered, .listedStatus, .unwantedStatus: true
        case .open, .connectFailed, .upstreamFailed, .diedInBody, .clientFault, .refused, .replied, .noInstance,
            .callOver:
            false
        }
    }

    /// What the instance that was chosen is told; `nil` when it had no part in it.
    package var health: Health? {
        switch self {
        case .answered, .unwantedStatus: .succeeded
        case .connectFailed: .failed(.connect)
        case .listedStatus, .upstreamFailed, .diedInBody: .failed(.response)
        case .open, .clientFault, .refused, .replied, .noInstance, .callOver: nil
        }
    }

    /// What an instance is told.
    package enum Health: Sendable {
        case succeeded
        case failed(EndpointHealth.Failure)
    }
}
