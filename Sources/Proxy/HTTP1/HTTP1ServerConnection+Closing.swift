// SPDX-License-Identifier: Apache-2.0
// request path

import Common
import NIOCore

/// The end of an HTTP/1.1 client connection, which comes when everything that was written is with the kernel.
extension HTTP1ServerConnection: ClientConnection, DeadlineOwner {
    /// Whether the connection ends with the answer in flight, whatever the client wishes.
    var isEnding: Bool { self.plans.value.isDraining || self.worker.overload.endsConnections }

    /// Ends the connection once everything written is sent.
    ///
    /// - Parameter lingers: Whether to close the sending side only and to read on for a while: closing at once would
    ///   reset the connection and destroy an answer that the client, still sending, has not read.
    func end(lingers: Bool = false) {
        guard let context = self.context else { return }
        let hasUnread = self.unread != nil
        self.state.requestFailed()
        self.unread = nil
        switch self.closing {
        case .lingering: return
        case .writing(let lingered):
            // A tunnel whose other way has ended too.
            self.closing = .writing(lingers: lingered && lingers && !self.state.isInputClosed)
            self.setDeadline(after: self.plan.settings.stream)
            if self.isOutputClosed { context.close(promise: nil) }
        case .not:
            self.closing = .writing(lingers: lingers || hasUnread)
            self.setDeadline(after: self.plan.settings.stream)
            self.readOn()
            self.flushOut(context)
        }
    }

    func flushOut(_ context: ChannelHandlerContext) {
        MessageWriter.whenWritten(context, self.worker, isDirect: self.negotiated == nil) {
            self.isWrittenOut = true
            return self
        }
    }

    /// Everything is with the kernel.
    func writtenOut() {
        self.isWrittenOut = false
        guard let context = self.context, case .writing(let lingers) = self.closing else { return }
        if self.state.input == .tunnel {
            // The client may go on sending; the end of that closes the connection.
            self.isOutputClosed = true
            context.close(mode: .output, promise: nil)
        } else if lingers, !self.state.isInputClosed {
            self.closing = .lingering
            self.setDeadline(after: self.plan.settings.linger)
            context.close(mode: .output, promise: nil)
        } else {
            context.close(promise: nil)
        }
    }

    package func deadlineReached() { self.worker.event { self.expire() } }

    private func expire() {
        guard let context = self.context else { return }
        guard case .not = self.closing else {
            guard case .writing = self.closing else { return context.close(promise: nil) }
            self.worker.metrics.count(.clientStallTime)
            return self.breakOff(context)
        }
        guard self.state.input == .head else { return }
        if !self.isWritable {
            self.worker.metrics.count(.clientStallTime)
            context.close(promise: nil)
        } else if let driver = self.driver {
            self.state.requestFailed()
            driver.exchange.requestHeaders.clear()  // half a head
            driver.exchange.request.method = .other
            self.worker.metrics.count(.requestHeadTime)
            driver.refuse(self, plan: self.plan, LocalReply(ProxyError(.requestTimeout)))
        } else {
            self.worker.metrics.count(.keepAliveTime)
            self.end()
        }
    }

    func closeIfIdle(_ direction: Direction) {
        guard self.plan.direction == direction, self.state.isIdle, self.unread == nil, self.driver == nil else {
            return
        }
        self.end()
    }

    /// The next answer says so: a client that has just sent a request would lose it if the connection were closed.
    func announceEnd(_ direction: Direction) {}

    func limitIdle(_ amount: TimeAmount) {
        guard self.state.isIdle, self.driver == nil, self.worker.now + amount < self.deadline else { return }
        self.setDeadline(after: amount)
    }

    func cut(_ direction: Direction?) {
        guard direction == nil || self.plan.direction == direction else { return }
        if let driver = self.driver, !driver.isIdle {
            driver.requestFailed(ProxyError(direction == nil ? .overloaded : .upstreamReset))
        }
        self.context?.close(promise: nil)
    }

    var heldBytes: Int {
        let unread = self.unread?.readableBytes ?? 0
        let pending = self.driver?.heldBytes ?? 0
        let written = try? self.context?.channel.syncOptions?.getOption(.bufferedWritableBytes)
        return unread + pending + (written ?? 0)
    }
}
