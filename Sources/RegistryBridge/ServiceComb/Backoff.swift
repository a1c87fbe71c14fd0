// SPDX-License-Identifier: Apache-2.0

/// How long to wait before the registry is tried again: pure.
///
/// - Source: the original's rhythm, 5 seconds at first, 3 minutes at most, × 1.5, ± 50 %; a first attempt here comes
///   sooner, since a registry that is just starting is the most frequent case.
struct Backoff {
    private static let first = Duration.seconds(1)
    private static let longest = Duration.seconds(30)
    private var next = Backoff.first

    /// - Parameter noise: -1…1.
    mutating func delay(noise: Double) -> Duration {
        defer { self.next = min(self.next * 1.5, Self.longest) }
        return self.next * (1 + 0.5 * noise)
    }

    /// Starts over.
    mutating func reset() { self.next = Self.first }
}
