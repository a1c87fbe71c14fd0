// SPDX-License-Identifier: Apache-2.0

package import AsyncHTTPClient

extension HTTPClient {
    /// Shuts the client down; nothing may be called afterwards.
    ///
    /// - Parameter limit: How long that is waited for. The library waits for every connect that is underway, so a server
    ///   that accepts nothing would hold up the end of the process; after the limit the rest goes on by itself.
    package func close(within limit: Duration = .seconds(1)) async {
        let (closed, end) = AsyncStream.makeStream(of: Void.self)
        self.shutdown { _ in end.finish() }
        let timer = _Concurrency.Task {
            try? await _Concurrency.Task.sleep(for: limit)
            end.finish()
        }
        // In a task of its own: whoever closes a client has often been cancelled, and a stream ends at once for them.
        await _Concurrency.Task { for await _ in closed {} }.value
        timer.cancel()
    }
}
