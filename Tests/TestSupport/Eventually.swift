// SPDX-License-Identifier: Apache-2.0

/// Looks again and again until a fact that no event announces is there.
///
/// - Returns: Whether it was there in time.
package func eventually(
    within limit: Duration = .seconds(10), _ fact: () async throws -> Bool
) async rethrows -> Bool {
    let deadline = ContinuousClock.now + limit
    while try await !fact() {
        if ContinuousClock.now > deadline { return false }
        try? await Task.sleep(for: .milliseconds(5))
    }
    return true
}
