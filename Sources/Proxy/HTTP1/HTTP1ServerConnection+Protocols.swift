// SPDX-License-Identifier: Apache-2.0
// request path

import Common
import Logging
import NIOCore

/// What TLS has agreed on by ALPN.
///
/// - Source: RFC 7301.
package enum NegotiatedProtocol: Sendable {
    /// Nothing: the client has not asked. The first bytes tell.
    case none
    case http1
    case http2

    /// - Parameter name: What the library says was chosen.
    init(_ name: String?) {
        switch name {
        case "h2", "istio-h2": self = .http2
        case "http/1.1", "istio-http/1.1": self = .http1
        default: self = .none
        }
    }
}

/// Whom a CONNECT to a service has named: requests inside that name nobody else are for it.
///
/// - Source: what libraries do with `http_proxy`: those of gRPC, and of WebSockets (RFC 6455 §4.1).
package struct TunnelTarget: Sendable {
    /// `host:port`.
    let authority: [UInt8]
    /// How much of it is the host.
    private let hostLength: Int

    /// What a CONNECT names.
    init(_ exchange: borrowing Exchange) {
        let authority = exchange.request.authority
        self.authority = exchange.requestHeaders.withBytes(in: authority.whole) { bytes in
            (0..<bytes.byteCount).map { bytes.byte(at: $0) }
        }
        self.hostLength = authority.host.count
    }

    /// Whether a host is the same, in any letter case.
    func isHost(_ host: RawSpan) -> Bool {
        guard host.byteCount == self.hostLength else { return false }
        for index in 0..<host.byteCount where host.byte(at: index).lowercased != self.authority[index].lowercased {
            return false
        }
        return true
    }
}

extension Exchange {
    /// Names the service for a request that came inside a CONNECT: an absolute target counts, `Host` where it says the
    /// same, and else the target of the CONNECT.
    mutating func direct(to target: TunnelTarget) {
        guard !self.request.flags.contains(.absoluteTarget), self.request.method != .connect else { return }
        self.request.flags.insert(.absoluteTarget)
        let isSame = self.requestHeaders.withBytes(in: self.request.authority.host) { target.isHost($0) }
        if isSame { return }
        self.replaceAuthority(by: target)
    }

    /// Makes the target of the CONNECT the request's.
    mutating func replaceAuthority(by target: TunnelTarget) {
        self.requestHeaders.remove(.host)
        let whole = self.requestHeaders.appendHost(target.authority.rawSpan)
        if let authority = self.requestHeaders.authority(in: whole) { self.request.authority = authority }
    }
}

/// What the first bytes of a connection, or inside a CONNECT, say about the protocol.
extension HTTP1ServerConnection {
    /// The first line of HTTP/2's preface tells it from every method of HTTP/1.1.
    private static let prefaceLine = 14

    /// Looks at the first bytes.
    ///
    /// - Returns: Whether they are taken care of: handed over to HTTP/2, refused, or too few to tell.
    func takesAnotherProtocol() -> Bool {
        guard let context = self.context, let input = self.unread else { return false }
        let count = min(input.readableBytes, Self.prefaceLine)
        guard count > 0 else { return true }
        if input.readableBytesSpan.extracting(0..<count).isPrefix(of: HTTP2.preface) {
            guard count == Self.prefaceLine else {
                if self.state.isInputClosed {
                    self.end()
                } else {
                    self.setDeadline(after: self.plan.settings.requestHead)
                }
                return true
            }
            self.unread = nil
            self.mayBeHTTP2 = false
            self.handOver(input, context)
            return true
        }
        if self.negotiated == .http2 {
            self.refuseProtocol(.negotiatedProtocol, context)
            return true
        }
        let first = input.readableBytesSpan.byte(at: 0)
        // What gRPC libraries tunnel is HTTP/2 and nothing else.
        if self.inside != nil, self.isGRPC || (!first.isToken && first != .carriageReturn) {
            self.refuseProtocol(.tunnelProtocol, context)
            return true
        }
        self.mayBeHTTP2 = false
        return false
    }

    /// Ends a connection that speaks something else; nothing could be answered that its client would understand.
    private func refuseProtocol(_ limit: Limit, _ context: ChannelHandlerContext) {
        self.worker.metrics.count(limit)
        let first = self.unread.flatMap { $0.getInteger(at: $0.readerIndex, as: UInt8.self) }
        self.worker.log(
            limit == .tunnelProtocol
                ? "connection closed: after CONNECT to a service only HTTP/1.1 and HTTP/2 in plain text are served"
                : "connection closed: TLS has agreed on another protocol",
            limit,
            metadata: [
                "first_bytes": first == 0x16 ? "TLS" : "unknown",
                "target": "\(self.inside.map { String(decoding: $0.authority, as: UTF8.self) } ?? "")",
                "client": "\(context.channel.remoteAddress?.description ?? "")",
            ])
        self.state.requestFailed()
        self.unread = nil
        context.close(promise: nil)
    }

    private func handOver(_ input: ByteBuffer, _ context: ChannelHandlerContext) {
        self.readOnce(context)
        let connection = HTTP2ServerConnection(
            worker: self.worker, plans: self.plans, isGRPC: self.isGRPC, isSecure: self.negotiated != nil,
            tunnelTarget: self.inside, caller: self.caller, budget: self.budget.take())
        self.state.requestFailed()
        do {
            try context.pipeline.syncOperations.addHandler(connection, position: .after(self))
        } catch {
            connection.budget.take()?.leave()
            context.close(promise: nil)
            return
        }
        connection.received(input)
        // Its end came with these bytes: half a connection of HTTP/2 is none.
        if self.state.isInputClosed { context.close(promise: nil) }
        context.pipeline.syncOperations.removeHandler(self, promise: nil)
    }
}
