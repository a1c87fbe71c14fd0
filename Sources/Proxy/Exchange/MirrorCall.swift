// SPDX-License-Identifier: Apache-2.0
// request path

import Common
import NIOCore

/// A copy of a request: received together with it, then a call of its own, without a client.
///
/// It is sent when the request is whole, and nobody waits for its answer.
final class MirrorCall: Downstream, EventTail {
    private let plan: TrafficPlan
    /// Taken from the worker, and given back at the end.
    private let driver: ExchangeDriver
    private let worker: Worker
    private var body: ByteBuffer?
    private var held = 0

    /// A copy of what there is of a request.
    ///
    /// - Returns: `nil` when there are too many copies.
    init?(
        of exchange: inout Exchange, _ effect: MirrorEffect, _ plan: TrafficPlan, _ worker: Worker
    ) {
        guard worker.mirrors.begin() else {
            worker.metrics.count(.tooMany)
            return nil
        }
        self.plan = plan
        self.worker = worker
        self.driver = worker.takeDriver()
        self.driver.exchange.copy(&exchange)
        self.driver.exchange.effect = effect.effect
        self.driver.exchange.cluster = effect.cluster
        self.driver.exchange.timeout = effect.effect.headLimit
        if !effect.keepsHost { self.driver.exchange.addToHost("-shadow") }
    }

    /// Takes more of the request's body.
    ///
    /// - Returns: `false` when it is too much, and the copy is over.
    func take(_ bytes: ByteBuffer) -> Bool {
        var bytes = bytes
        let count = bytes.readableBytes
        guard self.held + count <= Mirrors.mostBody, self.worker.mirrors.keep(count) else {
            self.abandon(.tooLarge)
            return false
        }
        self.held += count
        if self.body == nil { self.body = bytes } else { self.body?.writeBuffer(&bytes) }
        return true
    }

    /// The request is whole: the copy is sent at the end of the event, so that it holds up nothing.
    func send(_ trailers: consuming HeaderBlock?) {
        self.driver.exchange.requestTrailers = consume trailers
        self.worker.putOff(self)
    }

    func eventEnds() {
        self.driver.begin(self, plan: self.plan, body: self.body.take(), isComplete: true)
    }

    /// There will be no copy.
    func abandon(_ result: MirrorResult) {
        self.worker.metrics.count(result)
        self.driver.exchange.reset()
        self.exchangeEnded()
    }

    // MARK: Downstream

    func exchangeEnded() {
        self.worker.mirrors.end(self.held)
        self.worker.giveBack(self.driver)
    }

    func sendInterim(_ driver: ExchangeDriver) {}

    func sendResponse(_ driver: ExchangeDriver, bodyLength: Int?, body: ByteBuffer?, isComplete: Bool) -> Bool { true }

    func sendBody(_ driver: ExchangeDriver, body: ByteBuffer?, isComplete: Bool) -> Bool { true }

    func sendReply(_ reply: LocalReply, _ driver: ExchangeDriver) {}

    func abortResponse(_ driver: ExchangeDriver) {}

    func setReading(_ isReading: Bool) {}

    // It is no request for a tunnel.
    func beginTunnel(_ driver: ExchangeDriver) -> ByteBuffer? { nil }

    func writeTunnel(_ bytes: ByteBuffer) -> Bool { true }

    func endTunnelOutput() {}
}

extension Exchange {
    /// Takes over the request of another exchange as its route has left it, and what governs it.
    fileprivate mutating func copy(_ other: inout Exchange) {
        self.direction = other.direction
        self.request = other.request
        self.requestHeaders = other.requestHeaders.copied()
        // What an endpoint wants `Host` to say concerns nobody else.
        if let mark = other.balancing.mark { self.requestHeaders.goBack(to: mark) }
        // Its body is there.
        self.requestHeaders.remove(.expect)
        self.request.flags.remove(.expectContinue)
        self.peer = other.peer
        self.isPeerTrusted = other.isPeerTrusted
        self.isSecure = other.isSecure
        self.isGRPC = other.isGRPC
        self.target = other.target
        self.chain = other.chain
    }

    /// The request's trailers once more.
    mutating func copiedTrailers() -> HeaderBlock? {
        switch self.requestTrailers {
        case .some(let trailers): return trailers.copied()
        case .none: return nil
        }
    }

    /// Writes `text` behind the name that `Host` says, before a port.
    fileprivate mutating func addToHost(_ text: String) {
        guard let host = self.requestHeaders.string(of: .host), !host.isEmpty else { return }
        self.requestHeaders.remove(.host)
        self.requestHeaders.append(HeaderLine("Host", Self.host(host, with: text)))
    }

    /// The same of a value of `Host`.
    static func host(_ host: String, with text: String) -> String {
        guard let colon = host.lastIndex(of: ":"), UInt16(host[colon...].dropFirst()) != nil else { return host + text }
        return "\(host[..<colon])\(text)\(host[colon...])"
    }
}
