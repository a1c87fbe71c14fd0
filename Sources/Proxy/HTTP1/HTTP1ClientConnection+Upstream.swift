// SPDX-License-Identifier: Apache-2.0
// request path

import Common
package import NIOCore
import NIOSSL

#if canImport(Glibc)
    import Glibc
#endif

/// What the pool asks of an HTTP/1.1 connection.
extension HTTP1ClientConnection: SingleConnection {
    package var isOpen: Bool { self.context != nil && !self.isClosing }

    package func waitIdle(_ amount: TimeAmount) {
        self.isIdle = true
        self.setDeadline(after: amount)
    }

    package func limitIdle(_ amount: TimeAmount) {
        if self.isIdle, self.worker.now + amount < self.deadline { self.setDeadline(after: amount) }
    }

    package func leaveIdle() {
        self.isIdle = false
        self.deadline = .distantFuture
    }

    package func close() {
        if self.isIdle { self.worker.pool.removeIdle(self) }
        self.isIdle = false
        self.isClosing = true
        self.context?.close(promise: nil)
    }
}

/// What the driver asks of it.
extension HTTP1ClientConnection: Upstream {
    package var mayRefuse: Bool { false }

    package func sendRequest(_ ticket: Ticket, body: ByteBuffer?, isComplete: Bool) -> SentRequest {
        assert(self.ticket == nil && !self.isIdle, "an upstream has one owner")
        guard let context = self.context, !self.isClosing else { return .lost }
        let driver = ticket.driver
        self.ticket = ticket
        self.served &+= 1
        self.hasAnswered = false
        self.input = .head
        self.scanner = HeadScanner()
        self.isRequestComplete = isComplete
        self.framing = driver.exchange.request.flags.contains(.chunked) ? .chunked : .byHead
        self.worker.flushes.scratch.clear()
        HTTP1Writer.write(
            driver.exchange.request, driver.exchange.requestHeaders, framing: self.framing,
            isUpgrade: driver.exchange.request.isWebSocketUpgrade, to: &self.worker.flushes.scratch)
        self.flush(body, isComplete: isComplete, driver, context)
        return .sent(takesMore: self.isWritable)
    }

    package func sendBody(_ ticket: Ticket, body: ByteBuffer?, isComplete: Bool) -> Bool {
        // Closed under the call: what has been put off says so.
        guard let context = self.context, !self.isClosing else { return true }
        self.isRequestComplete = isComplete
        self.worker.flushes.scratch.clear()
        self.flush(body, isComplete: isComplete, ticket.driver, context)
        return self.isWritable
    }

    package func openTunnel(_ ticket: Ticket) -> Bool {
        guard self.context != nil, !self.isClosing else { return false }
        self.ticket = ticket
        self.served &+= 1
        self.becomeTunnel()
        return true
    }

    private func flush(
        _ body: ByteBuffer?, isComplete: Bool, _ driver: ExchangeDriver, _ context: ChannelHandlerContext
    ) {
        MessageWriter.add(
            body, framing: self.framing, isComplete: isComplete, trailers: driver.exchange.requestTrailers,
            worker: self.worker, to: context)
        MessageWriter.flush(self.worker, to: context, isLast: isComplete)
    }

    package func cancel(_ ticket: Ticket, because reason: Cancellation) {
        guard let mine = self.ticket, mine.number == ticket.number, mine.driver === ticket.driver else { return }
        self.ticket = nil
        // A peer sidecar would take an orderly end for a client that still wants its answer.
        if let channel = self.context?.channel as? any SocketOptionProvider {
            _ = channel.setSoLinger(linger(l_onoff: 1, l_linger: 0))
        }
        // Nor may TLS say a farewell.
        if self.group.tls != nil, let context = self.context,
            let tls = try? context.pipeline.syncOperations.context(handlerType: NIOSSLClientHandler.self)
        {
            self.isClosing = true
            tls.close(promise: nil)
        } else {
            self.close()
        }
    }

    package func setReading(_ isReading: Bool) {
        guard isReading != self.isReading, let context = self.context else { return }
        self.isReading = isReading
        try? context.channel.syncOptions?.setOption(.autoRead, value: isReading)
    }

    package func writeTunnel(_ bytes: ByteBuffer) -> Bool {
        guard let context = self.context, !self.isClosing else { return true }
        context.writeAndFlush(NIOAny(bytes), promise: nil)
        return self.isWritable
    }

    package func endTunnelOutput() {
        guard let context = self.context, !self.isClosing else { return }
        // Its call may be over before that, and with it whoever would notice that it takes too long.
        if let settings = self.ticket?.driver.settings { self.setDeadline(after: settings.stream) }
        MessageWriter.whenWritten(context, self.worker) {
            self.isWrittenOut = true
            return self
        }
    }
}

extension HTTP1ClientConnection: DeadlineOwner {
    package func deadlineReached() { self.worker.event { self.close() } }
}
