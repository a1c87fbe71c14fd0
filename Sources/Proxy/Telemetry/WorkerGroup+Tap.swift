// SPDX-License-Identifier: Apache-2.0

package import Common

extension WorkerGroup {
    /// Shows requests as they end, from now on: those that `filter` takes.
    ///
    /// - Throws: What the loops throw when they have ended.
    package func tap(_ filter: TapFilter) async throws -> RequestTap {
        let key = TapKey()
        let tap = RequestTap(
            fetch: { try await self.gather { $0.telemetry.fetch(key) } },
            end: { self.forEach { $0.telemetry.end(key) } })
        do {
            _ = try await self.gather { $0.telemetry.begin(TapBuffer(key, filter)) }
        } catch {
            tap.end()
            throw error
        }
        return tap
    }
}
