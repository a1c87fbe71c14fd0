// SPDX-License-Identifier: Apache-2.0

/// How the instance is chosen that a request goes to.
package struct BalancingPolicy: Sendable, Equatable {
    /// The ways to choose; raw values are the names that configuration uses.
    package enum Strategy: String, Sendable, CaseIterable {
        /// One after the other.
        case roundRobin = "RoundRobin"
        /// Any.
        case random = "Random"
        /// Mostly the one that has answered fastest.
        case weightedResponse = "WeightedResponse"
        /// The same for all requests of a client's session.
        case sessionStickiness = "SessionStickiness"
        /// The less busy of two.
        case leastRequest = "LeastRequest"
        /// The one of two that is expected to answer sooner.
        case peakEWMA = "PeakEWMA"
        /// By a hash of a header or cookie, so that equal values meet the same instance.
        case ringHash = "RingHash"
        /// The same by a look into a table, in which shares are even.
        case maglev = "Maglev"

        /// Whether it goes by a hash of the request.
        package var isHashed: Bool { self == .ringHash || self == .maglev }
    }

    /// Where ``Strategy/ringHash`` and ``Strategy/maglev`` take their value from.
    package enum HashSource: Sendable, Equatable {
        /// A header, in lower case.
        case header([UInt8])
        /// A cookie.
        case cookie([UInt8])
    }

    /// See ``Strategy``.
    package var strategy = Strategy.roundRobin
    /// For ``Strategy/ringHash`` and ``Strategy/maglev``; requests without the value go round robin.
    package var hash = HashSource.header([])
    /// How long a session lives after its last request.
    package var sessionTimeout = Duration.seconds(30)
    /// Failures in a row that end a session.
    package var sessionFailures = 5
    /// Whether instances of the own zone, else of the own region, are preferred.
    package var isZoneAware = false

    /// Round robin.
    package init() {}
}

/// When and how often a request is sent again after a failure.
package struct RetryPolicy: Sendable, Equatable {
    /// Further tries on the same instance.
    package var onSame = 0
    /// Further instances.
    package var onNext = 0
    /// The wait between two tries.
    package var backoff = Backoff()
    /// Whether requests may be repeated whose repetition may do harm, as POST.
    package var includesNonIdempotent = false
    /// Largest request body that is kept for a repetition, in bytes.
    package var maxBody = 64 * 1024
    /// Most retries, in percent of the requests.
    package var budgetPercent = 20

    /// No retries.
    package init() {}

    /// Whether only other instances are tried, and not after a time-out: what holds where nobody has written anything.
    package var isFailover = false

    /// Whether there are any.
    package var isEnabled: Bool { self.onSame > 0 || self.onNext > 0 }

    /// How much of a request body is kept, in bytes.
    package func bodyLimit(for isIdempotent: Bool) -> Int {
        self.isEnabled && (isIdempotent || self.includesNonIdempotent) ? self.maxBody : 0
    }
}

/// How long to wait between the attempts of one request.
package struct Backoff: Sendable, Equatable {
    /// How the waits follow each other.
    package enum Kind: String, Sendable, CaseIterable {
        /// No wait.
        case zero
        /// The minimum every time.
        case constant
        /// The minimum at first, half as much again each time up to the maximum; each ± 50 % at random.
        case exponential
    }

    /// See ``Kind``.
    package var kind: Kind
    /// The first wait.
    package var minimum: Duration
    /// The longest wait before it is made random; below the minimum it is no limit.
    package var maximum: Duration
    /// Whether exponential waits double, and each is anything between none and its length.
    package var beginsAtZero = false

    /// No wait, unless told otherwise.
    package init(kind: Kind = .zero, minimum: Duration = .zero, maximum: Duration = .zero) {
        self.kind = kind
        self.minimum = minimum
        self.maximum = maximum
    }
}
