// SPDX-License-Identifier: Apache-2.0
// request path

package import Common
package import NIOCore

/// The stages of one direction, a list for each chain, and the loop that runs them.
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

    /// Those of all chains, one behind the other; all begin with the stages that find out which one a request takes.
    private let stages: [any Stage]
    /// Where the second chain begins.
    private let middle: Int

    /// Chains in the order given.
    ///
    /// - Parameter external: That of ``VirtualHost/Chain/external``.
    package init(_ stages: [any Stage], external: [any Stage] = []) {
        self.stages = stages + external
        self.middle = stages.count
    }

    /// The names of the stages that requests to services pass, in order.
    package var names: [String] { self.stages[..<self.middle].map { type(of: $0).name } }

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
        exchange.chain == .services ? self.middle : self.stages.count &- self.middle
    }

    /// Where the chain of a request begins.
    @inline(__always)
    private func start(_ exchange: borrowing Exchange) -> Int { exchange.chain == .services ? 0 : self.middle }

    @inline(__always)
    private func onRequest(_ exchange: inout Exchange) -> Verdict {
        self.stages[self.start(exchange) &+ exchange.position].onRequest(&exchange)
    }

    /// Shows the response's head to the stages that proceeded, last first.
    package func respond(_ exchange: inout Exchange) {
        let start = self.start(exchange)
        var index = exchange.position
        while index > 0 {
            index &-= 1
            self.stages[start &+ index].onResponse(&exchange)
        }
    }

    /// Finishes the stages that proceeded, last first.
    package func finish(_ exchange: inout Exchange) {
        let start = self.start(exchange)
        while exchange.position > 0 {
            exchange.position &-= 1
            self.stages[start &+ exchange.position].onFinish(&exchange)
        }
    }

    /// Asks the stages, last first, whether one wants another try, and goes back to the one that does.
    ///
    /// The exchange has the outcome of the try that has failed.
    ///
    /// - Returns: How long to wait before ``advance(_:)``; `nil` when there is no other attempt, and nothing has changed.
    package func recover(_ exchange: inout Exchange) -> Duration? {
        let start = self.start(exchange)
        for index in stride(from: exchange.position - 1, through: 0, by: -1) {
            guard let wait = self.stages[start &+ index].onFailure(&exchange) else { continue }
            while exchange.position > index {
                exchange.position -= 1
                self.stages[start &+ exchange.position].onFinish(&exchange)
            }
            return wait
        }
        return nil
    }
}
