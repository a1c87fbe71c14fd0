// SPDX-License-Identifier: Apache-2.0

import Common
import NIOCore

@testable import Proxy

/// Whoever is asked, a connection or a stream of one: writes down what it is told, and says what a test makes it say.
///
/// It keeps the rules of ownership as HTTP1ClientConnection does: it is the pool's again before the driver hears of the
/// end of an answer.
final class FakeUpstream: SingleConnection, EventTail {
    let group: ConnectionPool.Group
    private(set) var isOpen = true
    /// What it was told, one line for each call.
    private(set) var events: [String] = []
    /// What it answers when it is sent something.
    var takesMore = true
    /// Whether it is gone when it is sent something.
    var isLost = false
    let mayRefuse: Bool
    /// Whom it serves.
    private(set) var ticket: Ticket?
    /// Fields of the last request that it was sent, names in lower case.
    private(set) var fields: [String: String] = [:]
    /// Whether it is a connection of its own, and not a stream.
    private let isConnection: Bool
    private(set) var idleLimit: TimeAmount?
    private let worker: Worker
    let madeAt: NIODeadline
    private(set) var served = 0

    init(_ worker: Worker, _ group: ConnectionPool.Group, isStream: Bool = false) {
        self.worker = worker
        self.madeAt = worker.now
        self.group = group
        self.isConnection = !isStream
        self.mayRefuse = isStream
    }

    /// What it was told since the last time.
    func news() -> [String] {
        defer { self.events.removeAll() }
        return self.events
    }

    // MARK: What it says

    /// Answers whoever it serves.
    ///
    /// - Parameter head: Lines without their ends.
    /// - Parameter reset: With what code of HTTP/2 the stream was reset afterwards.
    func answer(_ head: [String], body: String? = nil, isComplete: Bool = true) {
        guard let ticket = self.ticket else { return }
        self.worker.event {
            let driver = ticket.driver
            guard ticket.isValid else { return }
            var scanner = HeadScanner()
            let bytes = Array((head + ["", ""]).joined(separator: "\r\n").utf8)
            let result = driver.exchange.scanResponse(bytes.rawSpan, &scanner, limits: driver.responseLimits)
            guard result == .complete(length: bytes.count) else { return self.events.append("malformed answer") }
            if driver.exchange.response.status < 200 { return driver.interimResponse(ticket.number) }
            if isComplete { self.finish() }
            driver.finalResponse(
                ticket.number, bodyLength: nil, body: body.map { ByteBuffer(string: $0) }, isComplete: isComplete)
        }
    }

    /// Goes on with its answer.
    func body(_ text: String?, trailers: [String: String] = [:], isComplete: Bool = false) {
        guard let ticket = self.ticket else { return }
        self.worker.event {
            if !trailers.isEmpty {
                var block = HeaderBlock()
                for (name, value) in trailers.sorted(by: { $0.key < $1.key }) { block.append(HeaderLine(name, value)) }
                ticket.driver.exchange.responseTrailers = consume block
            }
            if isComplete { self.finish() }
            ticket.driver.responseBody(
                ticket.number, text.map { ByteBuffer(string: $0) }, isComplete: isComplete)
        }
    }

    /// Fails whoever it serves, and is gone.
    func fail(
        _ reason: ProxyError.Reason = .upstreamReset, wasReused: Bool = false, wasSent: Bool = true, code: UInt32? = nil
    ) {
        guard let ticket = self.ticket.take() else { return }
        self.worker.event {
            self.close()
            ticket.driver.exchange.attempt.resetCode = code
            ticket.driver.upstreamFailed(ticket.number, ProxyError(reason), wasReused: wasReused, wasSent: wasSent)
        }
    }

    /// Calls the driver with the ticket that it serves.
    func tell(_ body: (ExchangeDriver, UInt64) -> Void) {
        guard let ticket = self.ticket else { return }
        self.worker.event { body(ticket.driver, ticket.number) }
    }

    private func finish() {
        self.ticket = nil
        guard self.isConnection else { return }
        self.worker.pool.giveBack(self, idle: .seconds(15), most: 100)
    }

    // MARK: What it is told

    func sendRequest(_ ticket: Ticket, body: ByteBuffer?, isComplete: Bool) -> SentRequest {
        if self.isLost { return .lost }
        self.ticket = ticket
        self.served += 1
        self.fields = ticket.driver.exchange.requestHeaders.dictionary
        let path = ticket.driver.exchange.requestHeaders.string(in: ticket.driver.exchange.request.path)
        self.events.append(
            "request \(path)" + Self.text(of: body, isComplete, ticket.driver.exchange.requestTrailers))
        return .sent(takesMore: self.takesMore)
    }

    func sendBody(_ ticket: Ticket, body: ByteBuffer?, isComplete: Bool) -> Bool {
        self.events.append("body" + Self.text(of: body, isComplete, ticket.driver.exchange.requestTrailers))
        return self.takesMore
    }

    func openTunnel(_ ticket: Ticket) -> Bool {
        if self.isLost { return false }
        self.ticket = ticket
        self.events.append("tunnel")
        return true
    }

    func cancel(_ ticket: Ticket, because reason: Cancellation) {
        guard let mine = self.ticket, mine.number == ticket.number, mine.driver === ticket.driver else {
            return self.events.append("cancelled by a stranger")
        }
        self.ticket = nil
        self.events.append("cancelled: \(reason)")
        self.close()
    }

    func setReading(_ isReading: Bool) { self.events.append(isReading ? "reads" : "stops reading") }

    func writeTunnel(_ bytes: ByteBuffer) -> Bool {
        self.events.append("bytes \(String(buffer: bytes))")
        return self.takesMore
    }

    func endTunnelOutput() { self.events.append("output ended") }

    func waitIdle(_ amount: TimeAmount) {
        self.idleLimit = amount
        self.events.append("idle")
    }

    func limitIdle(_ amount: TimeAmount) { self.idleLimit = amount }

    func leaveIdle() { self.idleLimit = nil }

    func close() {
        guard self.isOpen else { return }
        self.isOpen = false
        guard self.isConnection else { return }
        self.worker.pool.removeIdle(self)
        self.worker.putOff(self)
    }

    func eventEnds() { self.worker.pool.closed(self) }

    /// What a piece of a message looks like in the lists of events.
    static func text(of body: ByteBuffer?, _ isComplete: Bool, _ trailers: borrowing HeaderBlock?) -> String {
        var text = body.map { " '\(String(buffer: $0))'" } ?? ""
        guard isComplete else { return text }
        text += " end"
        switch trailers {
        case .some(let trailers): return text + trailers.lines.map { " \($0.name)=\($0.value)" }.joined()
        case .none: return text
        }
    }
}
