// SPDX-License-Identifier: Apache-2.0

import Glibc
import Logging
import UnixSignals

/// Stops the process on TERM, INT and QUIT: gracefully at first, at once on the second one; reads files again on HUP; and
/// takes a sidecar out of service on USR1.
///
/// Not left to ServiceLifecycle, which stops listening after the first signal.
struct SignalWatch: Sendable {
    let logger: Logger
    let stop: @Sendable () async -> Void
    var reload: @Sendable () -> Void = {}
    /// `nil` where there is nothing to take out of service: USR1 is not looked for there, and ``SidecarProcess`` sees that.
    var leave: (@Sendable () -> Void)?

    /// Watches until the process ends.
    ///
    /// Returns when signals are watched: before that one ends the process at once, so nothing may be begun.
    func start() async {
        let signals = await UnixSignalsSequence(
            trapping: [.sigterm, .sigint, .sigquit, .sighup] + (self.leave == nil ? [] : [.sigusr1]))
        Task.detached {
            var isStopping = false
            for await signal in signals {
                if signal == .sighup {
                    self.reload()
                    continue
                }
                if signal == .sigusr1 {
                    self.leave?()
                    continue
                }
                if isStopping {
                    self.logger.warning("second signal: ending at once", metadata: ["signal": "\(signal)"])
                    exit(1)
                }
                isStopping = true
                self.logger.notice("stopping", metadata: ["signal": "\(signal)"])
                Task.detached { await self.stop() }
            }
        }
    }
}
