// SPDX-License-Identifier: Apache-2.0

import Dispatch
import Glibc

/// Has a command that shows something end in its own way when it is told to, by INT or TERM.
struct StopSignals {
    private let sources: [any DispatchSourceSignal]

    /// - Parameter stop: Called with each signal, from now on until ``end()``.
    init(_ stop: @escaping @Sendable () -> Void) {
        self.sources = [SIGINT, SIGTERM].map { number in
            signal(number, SIG_IGN)
            let source = DispatchSource.makeSignalSource(signal: number, queue: .global())
            source.setEventHandler { stop() }
            source.resume()
            return source
        }
    }

    func end() { self.sources.forEach { $0.cancel() } }
}
