// SPDX-License-Identifier: Apache-2.0
// request path

import Common
package import NIOCore

/// A tunnel: a WebSocket, or CONNECT to a listed host.
///
/// Each way ends by itself; the call is over when both have ended, or when one side is gone.
extension ExchangeDriver {
    /// The upstream has switched protocols.
    package func beginTunnel(_ number: UInt64) {
        guard self.ticket == number, self.phase == .waiting else { return }
        self.phase = .tunnel
        self.call.headDeadline = .distantFuture
        self.exchange.status = self.exchange.response.status
        self.plan.chain.respond(&self.exchange)
        self.call.isUpstreamFull = false
        let unread = self.call.downstream?.beginTunnel(self)
        if self.call.hasClientLeft {
            // Its FIN came before there was a tunnel to send it through.
            self.call.hasClientLeft = false
            self.call.isTunnelInputClosed = true
        }
        self.armIdle()
        if let early = self.call.pendingBody.take() {
            self.exchange.requestBytes &-= early.readableBytes
            self.tunnelFromDownstream(early)
        }
        if let unread { self.tunnelFromDownstream(unread) }
        self.call.downstream?.setReading(!self.call.isUpstreamFull)
        if self.call.isTunnelInputClosed { self.exchange.attempt.upstream?.endTunnelOutput() }
    }

    /// Bytes of the tunnel from the client; those that come before it is open wait.
    package func tunnelFromDownstream(_ bytes: ByteBuffer) {
        self.exchange.requestBytes &+= bytes.readableBytes
        guard self.phase == .tunnel, let upstream = self.exchange.attempt.upstream else {
            if self.phase != .idle { self.keepForLater(bytes) }
            return
        }
        let takesMore = upstream.writeTunnel(bytes)
        if !takesMore || self.call.isUpstreamFull {
            self.call.isUpstreamFull = !takesMore
            self.call.downstream?.setReading(takesMore)
        }
        self.armIdle()
    }

    /// The client has closed its sending side of the tunnel.
    package func tunnelInputClosed() {
        guard self.phase != .idle, !self.call.isTunnelInputClosed else { return }
        self.call.isTunnelInputClosed = true
        guard self.phase == .tunnel else { return }
        self.exchange.attempt.upstream?.endTunnelOutput()
        self.endTunnelIfOver()
    }

    /// Bytes of the tunnel from the upstream.
    package func tunnelFromUpstream(_ number: UInt64, _ bytes: ByteBuffer) {
        guard self.ticket == number, self.phase == .tunnel else { return }
        self.exchange.responseBytes &+= bytes.readableBytes
        let takesMore = self.call.downstream?.writeTunnel(bytes) ?? true
        if !takesMore || self.call.isDownstreamFull {
            self.call.isDownstreamFull = !takesMore
            self.exchange.attempt.upstream?.setReading(takesMore)
        }
        self.armIdle()
    }

    /// The upstream has closed its sending side of the tunnel.
    package func tunnelOutputEnded(_ number: UInt64) {
        guard self.ticket == number, self.phase == .tunnel, !self.call.isTunnelOutputClosed else { return }
        self.call.isTunnelOutputClosed = true
        self.call.downstream?.endTunnelOutput()
        self.endTunnelIfOver()
    }

    private func endTunnelIfOver() {
        guard self.call.isTunnelInputClosed, self.call.isTunnelOutputClosed else { return }
        // What is written to either side still goes out: both close when it has.
        self.exchange.attempt.upstream = nil
        self.conclude(.answered) { _ in }
    }

    /// The connection to the upstream is gone.
    ///
    /// - Parameter isBroken: It was reset, and not closed.
    package func tunnelLost(_ number: UInt64, isBroken: Bool) {
        guard self.ticket == number, self.phase == .tunnel else { return }
        self.exchange.attempt.upstream = nil
        // Once it has said that it sends no more, nothing of it is missing.
        if isBroken, !self.call.isTunnelOutputClosed {
            self.fail(ProxyError(.upstreamReset))
        } else {
            let isToldAlready = self.call.isTunnelOutputClosed
            self.conclude(.answered) { if !isToldAlready { $0.endTunnelOutput() } }
        }
    }
}
