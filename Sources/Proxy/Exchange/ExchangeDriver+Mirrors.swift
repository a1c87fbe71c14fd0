// SPDX-License-Identifier: Apache-2.0
// request path

import Common
import NIOCore

/// Copies of the request that is under way.
extension ExchangeDriver {
    /// Begins the copies that the request's route wants, as far as chance says so.
    ///
    /// Allocates: only requests that are copied come here.
    func beginMirrors(_ mirrors: [MirrorEffect]) {
        guard let plan = self.plan.mirrors, !self.exchange.request.isWebSocketUpgrade,
            self.exchange.request.method != .connect, !self.worker.overload.refusesRequests
        else { return }
        for effect in mirrors where RouteFault.hits(effect.share, using: &self.worker.random) {
            guard let mirror = MirrorCall(of: &self.exchange, effect, plan, self.worker) else { continue }
            if let body = self.call.pendingBody, !mirror.take(body) { continue }
            if self.call.isRequestComplete {
                mirror.send(self.exchange.copiedTrailers())
            } else {
                self.call.mirrors.append(mirror)
            }
        }
    }

    /// More of a request has come that is copied.
    func mirror(_ body: ByteBuffer?, isComplete: Bool) {
        if let body { self.call.mirrors.removeAll { !$0.take(body) } }
        guard isComplete else { return }
        for mirror in self.call.mirrors { mirror.send(self.exchange.copiedTrailers()) }
        self.call.mirrors = []
    }

    /// The call has ended before its request was whole.
    func abandonMirrors() {
        for mirror in self.call.mirrors { mirror.abandon(.cut) }
        self.call.mirrors = []
    }
}
