// SPDX-License-Identifier: Apache-2.0
// request path

import Common
package import NIOCore
import NIOSSL

#if canImport(Glibc)
    import Glibc
#endif

/// What an HTTP/1.1 client is sent.
extension HTTP1ServerConnection: Downstream {
    package func sendInterim(_ driver: ExchangeDriver) {
        guard let context = self.context, driver.exchange.request.minorVersion >= 1 else { return }
        driver.exchange.responseHeaders.removeHopByHop()
        driver.exchange.responseHeaders.remove(.contentLength)
        self.worker.flushes.scratch.clear()
        HTTP1Writer.write(
            driver.exchange.response, driver.exchange.responseHeaders, framing: .byHead, connection: .none,
            to: &self.worker.flushes.scratch)
        MessageWriter.flush(self.worker, to: context)
    }

    package func sendResponse(_ driver: ExchangeDriver, bodyLength: Int?, body: ByteBuffer?, isComplete: Bool) -> Bool {
        guard let context = self.context else { return true }
        let (framing, connection) = self.state.responseBegan(
            hasUnknownLength: bodyLength == nil, hasLater: self.hasLater || self.unread != nil,
            isDraining: self.isEnding)
        self.framing = framing
        driver.exchange.responseHeaders.removeHopByHop()
        if driver.exchange.response.status == 204 { driver.exchange.responseHeaders.remove(.contentLength) }
        if driver.exchange.response.flags.contains(.http2) { driver.exchange.stateEmptyBody(bodyLength) }
        self.worker.flushes.scratch.clear()
        HTTP1Writer.write(
            driver.exchange.response, driver.exchange.responseHeaders, framing: framing, connection: connection,
            date: self.worker.date, to: &self.worker.flushes.scratch)
        return self.write(body, isComplete: isComplete, driver, context)
    }

    package func sendBody(_ driver: ExchangeDriver, body: ByteBuffer?, isComplete: Bool) -> Bool {
        guard let context = self.context else { return true }
        self.worker.flushes.scratch.clear()
        return self.write(body, isComplete: isComplete, driver, context)
    }

    private func write(
        _ body: ByteBuffer?, isComplete: Bool, _ driver: ExchangeDriver, _ context: ChannelHandlerContext
    ) -> Bool {
        MessageWriter.add(
            body, framing: self.framing, isComplete: isComplete, trailers: driver.exchange.responseTrailers,
            worker: self.worker, to: context)
        MessageWriter.flush(self.worker, to: context, isLast: isComplete)
        return self.isWritable
    }

    package func sendReply(_ reply: LocalReply, _ driver: ExchangeDriver) {
        guard let context = self.context else { return }
        self.worker.flushes.scratch.clear()
        // What would begin inside would not be served any more.
        let reply = reply.leadsInside && self.isEnding ? LocalReply(ProxyError(.overloaded)) : reply
        if reply.leadsInside {
            self.state.tunnelLeadsInside()
            self.inside = TunnelTarget(driver.exchange)
            self.mayBeHTTP2 = true
            self.worker.flushes.scratch.writeStaticString("HTTP/1.1 200 Connection established\r\n\r\n")
            MessageWriter.flush(self.worker, to: context)
            return
        }
        let connection = self.state.responseBegan(
            hasUnknownLength: false, hasLater: self.hasLater || self.unread != nil,
            isDraining: self.isEnding
        ).connection
        HTTP1Writer.write(
            reply, to: driver.exchange.request.method, connection: connection, date: self.worker.date,
            to: &self.worker.flushes.scratch)
        MessageWriter.flush(self.worker, to: context, isLast: true)
    }

    package func abortResponse(_ driver: ExchangeDriver) {
        guard let context = self.context else { return }
        self.state.requestFailed()
        if self.state.input == .tunnel {
            // What an upstream has broken off ends like that on this side too.
            if driver.exchange.outcome == .diedInBody { self.breakOff(context) } else { context.close(promise: nil) }
            return
        }
        if self.framing == .untilClose { return self.breakOff(context) }
        // Answers to earlier requests may not be with the kernel yet: a client that takes them gets them first.
        if self.isWritable { self.end(lingers: true) } else { context.close(promise: nil) }
    }

    /// Closes with a reset: an orderly end would look like the end of the body.
    func breakOff(_ context: ChannelHandlerContext) {
        if let channel = context.channel as? any SocketOptionProvider {
            _ = channel.setSoLinger(linger(l_onoff: 1, l_linger: 0))
        }
        // Nor may TLS say a farewell.
        if let tls = try? context.pipeline.syncOperations.context(handlerType: NIOSSLServerHandler.self) {
            tls.close(promise: nil)
        } else {
            context.close(promise: nil)
        }
    }

    package func exchangeEnded() {
        self.releaseDriver()
        guard self.context != nil else { return }
        switch self.state.responseEnded() {
        case .nextRequest:
            self.readOn()
            // Who has yet to take the answer is not idle.
            if self.isWritable {
                self.setDeadline(after: self.plans.value.settings.keepAlive)
            } else {
                self.awaitReader()
            }
            if self.unread != nil || self.state.isInputClosed || self.plans.value.isDraining {
                self.worker.putOff(self)
            }
        case .close: self.end()
        case .linger: self.end(lingers: true)
        }
    }

    package func beginTunnel(_ driver: ExchangeDriver) -> ByteBuffer? {
        guard let context = self.context else { return nil }
        self.state.tunnelBegan()
        self.worker.flushes.scratch.clear()
        if driver.exchange.request.method == .connect {
            HTTP1Writer.writeTunnel(
                driver.exchange.response, &driver.exchange.responseHeaders, to: &self.worker.flushes.scratch)
        } else {
            driver.exchange.responseHeaders.removeHopByHop()
            HTTP1Writer.write(
                driver.exchange.response, driver.exchange.responseHeaders, framing: .byHead, connection: .upgrade,
                date: self.worker.date, to: &self.worker.flushes.scratch)
        }
        MessageWriter.flush(self.worker, to: context)
        self.readOn()
        return self.unread.take()
    }

    package func writeTunnel(_ bytes: ByteBuffer) -> Bool {
        guard let context = self.context else { return true }
        context.writeAndFlush(NIOAny(bytes), promise: nil)
        return self.isWritable
    }

    package func endTunnelOutput() {
        guard let context = self.context, case .not = self.closing else { return }
        self.closing = .writing(lingers: true)
        self.flushOut(context)
    }
}
