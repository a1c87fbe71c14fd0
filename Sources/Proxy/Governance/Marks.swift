// SPDX-License-Identifier: Apache-2.0
// request path

package import Common
package import NIOCore

/// The name by which rules about marked requests know a request.
package final class Mark: Sendable {
    /// The name of the policy that has given it; `none` for requests that no policy describes.
    package let name: String
    /// What limits requests with this mark.
    package let limiter: RateLimiter?
    /// The limit as configured.
    package let limit: RateLimitPolicy?
    /// Tells later hops.
    package let line: HeaderLine

    init(_ name: String, _ limit: RateLimitPolicy?, upon old: Mark?) {
        self.name = name
        self.limit = limit
        self.limiter =
            old != nil && old?.limit == limit ? old?.limiter : limit.map { RateLimiter(rate: $0.rate, burst: $0.burst) }
        self.line = HeaderLine("X-Mark", name)
    }
}

/// The policies that mark requests, and the limits of marked ones.
///
/// One for each direction; a new one takes over the limits that have not changed with what is left of them.
package final class Marks: Sendable {
    /// In the order in which they are tried: by name.
    package let policies: [MatchPolicy]
    private let marks: [Mark]
    private let byName: [String: Mark]
    /// Of requests that no policy describes.
    package let none: Mark

    /// - Parameter old: What held until now.
    package init(_ rules: RuleConfig, upon old: Marks? = nil) {
        func mark(_ name: String) -> Mark {
            Mark(name, rules.rateLimits.first { $0.match == name }, upon: old?.byName[name])
        }
        self.policies = rules.policies
        self.marks = rules.policies.map { mark($0.name) }
        let none = mark("none")
        self.none = none
        // A mark may come with the request although no policy here gives it.
        let others = rules.rateLimits.map(\.match).filter { name in
            name != none.name && !rules.policies.contains { $0.name == name }
        }
        self.byName = Dictionary(
            (self.marks + others.map(mark) + [none]).map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
    }

    /// The mark of a request, and whether it is passed on.
    ///
    /// One that it carries already stays: of a peer that is not trusted, none has come so far.
    package func mark(for head: RequestHead, _ headers: borrowing HeaderBlock) -> (mark: Mark, isPassedOn: Bool) {
        if let index = headers.firstIndex(of: .xMark) {
            let name = headers.withValue(at: index) { $0.string(in: 0..<$0.byteCount) }
            if !name.isEmpty { return (self.byName[name] ?? Mark(name, nil, upon: nil), false) }
        }
        for index in self.policies.indices {
            if let alternative = self.policies[index].alternative(for: head, headers) {
                return (self.marks[index], alternative.isPassedOn)
            }
        }
        return (self.none, false)
    }

    /// The limit of a mark, for those who explain.
    package func mark(named name: String) -> Mark? { self.byName[name] }
}

/// Marks requests: `traffic-marker`.
package struct MarkerStage: Stage {
    package static let name = "traffic-marker"

    private let marks: Marks

    /// A stage that marks by these policies.
    package init(_ marks: Marks) { self.marks = marks }

    package func onRequest(_ exchange: inout Exchange) -> Verdict {
        let (mark, isPassedOn) = self.marks.mark(for: exchange.request, exchange.requestHeaders)
        exchange.mark = mark
        if isPassedOn { exchange.requestHeaders.append(mark.line) }
        return .proceed
    }
}

/// Limits marked requests: `rate-limiter`.
package struct MarkLimitStage: Stage {
    package static let name = "rate-limiter"

    private let marks: Marks

    /// A stage for these limits.
    package init(_ marks: Marks) { self.marks = marks }

    package func onRequest(_ exchange: inout Exchange) -> Verdict {
        // Without a marker before this stage, what a request carries counts, and nothing else.
        let mark = exchange.mark ?? self.marks.mark(for: exchange.request, exchange.requestHeaders).mark
        return RateLimiter.verdict(mark.limiter, at: exchange.worker.now)
    }
}

extension RateLimiter {
    /// What a limit says to one more request; without a limit nothing.
    package static func verdict(_ limiter: RateLimiter?, at now: NIODeadline) -> Verdict {
        guard let limiter else { return .proceed }
        switch limiter.admit(at: now) {
        case .admitted: return .proceed
        case .refused(let wait): return .reject(ProxyError(.rateLimited, retryAfter: wait ?? .seconds(1)))
        }
    }
}
