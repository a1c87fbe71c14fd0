// SPDX-License-Identifier: Apache-2.0

/// Retries, and the waits between tries.
extension EffectReview {
    private typealias Keys = BalancingConfig.Keys

    mutating func reviewRetries() {
        let enabled = self.places(of: Keys.retryEnabled)
        let minimum = self.places(of: Keys.backoffMinimum)
        let maximum = self.places(of: Keys.backoffMaximum)
        let settings = [
            self.places(of: Keys.retryOnNext).all, self.places(of: Keys.retryOnSame).all,
            self.places(of: Keys.backoffKind).all, minimum.all, maximum.all,
        ].flatMap(\.self)
        let firsts = Dictionary(settings.map { ($0.service, $0.entry) }) { Self.isBefore($1, $0) ? $1 : $0 }
        for service in Set(firsts.keys).union(enabled.all.map(\.service)).sorted() {
            let retry = self.config.governance.balancing.retry(for: service)
            switch enabled.text(for: service).map({ $0.lowercased() }) {
            case nil:
                guard let first = firsts[service] else { break }
                self.warn(
                    first, "has no effect: without retryEnabled, mesher.retry.failover says how often to try again",
                    "write cse.loadbalance\(service.isEmpty ? "" : ".\(service)").retryEnabled: true")
            case "true" where !retry.isEnabled:
                guard let entry = enabled[service] ?? firsts[service] else { break }
                self.warn(entry, "nothing is tried again: retryOnNext and retryOnSame are 0", "write retryOnNext: 1")
            case "true" where retry.backoff.kind == .zero:
                guard let first = minimum[service] ?? maximum[service] else { break }
                self.warn(first, "has no effect: backoff.kind is zero", "write backoff.kind: exponential")
            default: break
            }
            guard let low = minimum.text(for: service).flatMap({ Int($0) }),
                let high = maximum.text(for: service).flatMap({ Int($0) }), high > 0, low > high,
                let place = minimum[service] ?? maximum[service]
            else { continue }
            self.warn(place, "minMs (\(low)) is over maxMs (\(high)), which is no limit then", "write a larger maxMs")
        }
    }
}
