// SPDX-License-Identifier: Apache-2.0

import Common
import NIOCore
@testable import Proxy
import SimulationSupport

/// The far side of a request: what an HTTP/1.1 connection and an HTTP/2 stream have in common.
///
/// It does what a schedule says, and looks whether it is called as ARCHITECTURE.md's rules 4, 5 and 7 say.
class FakeUpstream: Upstream {
    unowned let world: RingWorld
    let name: String
    private(set) var ticket: Ticket?
    private(set) var trial: Trial?
    private var isInside = false

    init(_ world: RingWorld, _ name: String) {
        self.world = world
        self.name = name
    }

    // MARK: What differs

    var mayRefuse: Bool { false }
    /// Whether it takes a request.
    var isReady: Bool { false }
    /// Whether its connection has served others.
    var isUsed: Bool { false }
    var endpoint: Endpoint { preconditionFailure("of a subclass") }

    /// It serves a request from now on.
    func opened() {}

    /// The answer is complete, and it is free.
    func finished(keepsAlive: Bool, _ settings: ProxySettings) {}

    /// Nobody waits for it any more.
    func cancelled(_ reason: Cancellation, _ trial: Trial) {}

    /// It dies without a word.
    func die() {}

    // MARK: Upstream

    private func enter(_ text: @autoclosure () -> String) {
        self.world.note("\(self.name): \(text())")
        if self.isInside { self.world.violate("re-entry", "\(self.name) is called inside its own call: \(text())") }
    }

    func sendRequest(_ ticket: Ticket, body: ByteBuffer?, isComplete: Bool) -> SentRequest {
        self.enter("a request, \(body?.readableBytes ?? 0) bytes\(isComplete ? ", complete" : "")")
        guard self.isReady else {
            self.world.lost(ticket)
            return .lost
        }
        self.isInside = true
        defer { self.isInside = false }
        guard let trial = self.begin(ticket) else { return .lost }
        self.opened()
        self.take(body, isComplete, trial, ticket)
        return .sent(takesMore: !trial.isFull)
    }

    private func begin(_ ticket: Ticket) -> Trial? {
        if self.ticket != nil { self.world.violate("owner", "\(self.name) is given a second request") }
        guard let trial = self.world.begin(ticket, self) else { return nil }
        self.ticket = ticket
        self.trial = trial
        return trial
    }

    func sendBody(_ ticket: Ticket, body: ByteBuffer?, isComplete: Bool) -> Bool {
        self.enter("\(body?.readableBytes ?? 0) bytes of the body\(isComplete ? ", complete" : "")")
        guard let trial = self.served(ticket, "sendBody") else { return true }
        self.take(body, isComplete, trial, ticket)
        return !trial.isFull
    }

    /// The try that it serves for `ticket`; anything else is a call of what is over.
    private func served(_ ticket: Ticket, _ what: String) -> Trial? {
        guard let mine = self.ticket, mine.number == ticket.number, mine.driver === ticket.driver, let trial else {
            self.world.violate("over", "\(self.name): \(what) for a ticket that it does not serve")
            return nil
        }
        return trial
    }

    private func take(_ body: ByteBuffer?, _ isComplete: Bool, _ trial: Trial, _ ticket: Ticket) {
        let call = trial.call
        if trial.isRequestComplete { self.world.violate("request", "more of a request that was complete") }
        if let body {
            if !Pattern.matches(body, call.seed, trial.received) {
                self.world.violate("request", "call \(call.number): other bytes at \(trial.received) than were sent")
            }
            trial.received += body.readableBytes
        }
        trial.isRequestComplete = isComplete
        if isComplete, call.mirror != nil, trial.received != call.sent {
            self.world.violate("mirror", "the copy of call \(call.number) has \(trial.received) of \(call.sent) bytes")
        }
        if isComplete {
            trial.waitsSince = self.world.loop.now
            if call.hasTrailers, ticket.driver.exchange.requestTrailers == nil {
                self.world.violate("request", "call \(call.number): the trailers are missing")
            }
        }
        // With the last byte an HTTP/1.1 connection has nothing more to say.
        if body != nil, !trial.isFull {
            trial.isFull = self.world.schedule.happens(oneIn: 6) && (!isComplete || self.mayRefuse)
        }
    }

    func openTunnel(_ ticket: Ticket) -> Bool {
        self.enter("becomes a tunnel")
        guard self.isReady, !self.mayRefuse, let trial = self.begin(ticket) else { return false }
        self.opened()
        trial.isTunnel = true
        trial.isRequestComplete = true
        trial.status = 200
        return true
    }

    func cancel(_ ticket: Ticket, because reason: Cancellation) {
        self.enter("cancelled: \(reason)")
        guard let trial = self.served(ticket, "cancel") else { return }
        self.world.judgeCancel(reason, trial)
        self.leave(.cancelled)
        self.cancelled(reason, trial)
    }

    func setReading(_ isReading: Bool) {
        self.enter(isReading ? "may send" : "may not send")
        guard let trial, let ticket, ticket.isValid else {
            return self.world.violate("over", "\(self.name): setReading although it serves nobody")
        }
        trial.isReading = isReading
    }

    func writeTunnel(_ bytes: ByteBuffer) -> Bool {
        self.enter("\(bytes.readableBytes) bytes through the tunnel")
        guard let trial, let ticket, ticket.isValid, trial.isTunnel, !trial.isInputEnded else {
            self.world.violate("over", "\(self.name): writeTunnel where there is none")
            return true
        }
        if !Pattern.matches(bytes, trial.call.seed, trial.tunnelReceived) {
            self.world.violate(
                "tunnel", "call \(trial.call.number): other bytes at \(trial.tunnelReceived) than were sent")
        }
        trial.tunnelReceived += bytes.readableBytes
        if !trial.isFull { trial.isFull = self.world.schedule.happens(oneIn: 6) }
        return !trial.isFull
    }

    func endTunnelOutput() {
        self.enter("the client sends no more through the tunnel")
        guard let trial, let ticket, ticket.isValid, trial.isTunnel else {
            return self.world.violate("over", "\(self.name): endTunnelOutput where there is no tunnel")
        }
        trial.isInputEnded = true
    }

    /// Serves nobody any more.
    private func leave(_ state: Trial.State) {
        self.trial?.state = state
        self.trial?.endedIn = self.world.eventNumber
        self.trial?.endedAt = self.world.loop.now
        if state != .cancelled { self.trial?.call.movedAt = self.world.loop.now }
        self.ticket = nil
        self.trial = nil
    }

    // MARK: What it does by itself

    /// Whether there is somebody to be told something.
    var isServing: Bool { self.trial != nil }

    /// Does something about the request that it serves.
    ///
    /// - Parameter isKind: Only what brings it forward.
    func act(isKind: Bool) {
        guard let ticket, let trial else { return }
        guard ticket.isValid else { return }
        if trial.isFull, isKind || self.world.schedule.draw(2) == 0 { return self.drain(ticket, trial) }
        if trial.isTunnel { return self.actInTunnel(ticket, trial, isKind: isKind) }
        if trial.hasHead { return self.goOn(ticket, trial, isKind: isKind) }
        if isKind, !trial.isRequestComplete { return }
        if trial.call.kind == .webSocket, self.world.schedule.draw(4) < 3 { return self.switchProtocols(ticket, trial) }
        switch isKind ? 0 : self.world.schedule.draw(16) {
        case 0...3: self.answer(ticket, trial, status: 200)
        case 4: self.interim(ticket, trial)
        case 5...7: self.answer(ticket, trial, status: trial.call.isGRPC ? 200 : 503)
        case 8: self.answer(ticket, trial, status: 503, isUnserved: true)
        case 9: self.answer(ticket, trial, status: 404)
        case 10, 11: self.fail(trial, "dies before its head")
        case 12: self.malformed(ticket, trial)
        default: self.refuse(ticket, trial)
        }
    }

    func refuse(_ ticket: Ticket, _ trial: Trial) { self.fail(trial, "dies before its head") }

    private func drain(_ ticket: Ticket, _ trial: Trial) {
        trial.isFull = false
        trial.call.movedAt = self.world.loop.now
        self.world.event("\(self.name) takes more", .upstream(trial)) {
            if trial.isRequestComplete, !trial.isTunnel {
                trial.waitsSince = self.world.loop.now
                ticket.driver.upstreamDrained(ticket.number)
            } else {
                ticket.driver.upstreamWritable(ticket.number, true)
            }
        }
    }

    private func fail(_ trial: Trial, _ text: String) {
        trial.isBroken = self.world.schedule.draw(2) == 0
        self.world.event("\(self.name) \(text)", .upstream(trial)) { self.die() }
    }

    private func malformed(_ ticket: Ticket, _ trial: Trial) {
        self.world.event("\(self.name) answers nonsense", .upstream(trial)) {
            let settings = ticket.driver.settings
            self.finished(keepsAlive: false, settings)
            self.tell(ticket, ProxyError(.badUpstreamResponse, "malformed"), wasReused: false)
        }
    }

    private static let heads = Heads()

    private func interim(_ ticket: Ticket, _ trial: Trial) {
        trial.interims += 1
        trial.call.movedAt = self.world.loop.now
        self.world.event("\(self.name): 103", .upstream(trial)) {
            Self.heads.interim(ticket.driver)
            ticket.driver.interimResponse(ticket.number)
        }
    }

    private func answer(_ ticket: Ticket, _ trial: Trial, status: Int, isUnserved: Bool = false) {
        let schedule = self.world.schedule
        let call = trial.call
        trial.length = status == 204 ? 0 : schedule.pick([0, 10, 3000, 70_000])
        trial.isUnserved = isUnserved
        trial.status = status
        var isComplete = trial.length == 0 || schedule.draw(3) == 0
        // The codes that mean something: OK, UNAVAILABLE, INTERNAL, and none.
        if call.isGRPC {
            if schedule.draw(3) == 0, status == 200 {
                trial.length = 0
                isComplete = true
                trial.grpcStatus = schedule.pick([0, 14, 13])
            } else {
                isComplete = false
            }
        } else if !self.mayRefuse {
            trial.isUntilClose = !isComplete && schedule.happens(oneIn: 4)
            trial.isEvents = !isComplete && schedule.happens(oneIn: 6)
        }
        self.judgeAnswer(trial)
        let first = isComplete ? trial.length : min(trial.length, schedule.pick([0, 7, 2000]))
        trial.sent = first
        call.movedAt = self.world.loop.now
        let body = first > 0 ? Pattern.piece(trial.seed, 0, first) : nil
        let text = "\(status)\(isUnserved ? " unserved" : "")\(trial.grpcStatus.map { " gRPC \($0)" } ?? "")"
        self.world.event(
            "\(self.name): \(text), \(first) of \(trial.length) bytes\(isComplete ? ", complete" : "")",
            .upstream(trial)
        ) {
            Self.heads.final(ticket.driver, trial)
            if isComplete { self.end(ticket, keepsAlive: schedule.draw(5) < 4) }
            ticket.driver.finalResponse(
                ticket.number, bodyLength: call.isGRPC || trial.isUntilClose ? nil : trial.length, body: body,
                isComplete: isComplete)
        }
    }

    private func judgeAnswer(_ trial: Trial) {
        let status = trial.grpcStatus.map { GRPCStatus.http(ofCode: $0) } ?? trial.status ?? 0
        trial.isListed = trial.isListed || trial.call.plan.failureStatuses.contains(status)
        let effect = trial.call.driver.exchange.effect
        trial.isUnwanted = trial.isUnwanted || effect?.action.retry?.statuses.contains(status) == true
    }

    private func goOn(_ ticket: Ticket, _ trial: Trial, isKind: Bool) {
        let schedule = self.world.schedule
        if !trial.isReading, isKind || !schedule.happens(oneIn: 8) { return }
        if !isKind, schedule.happens(oneIn: 10) { return self.fail(trial, "dies in its body") }
        let left = trial.length - trial.sent
        let count = isKind ? left : min(left, schedule.pick([70_000, 1, 900]))
        let isLast = count == left && (isKind || schedule.draw(4) < 3)
        let body = count > 0 ? Pattern.piece(trial.seed, trial.sent, count) : nil
        guard body != nil || isLast else { return }
        trial.sent += count
        trial.call.movedAt = self.world.loop.now
        if isLast, trial.call.isGRPC {
            trial.grpcStatus = isKind ? 0 : schedule.pick([0, 14, 5])
            self.judgeAnswer(trial)
        }
        self.world.event("\(self.name): \(count) bytes\(isLast ? ", the last" : "")", .upstream(trial)) {
            if isLast {
                if let code = trial.grpcStatus { Self.heads.trailers(ticket.driver, code) }
                self.end(ticket, keepsAlive: !trial.isUntilClose && schedule.draw(5) < 4)
            }
            ticket.driver.responseBody(ticket.number, body, isComplete: isLast)
        }
    }

    /// The answer is complete: free before the driver hears of it.
    private func end(_ ticket: Ticket, keepsAlive: Bool) {
        let isWhole = self.trial?.isRequestComplete ?? false
        self.leave(.answered)
        self.finished(keepsAlive: keepsAlive && isWhole, ticket.driver.settings)
    }

    private func switchProtocols(_ ticket: Ticket, _ trial: Trial) {
        trial.status = 101
        trial.isTunnel = true
        trial.call.movedAt = self.world.loop.now
        self.world.event("\(self.name): 101", .upstream(trial)) {
            Self.heads.switching(ticket.driver, trial)
            ticket.driver.beginTunnel(ticket.number)
        }
    }

    private func actInTunnel(_ ticket: Ticket, _ trial: Trial, isKind: Bool) {
        let schedule = self.world.schedule
        let action = schedule.draw(8)
        trial.call.movedAt = self.world.loop.now
        if !trial.isOutputEnded, !isKind, action < 5 {
            guard trial.isReading || schedule.happens(oneIn: 8) else { return }
            let count = schedule.pick([3, 500])
            let bytes = Pattern.piece(trial.seed, trial.tunnelSent, count)
            trial.tunnelSent += count
            self.world.event("\(self.name): \(count) bytes through the tunnel", .upstream(trial)) {
                ticket.driver.tunnelFromUpstream(ticket.number, bytes)
            }
        } else if !trial.isOutputEnded, isKind || action < 7 {
            trial.isOutputEnded = true
            self.world.event("\(self.name) ends its side of the tunnel", .upstream(trial)) {
                ticket.driver.tunnelOutputEnded(ticket.number)
            }
        } else if !isKind, action == 7 {
            self.fail(trial, "is gone")
        }
    }

    /// Tells the driver that the try has failed.
    func tell(_ ticket: Ticket, _ error: ProxyError, wasReused: Bool, wasSent: Bool = true) {
        if !wasSent { self.trial?.isSeen = false }
        let trial = self.trial
        self.leave(.failed)
        if trial?.isTunnel == true {
            ticket.driver.tunnelLost(ticket.number, isBroken: trial?.isBroken ?? true)
        } else {
            ticket.driver.upstreamFailed(ticket.number, error, wasReused: wasReused, wasSent: wasSent)
        }
    }

    /// A tunnel that has ended on both ways closes by itself.
    func closeIfTunnelIsOver() {
        guard let trial, trial.isTunnel, trial.isInputEnded, trial.isOutputEnded else { return }
        self.leave(.answered)
        self.finished(keepsAlive: false, trial.call.plan.settings)
    }

    /// The one whose orderly end is the end of its answer.
    func endByClosing(_ ticket: Ticket) {
        self.leave(.answered)
        ticket.driver.responseBody(ticket.number, nil, isComplete: true)
    }
}

/// Heads of responses, as the codecs leave them with the exchange.
private struct Heads {
    private let early = Self.text("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")

    private static func text(_ text: String) -> ByteBuffer { ByteBuffer(string: text) }

    private func scan(_ head: ByteBuffer, _ driver: ExchangeDriver) {
        var scanner = HeadScanner()
        driver.exchange.responseHeaders.clear()
        let result = driver.exchange.scanResponse(head.readableBytesSpan, &scanner, limits: driver.responseLimits)
        guard case .complete = result else { preconditionFailure("\(result)") }
    }

    func interim(_ driver: ExchangeDriver) { self.scan(self.early, driver) }

    func switching(_ driver: ExchangeDriver, _ trial: Trial) {
        self.scan(
            Self.text(
                "HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nX-Answer: \(trial.number)\r\n\r\n"
            ),
            driver)
    }

    func final(_ driver: ExchangeDriver, _ trial: Trial) {
        var head = ByteBuffer()
        head.writeString("HTTP/1.1 \(trial.status ?? 200) X\r\nX-Answer: \(trial.number)\r\n")
        if trial.isUnserved { head.writeString("X-Mesher-Unserved: 1\r\n") }
        if trial.call.isGRPC {
            head.writeString("Content-Type: application/grpc\r\n")
            if let code = trial.grpcStatus { head.writeString("grpc-status: \(code)\r\n") }
        } else if !trial.isUntilClose {
            head.writeString("Content-Length: \(trial.length)\r\n")
        }
        if trial.isEvents { head.writeString("Content-Type: text/event-stream\r\n") }
        head.writeString("\r\n")
        self.scan(head, driver)
    }

    func trailers(_ driver: ExchangeDriver, _ code: Int) {
        var trailers = HeaderBlock()
        trailers.append(HeaderLine("grpc-status", "\(code)"))
        driver.exchange.responseTrailers = consume trailers
    }
}
