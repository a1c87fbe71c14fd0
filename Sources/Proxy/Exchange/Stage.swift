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

    /// Runs last to first, once for each `proceed` or `hold`, whatever the outcome, which the exchange has.
    func onFinish(_ exchange: inout Exchange)

    /// A try has failed and nothing has reached the client: the exchange has the outcome, and the error, or a response
    /// whose status counts as a failure. A stage behind may have refused it.
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
