// SPDX-License-Identifier: Apache-2.0
// request path

import Common
import NIOCore

/// What makes a connection one of HTTP/2: its first bytes, or CONNECT.
extension HTTP1ServerConnection {
    /// Hands the connection over to HTTP/2 if that is what its first bytes are.
    ///
    /// - Returns: Whether the bytes are taken care of.
    func takesHTTP2(_ input: inout ByteBuffer, _ context: ChannelHandlerContext) -> Bool {
        let count = min(input.readableBytes, Self.prefaceLine)
        guard count > 0, input.readableBytesSpan.extracting(0..<count).isPrefix(of: HTTP2.preface) else {
            self.mayBeHTTP2 = false
            return false
        }
        // The first line tells it from every method of HTTP/1.1.
        guard count == Self.prefaceLine else {
            self.unread = input
            return true
        }
        self.mayBeHTTP2 = false
        self.handOver(input, target: nil, context)
        return true
    }

    private static let prefaceLine = 14

    private func handOver(_ input: ByteBuffer, target: TunnelTarget?, _ context: ChannelHandlerContext) {
        let connection = HTTP2ServerConnection(
            worker: self.worker, plans: self.plans, isGRPC: self.isGRPC, tunnelTarget: target, budget: self.budget)
        self.state.requestFailed()
        do {
            try context.pipeline.syncOperations.addHandler(connection, position: .after(self))
        } catch {
            context.close(promise: nil)
            return
        }
        self.budget = nil
        connection.received(input)
        context.pipeline.syncOperations.removeHandler(self, promise: nil)
    }

    /// Whether CONNECT is what a gRPC library says to its proxy: HTTP/2 follows, and every request in it names its service
    /// again.
    func leadsToService(_ driver: ExchangeDriver) -> Bool {
        guard self.plan.direction == .outgoing else { return false }
        if self.isGRPC { return true }
        return driver.exchange.requestHeaders.withBytes(in: driver.exchange.request.authority.host) {
            self.worker.directory.value.service(named: $0) != nil
        }
    }

    /// Answers CONNECT and reads HTTP/2 from here on; no tunnel is opened to anywhere.
    func answerConnect(_ driver: ExchangeDriver, _ input: inout ByteBuffer) {
        guard let context = self.context else { return }
        let target = TunnelTarget(driver.exchange)
        driver.exchange.reset()
        self.releaseDriver()
        self.worker.scratch.clear()
        self.worker.scratch.writeStaticString("HTTP/1.1 200 Connection established\r\n\r\n")
        MessageWriter.flush(self.worker, to: context)
        let rest = input
        input.clear()
        self.handOver(rest, target: target, context)
    }
}
