// SPDX-License-Identifier: Apache-2.0
// request path

package import Common
package import NIOCore

/// One step of the request path.
///
/// Called on the exchange's event loop; must not block, suspend or hop.
///
/// A stage is shared by all exchanges of all loops, so what it keeps between requests it keeps in the worker or behind
/// a lock of its own. ``EgressStages`` and ``IngressStages`` hold the order.
package protocol Stage: Sendable {
    /// The handler name that YAML chains use.
    static var name: String { get }

    /// Runs first to last, when the request's head is complete.
    func onRequest(_ exchange: inout Exchange) -> Verdict

    /// Runs last to first, when the head of the final response has come from the upstream.
    func onResponse(_ exchange: inout Exchange)

    /// Runs last to first, once for each `proceed` or `hold`, also when the exchange was aborted.
    func onFinish(_ exchange: inout Exchange)

    /// An attempt has failed and nothing has reached the client: the exchange has the error, or a response whose status
    /// counts as a failure.
    ///
    /// - Returns: How long to wait before the chain goes on with this stage's `onRequest`; `nil` for not at all. The
    ///   stages behind it are finished before, and so is this one.
    func onFailure(_ exchange: inout Exchange) -> Duration?
}

extension Stage {
    /// Nothing.
    package func onResponse(_ exchange: inout Exchange) {}

    /// Nothing.
    package func onFinish(_ exchange: inout Exchange) {}

    /// No further attempt.
    package func onFailure(_ exchange: inout Exchange) -> Duration? { nil }
}

/// What a stage decides about a request.
package enum Verdict {
    /// On to the next stage.
    case proceed
    /// Answer now.
    case reply(LocalReply)
    /// Answer with this error.
    case reject(ProxyError)
    /// Rare, such as an injected delay: the chain goes on when the future succeeds, and fails as `internal` when it
    /// fails.
    case hold(EventLoopFuture<Void>)
    /// Rare: this stage is asked again when the future succeeds, and must not have changed anything yet.
    case again(EventLoopFuture<Void>)
}

/// An answer that mesher makes itself.
package struct LocalReply: Sendable, Equatable {
    /// The HTTP status.
    package var status: Int
    /// Why, when it is an error; goes out as `x-mesher-error`.
    package var reason: ProxyError.Reason?
    /// Plain text.
    package var body: String
    /// Further header lines.
    package var headers: [Header] = []

    /// A header line of a local answer.
    package struct Header: Sendable, Equatable {
        /// Any token.
        package let name: String
        /// Anything without a line break.
        package let value: String

        /// A line; neither part may hold a line break.
        package init(_ name: String, _ value: String) {
            self.name = name
            self.value = value
        }
    }

    /// An answer with a plain-text body.
    package init(status: Int, reason: ProxyError.Reason? = nil, body: String = "") {
        self.status = status
        self.reason = reason
        self.body = body
    }

    /// The answer to a request that failed.
    package init(_ error: ProxyError) {
        self.init(status: error.status, reason: error.reason, body: error.body)
        if let seconds = error.retryAfter { self.headers = [Header("Retry-After", "\(seconds)")] }
    }
}

/// The stages of one direction in order, and the loop that runs them.
///
/// It keeps nothing: the exchange has the position.
package struct StageChain: Sendable {
    /// What the driver does next.
    package enum Action {
        case forward
        case reply(LocalReply)
        case fail(ProxyError)
        case wait(EventLoopFuture<Void>)
    }

    private let stages: [any Stage]
    /// Those of requests for external hosts; the first is the same, since it is what finds out.
    private let externalStages: [any Stage]

    /// Chains in the order given.
    package init(_ stages: [any Stage], external: [any Stage] = []) {
        self.stages = stages
        self.externalStages = external
    }

    /// The names of the stages, in order.
    package var names: [String] { self.stages.map { type(of: $0).name } }

    /// Runs on from the exchange's position.
    package func advance(_ exchange: inout Exchange) -> Action {
        while exchange.position < self.count(exchange) {
            // Called in its place: a copy of the stage would cost more than some stages do.
            switch self.onRequest(&exchange) {
            case .proceed: exchange.position &+= 1
            case .hold(let future):
                // Counts as a proceed now, so that an abort while waiting finishes this stage too.
                exchange.position &+= 1
                return .wait(future)
            case .again(let future): return .wait(future)
            case .reply(let reply): return .reply(reply)
            case .reject(let error): return .fail(error)
            }
        }
        return .forward
    }

    @inline(__always)
    private func count(_ exchange: borrowing Exchange) -> Int {
        exchange.isExternal ? self.externalStages.count : self.stages.count
    }

    @inline(__always)
    private func onRequest(_ exchange: inout Exchange) -> Verdict {
        let index = exchange.position
        return exchange.isExternal
            ? self.externalStages[index].onRequest(&exchange) : self.stages[index].onRequest(&exchange)
    }

    /// Shows the response's head to the stages that proceeded, last first.
    package func respond(_ exchange: inout Exchange) {
        let stages = exchange.isExternal ? self.externalStages : self.stages
        var index = exchange.position
        while index > 0 {
            index &-= 1
            stages[index].onResponse(&exchange)
        }
    }

    /// Finishes the stages that proceeded, last first.
    package func finish(_ exchange: inout Exchange) {
        let stages = exchange.isExternal ? self.externalStages : self.stages
        while exchange.position > 0 {
            exchange.position &-= 1
            stages[exchange.position].onFinish(&exchange)
        }
    }

    /// Asks the stages, last first, whether one wants another attempt, and goes back to the one that does.
    ///
    /// - Returns: How long to wait before ``advance(_:)``; `nil` when there is no other attempt, and nothing has changed.
    package func recover(_ exchange: inout Exchange) -> Duration? {
        let stages = exchange.isExternal ? self.externalStages : self.stages
        for index in stride(from: exchange.position - 1, through: 0, by: -1) {
            guard let wait = stages[index].onFailure(&exchange) else { continue }
            exchange.outcome = .failed
            while exchange.position > index {
                exchange.position -= 1
                stages[exchange.position].onFinish(&exchange)
            }
            exchange.outcome = .aborted
            return wait
        }
        return nil
    }
}
