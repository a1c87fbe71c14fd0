// SPDX-License-Identifier: Apache-2.0

import Common
import NIOCore
@testable import Proxy
import SimulationSupport

/// One connection of an HTTP/1.1 upstream that answers as a schedule says, and judges what it is asked.
final class ScriptedUpstream: RingUpstream {
    private enum Fault {
        case none, reset, close, halfClose, silence
    }

    let name: String
    let channel: SimulatedChannel
    let endpoint: Int
    unowned let ring: ProxyWorld
    let wire: SimulatedWire
    var peer: SimulatedSocket { self.wire.far }
    private var reader: MessageReader
    private(set) var served: Served?
    private var out = ByteBuffer()
    /// Whether somebody has yet to accept or refuse.
    var isWaiting = true
    private var isSilent = false
    private var interimsLeft = 0
    private var closesAfter = false
    private var fault = Fault.none
    /// Where in the answer it happens.
    private var faultAt = 0

    init(_ ring: ProxyWorld, _ name: String, _ endpoint: Int, _ channel: SimulatedChannel, _ wire: SimulatedWire) {
        self.ring = ring
        self.name = name
        self.endpoint = endpoint
        self.channel = channel
        self.wire = wire
        self.reader = MessageReader(name)
    }

    private var schedule: Schedule { self.ring.schedule }
    private var now: NIODeadline { self.ring.loop.now }

    // MARK: What it does

    /// One of its moments: it reads some and writes some.
    func act(_ most: Int, writes: Bool = true) throws {
        guard self.mayAct(isSilent: self.isSilent) else { return }
        try self.receive(most)
        guard self.peer.isOpen else { return }
        if writes { self.send(most) }
        self.peer.transmit()
    }

    /// Closes an idle connection, or whatever is in flight.
    func leave() {
        guard self.peer.isOpen, !self.isWaiting, !self.isSilent else { return }
        self.ring.note("\(self.name) closes")
        self.closeNow()
    }

    private func closeNow() {
        self.ring.hasBlemish = true
        // What was not read, or is on its way, resets the connection.
        if let served = self.served {
            let isUntilClose = served.framing == .untilClose && served.isHeadSent && !served.isComplete
            if isUntilClose, served.isRequestComplete, served.sent > 0 || self.out.readableBytes == 0 {
                // Nobody can tell that there should have been more.
                served.sent -= self.out.readableBytes
                served.length = served.sent
                served.isComplete = true
                self.last = served
            } else if !served.isComplete || !served.isRequestComplete || served.framing == .tunnel {
                served.isBroken = true
                // Whether mesher had written all of the request when this end came is not known here.
                if isUntilClose { served.isComplete = true }
            }
        }
        if self.peer.receiveQueue.readableBytes > 0 || self.wire.near.sendQueue.readableBytes > 0 {
            self.last?.isBroken = true
        }
        self.peer.close()
        while self.peer.transmit() {}
    }

    /// The last that it has answered; a reset may take it away.
    private var last: Served?

    /// Whether it could do something now, and is waited for.
    private var couldAct: Bool {
        if self.isSilent || self.isWaiting { return true }
        if self.peer.canTransmit { return true }
        guard self.peer.isOpen else { return false }
        if self.peer.receiveQueue.readableBytes > 0 || self.wire.near.sendQueue.readableBytes > 0 { return true }
        guard let served = self.served, !served.isComplete, served.isRequestComplete || self.answersEarly else {
            return false
        }
        return self.peer.space > 0
    }

    /// Since when there is something to read.
    private var unreadSince: NIODeadline?

    func noteUnread() {
        let hasUnread = self.peer.receiveQueue.readableBytes > 0 || self.wire.near.sendQueue.readableBytes > 0
        if hasUnread || self.reader.isWithin, self.unreadSince == nil { self.unreadSince = self.now }
    }

    func timePassed() {
        self.noteUnread()
        guard let served = self.served ?? self.last else { return }
        if self.couldAct, self.now - served.movedAt > .seconds(4) { served.isBroken = true }
        if !self.couldAct { served.movedAt = self.now }
    }

    private func receive(_ most: Int) throws {
        self.wire.near.transmit(most)
        var bytes = ByteBuffer()
        switch try? self.peer.read(into: &bytes, most: most) {
        case .bytes(let count)?:
            self.ring.note("\(self.name) reads \(count) bytes")
            self.served?.movedAt = self.now
            self.reader.receive(bytes)
            while let event = try self.reader.next() { try self.take(event) }
            if !self.reader.isWithin, self.peer.receiveQueue.readableBytes == 0 { self.unreadSince = nil }
        case .end?, nil: if self.peer.hasFIN || self.peer.isReset { try self.inputEnded() }
        case .wouldBlock?: break
        }
    }

    private func take(_ event: MessageReader.Event) throws {
        switch event {
        case .head(let head): try self.begin(head)
        case .body(let bytes):
            guard let served = self.served ?? self.last else { return }
            guard Pattern.matches(bytes, served.asked.seed, served.received) else {
                throw Violation("request", "\(self.name): the body of request \(served.asked.number) is not its own")
            }
            served.received += bytes.readableBytes
        case .end:
            guard let served = self.served ?? self.last else { return }
            // A length says where a body ends, before its client does.
            guard served.received == served.asked.length, served.asked.isSent || !self.reader.isChunked else {
                throw Violation(
                    "request",
                    "\(self.name): request \(served.asked.number) ends after \(served.received) of \(served.asked.length)"
                )
            }
            let asked = served.asked
            guard self.reader.trailer == (asked.hasTrailers && self.reader.isChunked ? "r\(asked.number)" : nil) else {
                throw Violation(
                    "trailers",
                    "\(self.name): request \(asked.number) ends with \(self.reader.trailer ?? "no trailers")")
            }
            served.isRequestComplete = true
            if served.isComplete { self.served = nil }
        }
    }

    private func begin(_ head: MessageReader.Head) throws {
        guard self.served == nil else {
            throw Violation("owner", "\(self.name): \(head.line) before \(self.served?.asked.number ?? -1) is over")
        }
        let parts = head.line.split(separator: " ")
        guard parts.count == 3, parts[2] == "HTTP/1.1", let number = Int(parts[1].dropFirst()),
            number < self.ring.asked.count, self.ring.asked[number].method == parts[0]
        else { throw Violation("request", "\(self.name): nobody has asked \(head.line)") }
        let asked = self.ring.asked[number]
        guard self.endpoint == number % self.ring.endpoints.count else {
            throw Violation("request", "\(self.name): request \(number) is for another endpoint")
        }
        guard head["x-client"].map(String.init) == asked.mark else {
            throw Violation("request", "\(self.name): request \(number) is not its own")
        }
        let served = try self.ring.serve(asked, self.name)
        if let since = self.unreadSince, self.now - since > .seconds(4) { served.isBroken = true }
        self.served = served
        if asked.isUpgrade != (head["upgrade"] == "websocket") {
            throw Violation("request", "\(self.name): an upgrade that was not asked for, or none")
        }
        if asked.isChunked || asked.length > 0 {
            if head.isChunked {
                self.reader.goOn(.chunked)
            } else {
                guard head.length == asked.length else {
                    throw Violation("request", "\(self.name): request \(number) has another length")
                }
                self.reader.goOn(.length(asked.length))
            }
        } else {
            guard !head.isChunked, head.length ?? 0 == 0 else {
                throw Violation("request", "\(self.name): request \(number) has a body that nobody has sent")
            }
            self.reader.goOn(.none)
        }
        self.plan(served, asked)
    }

    private func plan(_ served: Served, _ asked: Asked) {
        let schedule = self.schedule
        served.plan(schedule)
        served.framing = schedule.pick([.length, .chunked, .untilClose])
        self.interimsLeft = schedule.pick([0, 0, 0, 1, 2])
        self.closesAfter = schedule.happens(oneIn: 5)
        if asked.isUpgrade, !schedule.happens(oneIn: 4) {
            served.status = 101
            served.framing = .tunnel
        } else if asked.method == "HEAD" || served.status == 204 || served.status == 304 {
            served.framing = .none
        }
        served.hasTrailers = served.framing == .chunked && schedule.happens(oneIn: 3)
        self.fault = schedule.happens(oneIn: 6) ? schedule.pick([.close, .reset, .halfClose, .silence]) : .none
        self.faultAt = schedule.happens(oneIn: 2) ? schedule.draw(served.length + 1) : -schedule.draw(2)
        self.answersEarly = schedule.happens(oneIn: 4)
    }

    private var answersEarly = false

    // MARK: Its answer

    private func send(_ most: Int) {
        guard self.peer.isOpen, !self.peer.isOutputShut, !self.peer.isReset else { return }
        var left = most
        while left > 0 {
            if self.out.readableBytes == 0, !self.makeMore() { break }
            let count = min(left, self.out.readableBytes, self.peer.space)
            guard count > 0, let slice = self.out.getSlice(at: self.out.readerIndex, length: count),
                (try? self.peer.write(slice)) != nil
            else { break }
            self.out.moveReaderIndex(forwardBy: count)
            left -= count
            self.served?.movedAt = self.now
            self.served?.hasBegun = true
        }
        if most > left { self.ring.note("\(self.name) sends \(most - left) bytes") }
        if self.out.readableBytes == 0, self.peer.isOpen, !self.peer.isOutputShut, !self.isSilent { self.finish() }
    }

    /// Puts the next piece of the answer into `out`.
    private func makeMore() -> Bool {
        guard let served = self.served, !served.isComplete, served.isRequestComplete || self.answersEarly else {
            return false
        }
        self.out.clear()
        if served.isHeadSent, served.sent == served.length, served.framing == .length || served.framing == .none {
            return false
        }
        if self.fault != .none, served.isHeadSent ? served.sent >= max(self.faultAt, 0) : self.faultAt < 0 {
            self.fail(served)
            return false
        }
        if !served.isHeadSent {
            if self.interimsLeft > 0 {
                self.interimsLeft -= 1
                self.out.writeString("HTTP/1.1 103 Early Hints\r\nX-Answer: \(served.number)\r\n\r\n")
                return true
            }
            self.writeHead(served)
            return true
        }
        let count = min(served.length - served.sent, [5000, 65_536, 100, 1][min(served.number % 4, 3)])
        if count == 0 {
            guard served.framing == .chunked else { return false }
            self.out.writeString(served.hasTrailers ? "0\r\nX-Trailer: a\(served.number)\r\n\r\n" : "0\r\n\r\n")
            served.framing = .length
            return true
        }
        if served.framing == .none { return false }
        // Never a byte at a time through a long answer.
        let size = max(count, min(served.length - served.sent, 500))
        var piece = Pattern.piece(served.seed, served.sent, size)
        if served.framing == .chunked {
            self.out.writeString("\(String(size, radix: 16))\r\n")
            self.out.writeBuffer(&piece)
            self.out.writeString("\r\n")
        } else {
            self.out = piece
        }
        served.sent += size
        return true
    }

    private func writeHead(_ served: Served) {
        served.isHeadSent = true
        self.out.writeString("HTTP/1.1 \(served.status) Thing\r\nX-Answer: \(served.number)\r\n")
        if self.closesAfter, served.framing != .tunnel { self.out.writeString("Connection: close\r\n") }
        switch served.framing {
        case .length: self.out.writeString("Content-Length: \(served.length)\r\n\r\n")
        case .chunked: self.out.writeString("Transfer-Encoding: chunked\r\n\r\n")
        case .untilClose: self.out.writeString("\r\n")
        case .tunnel: self.out.writeString("Connection: upgrade\r\nUpgrade: websocket\r\n\r\n")
        case .none:
            if served.asked.method == "HEAD", served.status != 204 {
                self.out.writeString("Content-Length: \(served.length)\r\n")
            }
            self.out.writeString("\r\n")
        }
        if served.framing == .tunnel {
            self.reader.goOn(.untilClose)
        }
        // A chunked answer of no bytes has its last chunk, and one that is complete nothing more.
        if served.framing == .none { served.length = 0 }
    }

    /// Ends the answer when all of it is with the kernel.
    private func finish() {
        guard let served = self.served, served.isHeadSent, !served.isComplete, served.sent == served.length else {
            return
        }
        switch served.framing {
        case .chunked: return
        case .length, .none: break
        case .untilClose:
            served.isComplete = true
            self.ring.note("\(self.name): answer \(served.number) is complete by its end")
            self.last = served
            if !served.isRequestComplete || self.schedule.happens(oneIn: 2) {
                try? self.peer.shutDownOutput()
                // mesher closes as soon as it sees that; what it has still to send goes nowhere.
                if served.isRequestComplete { self.served = nil }
            } else {
                self.closeNow()
                self.served = nil
            }
            return
        case .tunnel:
            // Sooner or later it says that it is done.
            guard self.ring.isEnding || self.schedule.happens(oneIn: 3) else { return }
            self.ring.note("\(self.name) ends its side of the tunnel")
            served.isComplete = true
            self.last = served
            try? self.peer.shutDownOutput()
            return
        }
        served.isComplete = true
        self.last = served
        self.ring.note("\(self.name): answer \(served.number) is complete")
        if served.isRequestComplete { self.served = nil }
        if self.closesAfter, served.isRequestComplete { self.closeNow() }
    }

    private func fail(_ served: Served) {
        self.ring.hasBlemish = true
        self.ring.note("\(self.name) fails: \(self.fault)")
        switch self.fault {
        case .none: break
        case .silence:
            self.isSilent = true
            served.isBroken = true
        case .reset:
            served.isBroken = true
            self.peer.reset()
            while self.peer.transmit() {}
        case .close, .halfClose:
            if served.framing == .untilClose, served.isHeadSent {
                // Nobody can tell that there should have been more.
                served.length = served.sent
                served.isComplete = true
                self.last = served
            } else if served.framing == .tunnel, served.isHeadSent {
                served.length = served.sent
                served.isComplete = true
                self.last = served
                if self.fault == .close { served.isBroken = true }
            } else {
                served.isBroken = true
            }
            if self.fault == .close { self.closeNow() } else { try? self.peer.shutDownOutput() }
        }
        self.fault = .none
    }

    private func inputEnded() throws {
        guard let served = self.served, served.framing == .tunnel, served.isHeadSent, !self.peer.isReset else {
            return self.peer.close()
        }
        if !served.hasSeenEnd {
            served.hasSeenEnd = true
            self.ring.note("\(self.name) sees the end of the tunnel after \(served.received) bytes")
            let asked = served.asked
            if !asked.isBroken, !served.isBroken, !asked.isTunnelEnded || served.received != asked.tunnelSent {
                throw Violation(
                    "tunnel",
                    "\(self.name): the tunnel ends after \(served.received) of \(asked.tunnelSent) bytes of its client")
            }
        }
        if served.isComplete { self.peer.close() }
    }

    /// What waits to be written is bounded: a read, and what a client's kernel has behind its FIN.
    func checkHeld(_ settings: ProxySettings) throws {
        let writable = settings.buffer + 2 * 65_536 + 1024
        guard self.channel.bufferedBytes <= writable else {
            throw Violation(
                "held", "\(self.name): \(self.channel.bufferedBytes) bytes of requests wait, \(writable) may")
        }
    }

    func checkGivenUp() {}

    func end() { self.wire.cut() }
}
