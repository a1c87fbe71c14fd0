// SPDX-License-Identifier: Apache-2.0
// request path

package import Common
import NIOCore

/// What a listener does with the requests that it accepts: published by the component of its direction, read once per
/// request.
///
/// A class, so that taking it along with a request is one reference.
package final class TrafficPlan: Sendable {
    /// The listener's direction.
    package let direction: Direction
    /// The stages of that direction.
    package let chain: StageChain
    /// Limits and timeouts.
    package let settings: ProxySettings
    /// Whose word about the client of a client counts.
    package let trust: TrustConfig
    /// Whether this direction is coming to its end.
    package let ending: Ending
    let requestLimits: HeadLimits
    let responseLimits: HeadLimits
    /// Statuses of answers that count as failures.
    package let failureStatuses: Set<Int>

    /// No stages: the plan of a driver that waits for its first request.
    static let none = TrafficPlan(direction: .outgoing, chain: StageChain([]), settings: ProxySettings())

    /// Marks of outgoing requests; kept for the next plan.
    package let marks: Marks?
    /// What governs incoming requests; likewise.
    package let provider: ProviderPolicy?
    /// What is recorded of every request.
    package let records: ExchangeRecord.Uses
    /// What is done with the copies of requests; `nil` where there are none.
    let mirrors: TrafficPlan?
    /// Whether it is what is done with copies: nobody waits for their answers, and they are counted apart.
    let isMirror: Bool
    /// Whether a request that was sent as to a server is for whom its `Host` names.
    let routesByHost: Bool

    /// A plan.
    ///
    /// - Parameter mirrors: The stages of copies of requests; `nil` where there are none.
    /// - Parameter routesByHost: Whether a request that was sent as to a server is for whom its `Host` names.
    package init(
        direction: Direction, chain: StageChain, settings: ProxySettings, trust: TrustConfig = TrustConfig(),
        failureStatuses: Set<Int> = [], marks: Marks? = nil, provider: ProviderPolicy? = nil,
        records: ExchangeRecord.Uses = [],
        mirrors: StageChain? = nil, isMirror: Bool = false, routesByHost: Bool = false, ending: Ending = .none
    ) {
        self.routesByHost = routesByHost
        self.mirrors = mirrors.map {
            TrafficPlan(direction: direction, chain: $0, settings: settings, isMirror: true)
        }
        self.isMirror = isMirror
        self.records = records
        self.failureStatuses = failureStatuses
        self.marks = marks
        self.provider = provider
        self.direction = direction
        self.chain = chain
        self.settings = settings
        self.trust = trust
        self.ending = ending
        self.requestLimits = HeadLimits(
            startLine: settings.maxStartLine, field: settings.maxHeaderField, section: settings.maxHeaderSection,
            fields: settings.maxRequestHeaders)
        self.responseLimits = HeadLimits(
            startLine: settings.maxStartLine, field: settings.maxHeaderField, section: settings.maxHeaderSection,
            fields: settings.maxResponseHeaders)
    }

    /// How near the end is.
    package enum Ending: Sendable {
        /// There is none in sight.
        case none
        /// The sidecar is out of service: whoever comes is served, and told to go elsewhere with the next request.
        case announced
        /// The process is stopping: connections are closed as soon as nothing is in flight on them.
        case begun
    }

    /// Whether each answer is the last one of its connection.
    package var isDraining: Bool { self.ending != .none }

    /// The same near its end.
    package func ending(_ ending: Ending) -> TrafficPlan {
        TrafficPlan(
            direction: self.direction, chain: self.chain, settings: self.settings, trust: self.trust,
            failureStatuses: self.failureStatuses, marks: self.marks, provider: self.provider, records: self.records,
            mirrors: self.mirrors?.chain, routesByHost: self.routesByHost, ending: ending)
    }

    /// Whether an answer with this status counts as a failure.
    @inline(__always)
    func isFailure(_ status: Int) -> Bool {
        !self.failureStatuses.isEmpty && self.failureStatuses.contains(status)
    }

    /// Whether `peer` is believed what it says about its own client; see ``Exchange/removeUntrustedClaims()``.
    ///
    /// On the outgoing listener a loopback peer is an application whose sidecar this is: what it passes along is its own
    /// business, and the sidecar at the other end judges it. Any other peer there, which only `per-host` can have, and
    /// every peer of the incoming listener must be listed.
    func trusts(_ peer: SocketAddress) -> Bool {
        if self.direction == .outgoing, IPAddress(peer)?.isLoopback ?? true { return true }
        return self.trust.trusts(peer)
    }
}

extension ProxySettings {
    /// How much may wait to be written to a connection before its source is stopped.
    var writeBufferWaterMark: ChannelOptions.Types.WriteBufferWaterMark {
        ChannelOptions.Types.WriteBufferWaterMark(low: self.buffer / 2, high: self.buffer)
    }

    /// Reads of a connection before the loop looks again whether it should be read at all.
    ///
    /// A read brings up to 64 KiB, and those after the one that filled the other side's buffer are memory that slow
    /// readers cost.
    static var readsPerEvent: UInt { 1 }
}
