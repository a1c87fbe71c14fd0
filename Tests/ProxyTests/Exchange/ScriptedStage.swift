// SPDX-License-Identifier: Apache-2.0

import Common
import NIOCore
import Synchronization

@testable import Proxy

/// Chooses where each try goes, says whether there is another one, and writes down how each has ended.
final class ScriptedStage: Stage {
    static var name: String { "scripted" }

    struct State {
        /// Where each try goes; the last one also those beyond.
        var endpoints: [Endpoint] = []
        /// How long to wait before each further try; none when it is empty.
        var waits: [Duration] = []
        var tries = 0
        /// How each try that failed had ended when a further one was asked for.
        var failures: [Outcome] = []
        /// How each try, and with the last one the call, ended.
        var outcomes: [Outcome] = []
        var errors: [ProxyError.Reason?] = []
        /// Statuses of gRPC that the client was told.
        var grpcStatuses: [Int?] = []
    }

    private let state: Mutex<State>
    private let service: Service?

    init(_ state: State, service: Service? = nil) {
        self.state = Mutex(state)
        self.service = service
    }

    /// What was seen so far.
    var seen: State { self.state.withLock { $0 } }

    func onRequest(_ exchange: inout Exchange) -> Verdict {
        exchange.endpoint = self.state.withLock { state in
            state.tries += 1
            return state.endpoints[min(state.tries, state.endpoints.count) - 1]
        }
        if let service { exchange.target = exchange.worker.state(of: service) }
        return .proceed
    }

    func onFailure(_ exchange: inout Exchange) -> Duration? {
        let outcome = exchange.outcome
        return self.state.withLock { state in
            state.failures.append(outcome)
            return state.waits.isEmpty ? nil : state.waits.removeFirst()
        }
    }

    func onFinish(_ exchange: inout Exchange) {
        let (outcome, error, status) = (exchange.outcome, exchange.error?.reason, exchange.grpcStatus)
        self.state.withLock { state in
            state.outcomes.append(outcome)
            state.errors.append(error)
            state.grpcStatuses.append(status)
        }
    }
}

/// A stage behind it that answers as it is told, by the number of the time that it is asked.
final class GateStage: Stage {
    static var name: String { "gate" }

    private let asked = Mutex(0)
    private let verdict: @Sendable (Int) -> Verdict

    init(_ verdict: @escaping @Sendable (Int) -> Verdict) { self.verdict = verdict }

    func onRequest(_ exchange: inout Exchange) -> Verdict {
        self.verdict(
            self.asked.withLock { asked in
                asked += 1
                return asked
            })
    }
}
