// SPDX-License-Identifier: Apache-2.0

import Common
import NIOCore

@testable import Proxy

/// Whoever asked: writes down what it is told, in order.
final class FakeClient: Downstream {
    /// What it was told, one line for each call; a change of reading only when it is one.
    private(set) var events: [String] = []
    /// What it answers when it is sent something.
    var takesMore = true
    /// What it has sent ahead of a tunnel.
    var unread: ByteBuffer?
    /// Fields of the last head that it was sent, names in lower case.
    private(set) var fields: [String: String] = [:]
    private(set) var isReading = true
    /// How often the driver came back.
    private(set) var ends = 0
    private let driver: ExchangeDriver

    init(_ driver: ExchangeDriver) { self.driver = driver }

    /// What it was told since the last time.
    func news() -> [String] {
        defer { self.events.removeAll() }
        return self.events
    }

    /// One event in which the client's side calls the driver.
    func event(_ body: (ExchangeDriver) -> Void) {
        let driver = self.driver
        driver.worker.event { body(driver) }
    }

    func sendInterim(_ driver: ExchangeDriver) {
        self.events.append("interim \(driver.exchange.response.status)")
    }

    func sendResponse(_ driver: ExchangeDriver, bodyLength: Int?, body: ByteBuffer?, isComplete: Bool) -> Bool {
        self.fields = driver.exchange.responseHeaders.dictionary
        let text = "response \(driver.exchange.response.status)"
        self.events.append(text + FakeUpstream.text(of: body, isComplete, driver.exchange.responseTrailers))
        return self.takesMore
    }

    func sendBody(_ driver: ExchangeDriver, body: ByteBuffer?, isComplete: Bool) -> Bool {
        self.events.append("body" + FakeUpstream.text(of: body, isComplete, driver.exchange.responseTrailers))
        return self.takesMore
    }

    func sendReply(_ reply: LocalReply, _ driver: ExchangeDriver) {
        let lines = reply.headers.map { " \($0.name)" }.joined()
        self.events.append("reply \(reply.status) \(reply.reason?.rawValue ?? "-")\(lines)")
    }

    func abortResponse(_ driver: ExchangeDriver) {
        self.events.append("abort" + (driver.exchange.attempt.resetCode.map { " \($0)" } ?? ""))
    }

    func exchangeEnded() {
        self.ends += 1
        self.events.append("ended")
        self.driver.worker.giveBack(self.driver)
    }

    func setReading(_ isReading: Bool) {
        guard isReading != self.isReading else { return }
        self.isReading = isReading
        self.events.append(isReading ? "reads" : "stops reading")
    }

    func beginTunnel(_ driver: ExchangeDriver) -> ByteBuffer? {
        self.events.append("tunnel \(driver.exchange.response.status)")
        return self.unread.take()
    }

    func writeTunnel(_ bytes: ByteBuffer) -> Bool {
        self.events.append("bytes \(String(buffer: bytes))")
        return self.takesMore
    }

    func endTunnelOutput() { self.events.append("output ended") }
}

extension HeaderBlock {
    /// The fields, names in lower case.
    var dictionary: [String: String] {
        Dictionary(self.lines.map { ($0.name.lowercased(), $0.value) }) { "\($0), \($1)" }
    }
}
