// SPDX-License-Identifier: Apache-2.0

import Common
import NIOCore
@testable import Proxy
import SimulationSupport

/// An HTTP/1.1 client of the ring with upstreams: it knows what it has sent, and judges what it gets.
final class ProxyClient: RingClient {
    let name: String
    let channel: SimulatedChannel
    private(set) weak var handler: HTTP1ServerConnection?
    unowned let ring: ProxyWorld
    private let wire: SimulatedWire
    var peer: SimulatedSocket { self.wire.far }
    private(set) var requests: [Asked] = []
    private var unsent = ByteBuffer()
    private var sent = 0
    private var reader: MessageReader
    /// Whether it reads all that there is after each event.
    let readsAtOnce: Bool
    /// The answer that is read now.
    private var answer: Served?
    private var isOwnAnswer = false
    private var received = 0
    /// Final answers that are complete.
    private var complete = 0
    /// The answer that is read, or the last one that was, says that none follows.
    private var isLast = false
    private var isTunnel = false
    /// Where the first request begins that waits for the answer to CONNECT.
    private var insideAt: Int?
    private var tunnelLength = 0
    private var hasSeenEnd = false
    /// It has done what costs a client its answers: reset, or kept mesher waiting for longer than the limits allow.
    private(set) var isExempt = false
    private var lastSent: NIODeadline
    private var lastDrained: NIODeadline
    private var lastRead: NIODeadline
    /// When the first byte of the request went out that is not complete.
    private var partialSince: NIODeadline?
    private var halfClosedAt: NIODeadline?

    init(_ ring: ProxyWorld, _ name: String, budget: ConnectionBudget) throws {
        let schedule = ring.schedule
        self.ring = ring
        self.name = name
        self.wire = SimulatedWire(
            send: schedule.pick([8192, 2048, 512, 65536]), receive: schedule.pick([8192, 2048, 65536]))
        self.channel = SimulatedChannel(
            loop: ring.loop, socket: self.wire.near, name: name,
            remote: try SocketAddress(ipAddress: "127.0.0.1", port: 40000))
        self.lastSent = ring.loop.now
        self.lastDrained = ring.loop.now
        self.lastRead = ring.loop.now
        self.reader = MessageReader(name)
        self.readsAtOnce = !schedule.happens(oneIn: 2)
        self.writeRequests()
        self.handler = try ring.accept(self.channel, budget)
    }

    private func writeRequests() {
        let schedule = self.ring.schedule
        if schedule.happens(oneIn: 8) {
            self.unsent.writeString("CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n")
            self.insideAt = self.unsent.writerIndex
        }
        for _ in 0..<schedule.draw(1...5) {
            let kind = schedule.draw(12)
            let isHTTP10 = schedule.happens(oneIn: 10)
            let isUpgrade = kind == 10 && !isHTTP10 && !self.ring.hasStreams
            let method = [3: "HEAD", 4: "POST", 5: "POST", 6: "POST", 7: "POST"][kind] ?? "GET"
            var length = 0
            if method == "POST" {
                length = schedule.draw([10, 3000, 40_000, 200_000][min(schedule.draw(4), schedule.draw(4))])
            }
            let isChunked = !isHTTP10 && (kind == 6 || kind == 7)
            let asked = Asked(
                number: self.ring.asked.count, method: method, length: length, isChunked: isChunked,
                isHTTP10: isHTTP10, isUpgrade: isUpgrade, start: self.unsent.writerIndex)
            self.ring.asked.append(asked)
            self.requests.append(asked)
            self.unsent.writeString("\(method) /\(asked.number) HTTP/1.\(isHTTP10 ? 0 : 1)\r\nHost: a\r\n")
            let closes = !isUpgrade && schedule.happens(oneIn: 6)
            if closes { self.unsent.writeString("Connection: close\r\n") }
            if isHTTP10, !closes, !schedule.happens(oneIn: 3) {
                self.unsent.writeString("Connection: keep-alive\r\n")
            }
            if isUpgrade {
                self.unsent.writeString(
                    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                        + "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n")
                self.tunnelLength = schedule.draw([0, 10, 5000, 100_000][schedule.draw(4)] + 1)
            }
            if isChunked {
                self.unsent.writeString("Transfer-Encoding: chunked\r\n\r\n")
                var offset = 0
                let size = max(schedule.pick([1000, 30_000, 7]), length / 50)
                while offset < length {
                    let count = min(size, length - offset)
                    self.unsent.writeString("\(String(count, radix: 16))\r\n")
                    self.unsent.writeImmutableBuffer(Pattern.piece(asked.seed, offset, count))
                    self.unsent.writeString("\r\n")
                    offset += count
                }
                asked.hasTrailers = schedule.happens(oneIn: 3)
                self.unsent.writeString(
                    asked.hasTrailers ? "0\r\nX-Trailer: r\(asked.number)\r\n\r\n" : "0\r\n\r\n")
            } else {
                if method == "POST" { self.unsent.writeString("Content-Length: \(length)\r\n") }
                self.unsent.writeString("\r\n")
                self.unsent.writeImmutableBuffer(Pattern.piece(asked.seed, 0, length))
            }
            asked.end = self.unsent.writerIndex
            // Nothing is sent behind what may be the last.
            if isUpgrade || closes || isHTTP10 { return }
        }
    }

    // MARK: What it does

    private var now: NIODeadline { self.ring.loop.now }

    /// What the network has moved, and who has seen the end.
    var moved: Int { self.wire.progress(of: self.channel, isOver: self.isOver) }

    /// Whether the client has seen the end, one way or the other.
    var isOver: Bool { !self.peer.isOpen || self.hasSeenEnd }

    private var hasNothingToRead: Bool {
        self.peer.receiveQueue.readableBytes == 0 && self.wire.near.sendQueue.readableBytes == 0
    }

    func send(_ most: Int) {
        defer { self.peer.transmit() }
        guard self.peer.isOpen, !self.peer.isOutputShut, !self.peer.isReset else { return }
        if self.unsent.readableBytes == 0 {
            if self.isTunnel { self.sendTunnel(most) }
            return
        }
        let count = min(most, (self.insideAt ?? .max) - self.sent, self.unsent.readableBytes, self.peer.space)
        guard count > 0, let slice = self.unsent.readSlice(length: count), (try? self.peer.write(slice)) != nil else {
            return
        }
        // mesher has read on for as long as it does; what it is sent now resets the connection, as everywhere.
        if self.channel.isClosed { self.isExempt = true }
        self.sent += count
        self.lastSent = self.now
        var isWithin = false
        for asked in self.requests where !asked.isSent {
            if asked.end <= self.sent {
                asked.isSent = true
                self.partialSince = nil
            } else {
                isWithin = isWithin || asked.start < self.sent
            }
        }
        if isWithin, self.partialSince == nil { self.partialSince = self.now }
        self.ring.note("\(self.name) sends \(count) bytes")
    }

    private func sendTunnel(_ most: Int) {
        guard let asked = self.requests.last else { return }
        let count = min(most, self.tunnelLength - asked.tunnelSent, self.peer.space)
        if count > 0, (try? self.peer.write(Pattern.piece(asked.seed, asked.tunnelSent, count))) != nil {
            asked.tunnelSent += count
            self.lastSent = self.now
            self.ring.note("\(self.name) sends \(count) bytes through the tunnel")
        } else if asked.tunnelSent == self.tunnelLength, self.ring.isEnding || self.ring.schedule.happens(oneIn: 3) {
            self.halfClose()
        }
    }

    func receive(_ most: Int) throws {
        defer { if self.hasNothingToRead, self.channel.bufferedBytes == 0 { self.lastDrained = self.now } }
        guard self.peer.isOpen else {
            self.wire.near.transmit()
            return
        }
        self.wire.near.transmit(most)
        var bytes = ByteBuffer()
        switch try? self.peer.read(into: &bytes, most: most) {
        case .bytes(let count)?:
            self.ring.note("\(self.name) reads \(count) bytes")
            self.lastRead = self.now
            self.reader.receive(bytes)
            while let event = try self.reader.next() { try self.take(event) }
        case .end?, nil: try self.inputEnded()
        case .wouldBlock?: break
        }
    }

    /// Reads until nothing more comes at this moment.
    func receiveAll() throws {
        repeat {
            try self.receive(.max)
        } while self.peer.isOpen && !self.hasSeenEnd
            && (self.wire.near.canTransmit || self.peer.receiveQueue.readableBytes > 0)
    }

    var hasSomethingToRead: Bool {
        self.peer.isOpen && !self.hasSeenEnd && (self.wire.near.canTransmit || self.peer.isReadable)
    }

    var hasHandler: Bool { self.handler != nil }

    func disturb() {}

    func halfClose() {
        guard self.peer.isOpen, !self.peer.isOutputShut, !self.peer.isReset else { return }
        self.ring.note("\(self.name) closes its sending side")
        if self.requests.last?.isUpgrade == true { self.requests.last?.isTunnelEnded = true }
        // Half a request is not answered.
        if self.partialSince != nil { self.isExempt = true }
        self.halfClosedAt = self.now
        try? self.peer.shutDownOutput()
        self.peer.transmit()
    }

    func leave() {
        self.isExempt = true
        for asked in self.requests { asked.isBroken = true }
    }

    /// Whether all that was asked is answered.
    var isSatisfied: Bool {
        if self.isTunnel { return self.hasSeenEnd }
        return !self.reader.isWithin && (self.isLast || self.complete >= self.requests.count { $0.isSent })
    }

    /// Time has passed: a client that keeps mesher waiting for too long loses its claim to answers.
    func timePassed() {
        self.peer.transmit()
        let now = self.now
        if self.channel.isClosed, self.wire.near.isReset || self.peer.sendQueue.readableBytes > 0 {
            self.isExempt = true
        }
        // A tunnel is not open for ever.
        if self.isTunnel, now - max(self.lastSent, self.lastRead) > .seconds(290) { self.isExempt = true }
        let canSend = self.peer.space > 0 || self.peer.canTransmit
        if self.partialSince != nil || self.peer.sendQueue.readableBytes > 0 {
            if canSend, now - self.lastSent > .seconds(9) { self.isExempt = true }
        } else if self.unsent.readableBytes > 0, now - self.lastSent > .seconds(50) {
            self.isExempt = true
        }
        if !canSend, !self.isTunnel { self.lastSent = now }
        if canSend, let since = self.partialSince, now - since > .seconds(9) { self.isExempt = true }
        if self.hasNothingToRead, self.channel.bufferedBytes == 0 { self.lastDrained = now }
        if now - self.lastDrained > .seconds(290) { self.isExempt = true }
        if let at = self.halfClosedAt, now - at > .seconds(4), !self.isTunnel {
            // Within an answer it is the next that may be late in its beginning.
            let waits = self.complete + (self.reader.isWithin ? 1 : 0)
            if !self.isLast, waits < self.requests.count(where: { $0.isSent }) { self.isExempt = true }
        }
        if self.isExempt { for asked in self.requests { asked.isBroken = true } }
    }

    // MARK: What it gets

    private func take(_ event: MessageReader.Event) throws {
        switch event {
        case .head(let head): try self.begin(head)
        case .body(let bytes):
            if let answer = self.answer {
                guard Pattern.matches(bytes, answer.seed, self.received) else {
                    throw Violation("answer", "\(self.name): a body holds bytes that do not belong to it")
                }
            }
            self.received += bytes.readableBytes
        case .end: try self.ended()
        }
    }

    private func begin(_ head: MessageReader.Head) throws {
        guard head.line.hasPrefix("HTTP/1.1 "), let status = Int(head.line.dropFirst(9).prefix(3)) else {
            throw Violation("answer", "\(self.name): not a status line: \(head.line)")
        }
        if self.isLast { throw Violation("answer", "\(self.name): bytes behind the last answer") }
        if self.insideAt.take() != nil, status == 200 {
            self.isInterim = true
            return self.reader.goOn(.none)
        }
        guard self.complete < self.requests.count else { throw Violation("order", "\(self.name): one answer too many") }
        let asked = self.requests[self.complete]
        let number = head.number("x-answer")
        self.answer = number.map { self.ring.served[$0] }
        self.received = 0
        self.isOwnAnswer = number == nil
        self.ring.note("\(self.name): an answer to \(asked.number) begins: \(status), \(number ?? -1)")
        if let answer = self.answer {
            guard answer.asked === asked else {
                throw Violation(
                    "order", "\(self.name): request \(asked.number) is given the answer to \(answer.asked.number)")
            }
            guard status < 200 || status == answer.status else {
                throw Violation("answer", "\(self.name): not its status")
            }
        }
        self.isInterim = status < 200 && status != 101
        if self.isInterim { return self.reader.goOn(.none) }
        if head["connection"]?.lowercased() == "close" { self.isLast = true }
        if status == 101 {
            guard asked.isUpgrade, self.answer?.framing == .tunnel else {
                throw Violation("answer", "a tunnel unasked")
            }
            self.isTunnel = true
            self.lastSent = self.now
            return self.reader.goOn(.untilClose)
        }
        if self.isOwnAnswer { try self.judgeOwn(status, asked) }
        if asked.method == "HEAD" || status == 204 || status == 304 {
            self.reader.goOn(.none)
        } else if head.isChunked {
            if asked.isHTTP10 { throw Violation("framing", "\(self.name): chunks for HTTP/1.0") }
            self.reader.goOn(.chunked)
        } else if let length = head.length {
            self.reader.goOn(.length(length))
        } else {
            self.isLast = true
            self.reader.goOn(.untilClose)
        }
    }

    /// mesher answers by itself: that is for failures.
    private func judgeOwn(_ status: Int, _ asked: Asked) throws {
        if self.isExempt { return }
        guard asked.served.allSatisfy({ $0.isBroken }) else {
            throw Violation(
                "lost", "\(self.name): request \(asked.number) is answered \(status) though its upstream has not failed"
            )
        }
    }

    private var isInterim = false

    private func ended() throws {
        // An interim response: the answer is still to come.
        if self.isInterim { return }
        let asked = self.requests[self.complete]
        self.ring.note("\(self.name): the answer to \(asked.number) is complete")
        if let answer = self.answer, !answer.isBroken, !(answer.framing == .tunnel) {
            let length = asked.method == "HEAD" ? 0 : answer.length
            // A length says where a body ends, before its upstream does.
            let isEnded = answer.isComplete || !(answer.framing == .chunked || answer.framing == .untilClose)
            guard isEnded, self.received == length else {
                throw Violation(
                    "cut", "\(self.name): the answer to \(asked.number) ends after \(self.received) of \(length) bytes")
            }
        } else if let answer = self.answer, answer.isBroken, !answer.isComplete, answer.framing != .tunnel {
            let length = asked.method == "HEAD" ? 0 : answer.length
            if self.received < length || answer.framing == .chunked {
                throw Violation(
                    "cut",
                    "\(self.name): the answer to \(asked.number) was cut after \(self.received) of \(length) bytes, and cannot be told from a whole one"
                )
            }
        }
        if let answer = self.answer {
            let trailer = answer.hasTrailers && self.reader.isChunked ? "a\(answer.number)" : nil
            guard self.reader.trailer == trailer else {
                throw Violation(
                    "trailers",
                    "\(self.name): the answer to \(asked.number) ends with \(self.reader.trailer ?? "no trailers")")
            }
        }
        self.answer = nil
        self.complete += 1
    }

    private func inputEnded() throws {
        guard !self.hasSeenEnd else { return }
        self.hasSeenEnd = true
        self.ring.note("\(self.name) sees the end\(self.peer.isReset ? ": a reset" : "")")
        if self.peer.isReset { return }
        if self.isTunnel {
            guard let answer = self.answer, !answer.isBroken, !self.isExempt else { return }
            guard answer.isComplete, self.received == answer.length else {
                throw Violation(
                    "tunnel", "\(self.name): the tunnel ends after \(self.received) of \(answer.sent) bytes")
            }
        } else if self.reader.endsWithConnection {
            try self.ended()
            self.reader = MessageReader(self.name)
        }
    }

    // MARK: Rules

    /// What the connection holds is bounded, at every moment.
    func checkHeld(_ settings: ProxySettings) throws {
        guard let handler = self.handler, !self.channel.isClosed else { return }
        let read = 65_536 + 1024
        let writable = settings.buffer + read + self.ring.largestUpstreamQueue
        if self.channel.bufferedBytes > writable {
            throw Violation(
                "held",
                "\(self.name): \(self.channel.bufferedBytes) bytes of answers wait to be written, and \(writable) may")
        }
        let near = self.wire.near
        let readable = settings.buffer + read + (near.hasFIN ? near.receiveCapacity : 0)
        let unread = handler.heldBytes - self.channel.bufferedBytes
        if unread > readable {
            throw Violation("held", "\(self.name): \(unread) bytes of requests wait, and \(readable) may")
        }
    }

    /// Every request was answered, in order, or the client can tell which were not.
    func checkAnswered() throws {
        if self.isExempt { return }
        if self.isTunnel {
            guard let answer = self.answer, !answer.isBroken else { return }
            guard self.hasSeenEnd, answer.hasSeenEnd else {
                throw Violation(
                    "tunnel",
                    "\(self.name): both have ended the tunnel, and \(self.hasSeenEnd ? "the upstream" : "it") does not see it"
                )
            }
            return
        }
        let asked = self.requests.filter { $0.isSent }
        if self.complete >= asked.count || (self.isLast && !self.reader.isWithin) { return }
        let next = asked[self.complete]
        // A cut that it sees: what was not written of earlier answers goes with that of the one that failed. The last one
        // may have failed behind what is its end in HTTP/1.1.
        if self.requests[max(0, self.complete - 1)...].contains(where: {
            $0.served.contains { $0.isBroken && $0.hasBegun }
        }) {
            return
        }
        let answers = next.served.map { "\($0.isComplete ? "complete" : "incomplete")" }
        throw Violation(
            "lost",
            "\(self.name): request \(next.number) is not answered\(self.reader.isWithin ? " in full" : ""); at its upstreams: \(answers)"
        )
    }

    func end() { self.wire.cut() }
}
