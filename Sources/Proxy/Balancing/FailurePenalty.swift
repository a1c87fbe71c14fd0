// SPDX-License-Identifier: Apache-2.0
// request path

/// How long a failure counts as having taken, where instances are compared by how fast they answer.
///
/// - Source: Linkerd's proxy, for the idea of a penalty instead of the time that was measured; the figures are our own.
enum FailurePenalty {
    /// A second, in nanoseconds: more than what answers usually take.
    private static let least = 1e9
    /// So many times what the instance's answers take, where these take longer.
    private static let factor = 3.0

    /// - Parameter time: What the failed request took, in nanoseconds.
    /// - Parameter usual: What answers of the instance take, in nanoseconds; 0 when that is not known.
    static func of(_ time: Double, usual: Double) -> Double { max(time, Self.factor * usual, Self.least) }
}
