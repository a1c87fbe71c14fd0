// SPDX-License-Identifier: Apache-2.0

import Common
import NIOCore
@testable import Proxy
import SimulationSupport

/// A client connection, or a stream of HTTP/2, without a channel: sends one call after the other, and judges what it is
/// given.
final class FakeClient: Downstream, EventTail {
    unowned let world: RingWorld
    let name: String
    let isHTTP2: Bool
    private(set) var call: Call?
    private var driver: ExchangeDriver?
    private var isReading = true
    /// Nothing more comes of it.
    private(set) var isOver = false
    /// Bytes of a tunnel that came before there was one, which an HTTP/1.1 connection keeps.
    private var early: ByteBuffer?
    private var isInside = false
    private var isLost = false

    init(_ world: RingWorld, _ name: String, isHTTP2: Bool) {
        self.world = world
        self.name = name
        self.isHTTP2 = isHTTP2
    }

    // MARK: Requests

    /// Begins a call.
    func begin() {
        guard self.call == nil, !self.isOver else { return }
        let schedule = self.world.schedule
        let plan = schedule.happens(oneIn: 5) ? self.world.incoming : self.world.outgoing
        let kind = self.kind(plan)
        let body = kind == .post || kind == .put || kind == .grpc
        let length = body ? schedule.pick([10, 0, 3000, 70_000]) : 0
        let timeout: TimeAmount? =
            kind == .grpc ? schedule.pick([nil, .milliseconds(400), .seconds(3), .seconds(40)]) : nil
        let driver = self.world.takeDriver()
        let call = Call(
            number: self.world.calls.count, kind: kind, client: self.name, isHTTP2: self.isHTTP2,
            plan: kind == .connect ? self.world.tunnels : plan, driver: driver, now: self.world.loop.now,
            timeout: timeout, length: length,
            hasTrailers: body && length > 0 && self.isHTTP2 && schedule.happens(oneIn: 3))
        self.world.calls.append(call)
        self.world.live.append(call)
        self.call = call
        self.driver = driver
        self.isReading = true
        self.early = nil
        call.isComplete = !body || length == 0 && kind != .grpc && schedule.draw(2) == 0
        self.scan(call, driver)
        var first: ByteBuffer?
        if body, !call.isComplete {
            let count = min(length, schedule.pick([length, 0, 5]))
            if count > 0 { first = Pattern.piece(call.seed, 0, count) }
            call.sent = count
            call.isComplete = count == length && !call.hasTrailers && schedule.draw(3) < 2
        }
        let text = "\(kind)\(plan.direction == .incoming ? " to the application" : "")"
        self.world.event(
            "\(self.name): call \(call.number), \(text), \(call.sent) of \(length) bytes\(call.isComplete ? ", complete" : "")",
            .begin
        ) {
            if let reply = driver.exchange.preflight(call.plan) {
                call.isRefused = true
                return driver.refuse(self, plan: call.plan, reply)
            }
            if schedule.happens(oneIn: 40) {
                call.isRefused = true
                return driver.refuse(self, plan: call.plan, LocalReply(ProxyError(.badRequest)))
            }
            driver.begin(self, plan: call.plan, body: first, isComplete: call.isComplete)
        }
    }

    private func kind(_ plan: TrafficPlan) -> Call.Kind {
        switch self.world.schedule.draw(12) {
        case 0...3: .get
        case 4, 5: .post
        case 6: .put
        case 7...9: self.isHTTP2 ? .grpc : .post
        case 10: plan.direction == .incoming || self.isHTTP2 ? .get : .webSocket
        default: plan.direction == .incoming ? .get : .connect
        }
    }

    private func scan(_ call: Call, _ driver: ExchangeDriver) {
        var head = ByteBuffer()
        // A service that the registry is asked for first.
        let host = self.world.schedule.happens(oneIn: 12) ? "late" : "cart"
        switch call.kind {
        case .get: head.writeString("GET http://\(host)/ HTTP/1.1\r\nHost: \(host)\r\n")
        case .post: head.writeString("POST http://\(host)/ HTTP/1.1\r\nHost: \(host)\r\n")
        case .put: head.writeString("PUT http://\(host)/ HTTP/1.1\r\nHost: \(host)\r\n")
        case .grpc:
            head.writeString("POST http://\(host)/Talk HTTP/1.1\r\nHost: \(host)\r\nContent-Type: application/grpc\r\n")
            if let timeout = call.timeout {
                head.writeString("grpc-timeout: \(timeout.nanoseconds / 1_000_000)m\r\n")
            }
        case .webSocket:
            head.writeString(
                "GET http://\(host)/ HTTP/1.1\r\nHost: \(host)\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n"
            )
        case .connect: head.writeString("CONNECT out.example:443 HTTP/1.1\r\nHost: out.example:443\r\n")
        }
        if call.kind == .post || call.kind == .put || call.kind == .grpc {
            if call.isComplete {
                head.writeString("Content-Length: 0\r\n")
            } else {
                head.writeString("Transfer-Encoding: chunked\r\n")
            }
        }
        head.writeString("X-Call: \(call.number)\r\n\r\n")
        var scanner = HeadScanner()
        let result = driver.exchange.scanRequest(head.readableBytesSpan, &scanner, limits: call.plan.requestLimits)
        guard case .complete = result else { preconditionFailure("\(result)") }
        call.hasBody = driver.exchange.request.hasBody
        if self.isHTTP2 { driver.exchange.request.flags.insert(.http2) }
        if call.isGRPC { driver.exchange.request.flags.insert(.grpc) }
    }

    // MARK: What it does by itself

    /// Does something: goes on, leaves, or breaks the rules.
    func act(isKind: Bool) {
        guard let call, let driver else {
            if !isKind { self.begin() }
            return
        }
        let schedule = self.world.schedule
        if call.isFull, isKind || schedule.draw(2) == 0 { return self.takeMore(call, driver, isKind: isKind) }
        if !isKind {
            switch schedule.draw(16) {
            case 14: return self.leave(call, driver)
            case 15: return self.breakRules(call, driver)
            default: break
            }
        }
        if call.isTunnelKind { return self.actInTunnel(call, driver, isKind: isKind) }
        if !call.isComplete { return self.goOn(call, driver, isKind: isKind) }
        if !isKind, !self.isHTTP2, !call.hasHalfClosed, schedule.happens(oneIn: 8) {
            call.hasHalfClosed = true
            call.movedAt = self.world.loop.now
            self.world.event("\(self.name) closes its sending side", .client(call)) { driver.clientHalfClosed() }
        }
    }

    private func takeMore(_ call: Call, _ driver: ExchangeDriver, isKind: Bool) {
        if !isKind, self.world.schedule.happens(oneIn: 4) {
            call.movedAt = self.world.loop.now
            self.world.event("\(self.name) takes some", .client(call)) { driver.downstreamProgressed() }
            return
        }
        call.isFull = false
        call.movedAt = self.world.loop.now
        self.world.event("\(self.name) takes more", .client(call)) { driver.downstreamWritable(true) }
    }

    /// It is gone, with all that it has asked for.
    func leave(_ call: Call, _ driver: ExchangeDriver) {
        call.fault = .gone
        if !self.isHTTP2 { self.isOver = true }
        self.world.event("\(self.name) is gone", .client(call)) { driver.clientGone() }
    }

    private func breakRules(_ call: Call, _ driver: ExchangeDriver) {
        guard !call.isComplete else { return }
        call.fault = .broken
        self.world.event("\(self.name) breaks its framing", .client(call)) {
            driver.requestFailed(ProxyError(.badRequest, "malformed request body"))
        }
        self.isOver = !self.isHTTP2
    }

    private func goOn(_ call: Call, _ driver: ExchangeDriver, isKind: Bool) {
        let schedule = self.world.schedule
        // What was on its way already comes all the same.
        if !self.isReading, isKind || !schedule.happens(oneIn: 6) { return }
        let left = call.length - call.sent
        let count = isKind ? left : min(left, schedule.pick([70_000, 0, 1, 1500]))
        let isLast = count == left && (isKind || schedule.draw(3) < 2)
        guard count > 0 || isLast else { return }
        // Trailers come by themselves, behind the last of the body.
        let isSplit = isLast && call.hasTrailers && count > 0
        let body = count > 0 ? Pattern.piece(call.seed, call.sent, count) : nil
        call.sent += count
        call.isComplete = isLast && !isSplit
        call.movedAt = self.world.loop.now
        self.world.event("\(self.name): \(count) bytes\(call.isComplete ? ", the last" : "")", .client(call)) {
            if call.isComplete, call.hasTrailers {
                var trailers = HeaderBlock()
                trailers.append(HeaderLine("x-trailer", "1"))
                driver.exchange.requestTrailers = consume trailers
            }
            driver.requestBody(body, isComplete: call.isComplete)
        }
    }

    private func actInTunnel(_ call: Call, _ driver: ExchangeDriver, isKind: Bool) {
        let schedule = self.world.schedule
        let isOpen = call.answer == .tunnel
        guard !call.isInputEnded else { return }
        if !isKind, schedule.draw(4) < 3 {
            guard self.isReading || schedule.happens(oneIn: 6) else { return }
            let count = schedule.pick([4, 600])
            var bytes = Pattern.piece(call.seed, call.tunnelSent, count)
            call.tunnelSent += count
            call.movedAt = self.world.loop.now
            if !isOpen, !self.isHTTP2 {
                self.world.note("\(self.name): \(count) bytes for a tunnel that is not open yet")
                if self.early == nil { self.early = bytes } else { self.early?.writeBuffer(&bytes) }
                return
            }
            self.world.event("\(self.name): \(count) bytes for the tunnel", .client(call)) {
                driver.tunnelFromDownstream(bytes)
            }
        } else if isOpen || self.isHTTP2 && call.kind == .connect {
            call.isInputEnded = true
            call.movedAt = self.world.loop.now
            self.world.event("\(self.name) ends its side of the tunnel", .client(call)) { driver.tunnelInputClosed() }
        } else if !isKind, !call.hasHalfClosed {
            call.hasHalfClosed = true
            call.isInputEnded = true
            call.movedAt = self.world.loop.now
            self.world.event("\(self.name) closes its sending side", .client(call)) { driver.clientHalfClosed() }
        }
    }

    /// Whoever is still there leaves.
    func leaveNow() {
        if let call, let driver { self.leave(call, driver) }
        self.isOver = true
    }

    // MARK: Downstream

    private func enter(_ text: @autoclosure () -> String) -> Call? {
        self.world.note("\(self.name) \(text())")
        guard let call, !call.hasEnded else {
            self.world.violate("over", "\(self.name) \(text()), after its call was over")
            return nil
        }
        if self.isInside { self.world.violate("re-entry", "\(self.name) is called inside its own call") }
        if call.fault == .gone { self.world.violate("over", "\(self.name) \(text()), although it is gone") }
        return call
    }

    func sendInterim(_ driver: ExchangeDriver) {
        guard let call = self.enter("is sent an interim response") else { return }
        if call.answer != .none || call.open?.interims == 0 {
            self.world.violate("answer", "an interim response of nobody")
        }
    }

    func sendResponse(_ driver: ExchangeDriver, bodyLength: Int?, body: ByteBuffer?, isComplete: Bool) -> Bool {
        guard
            let call = self.enter("is sent a head, \(body?.readableBytes ?? 0) bytes\(isComplete ? ", complete" : "")")
        else { return true }
        guard call.answer == .none else {
            self.world.violate("answer", "call \(call.number) gets a second head")
            return true
        }
        call.answer = .begun
        call.hasStatus = true
        guard let trial = call.trials.last, self.world.number(driver.exchange.responseHeaders, .answer) == trial.number
        else {
            self.world.violate("answer", "call \(call.number) gets the answer to something else")
            return true
        }
        if driver.exchange.response.status != trial.status {
            self.world.violate("answer", "another status than was sent")
        }
        if trial.isUntilClose || call.isGRPC ? bodyLength != nil : bodyLength != trial.length {
            self.world.violate("answer", "another length than was promised")
        }
        return self.receive(call, trial, body, isComplete)
    }

    func sendBody(_ driver: ExchangeDriver, body: ByteBuffer?, isComplete: Bool) -> Bool {
        guard let call = self.enter("is sent \(body?.readableBytes ?? 0) bytes\(isComplete ? ", the last" : "")") else {
            return true
        }
        guard call.answer == .begun, let trial = call.trials.last else {
            self.world.violate("answer", "call \(call.number) gets a body without a head")
            return true
        }
        return self.receive(call, trial, body, isComplete)
    }

    private func receive(_ call: Call, _ trial: Trial, _ body: ByteBuffer?, _ isComplete: Bool) -> Bool {
        if let body {
            if !Pattern.matches(body, trial.seed, call.received) {
                self.world.violate("answer", "call \(call.number): other bytes at \(call.received) than were sent")
            }
            call.received += body.readableBytes
        }
        if isComplete {
            call.answer = .complete
            if trial.state != .answered || call.received != trial.sent {
                self.world.violate(
                    "answer", "call \(call.number): \(call.received) bytes of \(trial.sent) look complete")
            }
            return true
        }
        if body != nil, !call.isFull { call.isFull = self.world.schedule.happens(oneIn: 6) }
        return !call.isFull
    }

    func sendReply(_ reply: LocalReply, _ driver: ExchangeDriver) {
        guard let call = self.enter("is answered by mesher: \(reply.status) \(reply.reason?.rawValue ?? "")") else {
            return
        }
        if call.answer != .none { self.world.violate("answer", "call \(call.number) gets two answers") }
        call.answer = .reply(reply.status)
        call.hasStatus = true
    }

    func abortResponse(_ driver: ExchangeDriver) {
        guard let call = self.enter("sees its answer cut") else { return }
        if call.answer != .begun, call.answer != .tunnel, !call.hasHalfClosed {
            self.world.violate("answer", "call \(call.number) is cut where nothing has begun")
        }
        call.answer = .cut
        if self.isHTTP2 { return }
        // Its channel is closed, and says so at the end of the event.
        self.isOver = true
        self.isLost = true
        self.world.worker.putOff(self)
    }

    func eventEnds() {
        guard self.isLost else { return }
        self.isLost = false
        if let driver, !driver.isIdle { driver.clientGone() }
    }

    func exchangeEnded() {
        self.world.note("\(self.name): its exchange has ended")
        guard let call, let driver else {
            return self.world.violate("ends", "\(self.name): an exchange ends twice")
        }
        call.hasEnded = true
        self.call = nil
        self.driver = nil
        // The rest of a request that was answered early is not told from a next one.
        if !self.isHTTP2, !call.isComplete || call.isTunnelKind || call.hasHalfClosed { self.isOver = true }
        self.world.ended(call)
        self.world.worker.giveBack(driver)
    }

    func setReading(_ isReading: Bool) {
        guard self.enter(isReading ? "may send" : "may not send") != nil else { return }
        self.isReading = isReading
    }

    /// Whether it was told to go on sending.
    var maySend: Bool { self.isReading }

    func beginTunnel(_ driver: ExchangeDriver) -> ByteBuffer? {
        guard let call = self.enter("has a tunnel") else { return nil }
        if call.answer != .none { self.world.violate("answer", "a tunnel behind an answer") }
        call.answer = .tunnel
        call.hasStatus = true
        self.isReading = true
        return self.early.take()
    }

    func writeTunnel(_ bytes: ByteBuffer) -> Bool {
        guard let call = self.enter("is sent \(bytes.readableBytes) bytes through the tunnel") else { return true }
        guard call.answer == .tunnel, !call.isOutputEnded, let trial = call.trials.last else {
            self.world.violate("tunnel", "bytes where there is no tunnel")
            return true
        }
        if !Pattern.matches(bytes, trial.seed, call.tunnelReceived) {
            self.world.violate("tunnel", "call \(call.number): other bytes at \(call.tunnelReceived) than were sent")
        }
        call.tunnelReceived += bytes.readableBytes
        if !call.isFull { call.isFull = self.world.schedule.happens(oneIn: 6) }
        return !call.isFull
    }

    func endTunnelOutput() {
        guard let call = self.enter("hears that the upstream sends no more") else { return }
        if call.isOutputEnded { self.world.violate("tunnel", "it ends twice") }
        call.isOutputEnded = true
    }
}
