// SPDX-License-Identifier: Apache-2.0

/// Runs `work`, which ends when it is cancelled only, as long as `body` runs.
package func whileRunning(
    _ work: @escaping @Sendable () async throws -> Void, _ body: () async throws -> Void
) async throws {
    let running = Task { try await work() }
    do {
        try await body()
    } catch {
        running.cancel()
        throw error
    }
    running.cancel()
    _ = await running.result
}
