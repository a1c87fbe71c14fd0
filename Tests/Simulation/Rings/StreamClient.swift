// SPDX-License-Identifier: Apache-2.0

import Common
import NIOCore
@testable import Proxy
import SimulationSupport

/// An HTTP/2 client of the ring with upstreams: it knows what it has sent, and judges what it gets.
final class StreamClient: StreamPeer, RingClient {
    private weak var handler: HTTP2ServerConnection?
    private weak var first: HTTP1ServerConnection?
    let readsAtOnce: Bool
    private let pieces: Int
    private let codes = [8, 8, 0, 2]
    private var planned: [Asked] = []
    private var nextID = 1
    private let beganAt: NIODeadline
    private var hasBegun = false
    private var isPrefaceSent = false
    private var lastDrained: NIODeadline
    /// It has done what costs a client all of its answers: gone, or kept mesher waiting for longer than the limits allow.
    private(set) var isExempt = false
    /// It opens no more streams.
    private var isLeaving = false
    /// Whether it obeys the limit of streams.
    private let isModest: Bool
    /// The last stream that is served, as mesher has said.
    private(set) var lastServed = Int.max

    init(_ ring: ProxyWorld, _ name: String, budget: ConnectionBudget) throws {
        let schedule = ring.schedule
        let wire = SimulatedWire(
            send: schedule.pick([8192, 2048, 512, 65_536]), receive: schedule.pick([8192, 2048, 65_536]))
        let channel = SimulatedChannel(
            loop: ring.loop, socket: wire.near, name: name,
            remote: try SocketAddress(ipAddress: "127.0.0.1", port: 40_000))
        self.lastDrained = ring.loop.now
        self.beganAt = ring.loop.now
        self.readsAtOnce = !schedule.happens(oneIn: 2)
        self.pieces = schedule.pick([Frame.largest, 5000, 700, 1])
        self.isModest = !schedule.happens(oneIn: 4)
        super.init(ring, name, wire, channel, awaitsPreface: false)
        self.plan()
        let handler = try ring.accept(channel, budget)
        self.first = handler
        if schedule.happens(oneIn: 6) { self.queueConnect() } else { self.begin() }
    }

    private func plan() {
        let schedule = self.schedule
        for _ in 0..<schedule.draw(1...7) {
            let method = schedule.pick(["GET", "GET", "POST", "POST", "HEAD", "PUT"])
            let hasBody = method == "POST" || method == "PUT"
            var length = 0
            if hasBody { length = schedule.draw([10, 3000, 40_000, 200_000][min(schedule.draw(4), schedule.draw(4))]) }
            let asked = Asked(
                number: self.ring.asked.count, method: method, length: length,
                isChunked: hasBody && schedule.happens(oneIn: 2), isHTTP10: false, isUpgrade: false, start: 0)
            asked.hasTrailers = hasBody && schedule.happens(oneIn: 4)
            asked.mark = self.name
            // A call of gRPC may be silent for ever where nobody is asked for a sign of life: in HTTP/1.1.
            let place = self.ring.endpoints[asked.number % self.ring.endpoints.count]
            asked.isGRPC = method == "POST" && place.protocolName == "grpc" && schedule.happens(oneIn: 3)
            if asked.isGRPC, schedule.happens(oneIn: 3) { asked.timeout = .seconds(20) }
            self.ring.asked.append(asked)
            self.planned.append(asked)
        }
    }

    private func begin() {
        self.hasBegun = true
        self.queue(Frame.preface)
        self.queueSettings([[], [(4, 100)], [(4, 0)], [(4, 1_000_000), (1, 0)]][self.schedule.draw(4)])
        self.mark { self.isPrefaceSent = true }
    }

    // MARK: What it does

    /// The handler, once the preface has told the protocol.
    private var connection: HTTP2ServerConnection? {
        if let handler = self.handler { return handler }
        guard !self.channel.isClosed else { return nil }
        self.handler = try? self.channel.pipeline.syncOperations.handler(type: HTTP2ServerConnection.self)
        return self.handler
    }

    var hasHandler: Bool { self.handler != nil || self.first != nil }
    var moved: Int { self.wire.progress(of: self.channel, isOver: self.isOver) }
    var isOver: Bool { !self.peer.isOpen || self.hasSeenEnd }

    var hasSomethingToRead: Bool {
        self.peer.isOpen && !self.hasSeenEnd && (self.wire.near.canTransmit || self.peer.isReadable)
    }

    private var mayOpen: Bool {
        guard !self.planned.isEmpty, !self.isLeaving, self.lastServed == .max, !self.hasSeenEnd else { return false }
        return !self.isModest || self.streams.count { !$0.isOver } < self.mostStreams
    }

    /// Whether a stream could go on with its request.
    private func isReady(_ stream: ScriptedStream) -> Bool {
        guard !stream.hasEnded, !stream.wasReset, !stream.wasResetByPeer else { return false }
        return stream.sent == stream.asked.length || self.room(stream) > 0
    }

    override func send(_ most: Int) {
        let before = self.written
        super.send(most)
        // mesher has read on for as long as it does; what it is sent now resets the connection, as everywhere.
        if self.written != before, self.channel.isClosed { self.excuseAll() }
    }

    override func makeMore() -> Bool {
        guard self.hasBegun || !self.reader.awaitsConnect else { return false }
        if !self.hasBegun { self.begin() }
        if self.ring.isEnding { self.grant(extra: 100_000) }
        if self.out.readableBytes > 0 { return true }
        let ready = self.streams.filter(self.isReady)
        let choice = self.schedule.draw(ready.count + (self.mayOpen ? 1 : 0))
        if choice < ready.count {
            self.goOn(ready[choice])
        } else {
            guard self.mayOpen else { return false }
            self.open(self.planned.removeFirst())
        }
        return true
    }

    private func open(_ asked: Asked) {
        let stream = ScriptedStream(
            self.nextID, asked, send: self.sendInitial, receive: self.receiveInitial, now: self.now)
        let others = self.streams.count { !$0.isOver }
        asked.mayBeRefused = others >= self.ring.settings.http2Streams
        asked.openedAt = self.now
        self.nextID += 2
        self.streams.append(stream)
        var fields: Fields = [
            (":method", asked.method), (":scheme", "http"), (":path", "/\(asked.number)"), (":authority", "a"),
            ("x-client", self.name),
        ]
        let hasBody = asked.length > 0 || asked.hasTrailers || asked.isChunked
        if hasBody, !asked.isChunked { fields.append(("content-length", "\(asked.length)")) }
        if asked.isGRPC { fields += [("content-type", "application/grpc"), ("te", "trailers")] }
        if let timeout = asked.timeout { fields.append(("grpc-timeout", "\(timeout.nanoseconds / 1_000_000_000)S")) }
        stream.hasEnded = !hasBody
        self.ring.note(
            "\(self.name) asks \(asked.number) on stream \(stream.id): \(asked.method), \(asked.length) bytes")
        self.queueHeaders(stream.id, fields, endStream: stream.hasEnded)
        if stream.hasEnded { self.mark { asked.isSent = true } }
    }

    private func goOn(_ stream: ScriptedStream) {
        let asked = stream.asked
        stream.movedAt = self.now
        let left = asked.length - stream.sent
        guard left > 0 else { return self.finish(stream) }
        var count = min(left, self.room(stream), self.pieces)
        // Never a byte at a time through a long body.
        if self.pieces < 700, left > 300 { count = min(left, self.room(stream), 300) }
        let bytes = Pattern.piece(asked.seed, stream.sent, count)
        stream.sent += count
        stream.hasEnded = count == left && !asked.hasTrailers && !self.schedule.happens(oneIn: 2)
        self.queueData(stream, bytes, endStream: stream.hasEnded)
        if stream.hasEnded { self.mark { asked.isSent = true } }
    }

    private func finish(_ stream: ScriptedStream) {
        let asked = stream.asked
        stream.hasEnded = true
        if asked.hasTrailers {
            self.queueHeaders(stream.id, [("x-trailer", "r\(asked.number)")], endStream: true)
        } else {
            self.queue(.data, Frame.endStream, stream: stream.id)
        }
        self.mark { asked.isSent = true }
    }

    override func receive(_ most: Int) throws {
        try super.receive(most)
        self.noteDrained()
    }

    func receiveAll() throws {
        repeat {
            try self.receive(.max)
        } while self.peer.isOpen && !self.hasSeenEnd
            && (self.wire.near.canTransmit || self.peer.receiveQueue.readableBytes > 0)
    }

    private func noteDrained() {
        if self.hasNothingToRead, self.channel.bufferedBytes == 0, !self.streams.contains(where: self.isShut) {
            self.lastDrained = self.now
        }
    }

    func disturb() {
        guard self.peer.isOpen, self.isPrefaceSent, !self.isOver else { return }
        let schedule = self.schedule
        switch schedule.draw(10) {
        case 1, 2: self.grant(extra: schedule.pick([1, 1000, 60_000]))
        case 3: self.queuePing()
        case 4: self.queueSettings([[], [(4, 10_000)], [(4, 0)], [(4, 70_000), (1, 4096)]][schedule.draw(4)])
        case 5: self.queue(.priority, stream: 1, ByteBuffer(bytes: [0x80, 0, 0, 3, 0]))
        case 6, 7, 8:
            let open = self.streams.filter { !$0.isOver }
            guard !open.isEmpty else { return }
            let stream = schedule.pick(open)
            self.ring.note("\(self.name) resets stream \(stream.id)")
            stream.asked.isBroken = true
            self.queueReset(stream, schedule.pick(self.codes))
            stream.asked.isGivenUp = true
        case 9:
            self.ring.note("\(self.name) says that it goes")
            self.isLeaving = true
            self.queue(.goAway, stream: 0, 0, 0)
        default: break
        }
    }

    func halfClose() {
        guard self.peer.isOpen, !self.peer.isOutputShut, !self.peer.isReset else { return }
        self.ring.note("\(self.name) closes its sending side")
        self.leave()
        try? self.peer.shutDownOutput()
        self.peer.transmit()
    }

    func leave() {
        self.excuseAll()
        for stream in self.streams where !stream.isOver { stream.asked.isGivenUp = true }
    }

    private func excuseAll() {
        self.isExempt = true
        for asked in self.planned + self.streams.map(\.asked) { asked.isBroken = true }
    }

    /// Whether all that was asked is answered.
    var isSatisfied: Bool {
        let mayGoOn = self.mayOpen && self.canSend
        return !mayGoOn && self.pings.isEmpty && self.streams.allSatisfy { $0.isAnswered || $0.id > self.lastServed }
    }

    override func timePassed() {
        super.timePassed()
        let now = self.now
        if self.channel.isClosed, self.wire.near.isReset || self.peer.sendQueue.readableBytes > 0 { self.excuseAll() }
        if !self.isPrefaceSent, now - self.beganAt > .seconds(9) { self.excuseAll() }
        if self.isTardy { self.excuseAll() }
        for stream in self.streams where !stream.asked.isSent && !stream.isOver {
            if !self.canSend || (!self.isBegun && !self.isReady(stream)) { stream.movedAt = now }
            if now - stream.movedAt > .seconds(9) || now - stream.openedAt > .seconds(100) {
                stream.asked.isBroken = true
            }
        }
        for stream in self.streams {
            if let timeout = stream.asked.timeout, now - stream.openedAt > timeout - .seconds(10) {
                stream.asked.isBroken = true
            }
        }
        self.noteDrained()
        if now - self.lastDrained > .seconds(290) { self.excuseAll() }
    }

    // MARK: What it gets

    override func headers(_ id: Int, _ fields: Fields, endStream: Bool) throws {
        guard let stream = self.streams.first(where: { $0.id == id }) else {
            throw self.violation("order", "an answer on stream \(id), which was never opened")
        }
        try self.headCame(stream, fields, endStream: endStream)
    }

    override func data(_ stream: ScriptedStream, _ bytes: ByteBuffer, endStream: Bool) throws {
        try self.bodyCame(stream, bytes, endStream: endStream)
    }

    override func inputEnded() throws {
        // Whoever has not said what it speaks, as far as mesher has read, is closed like an idle one.
        if self.ring.isDraining, !self.hasPeerSettings { self.excuseAll() }
        guard self.reader.awaitsConnect else { return }
        guard self.isExempt || self.ring.isDraining || self.out.readableBytes > 0 || self.written == 0 else {
            throw self.violation("lost", "CONNECT is not answered 200")
        }
        self.excuseAll()
    }

    override func resetCame(_ stream: ScriptedStream, _ code: Int) throws { try self.judgeReset(stream, code) }

    override func goAway(last: Int, code: Int) throws {
        self.lastServed = min(self.lastServed, last)
        if self.lastServed == 0x7fff_ffff { self.isLeaving = true }
        if code != 0, !self.isExempt { throw self.violation("accused", "GOAWAY with code \(code)") }
    }

    // MARK: Rules

    func checkHeld(_ settings: ProxySettings) throws {
        guard !self.channel.isClosed, let handler = self.connection else { return }
        // Frames of a turn go out together, and heads and control frames are bound by no window.
        let written = self.channel.bufferedBytes + handler.output.readableBytes
        let writable = settings.buffer + 3 * 65_536
        guard written <= writable else {
            throw self.violation("held", "\(written) bytes of answers wait to be written, and \(writable) may")
        }
        for case let stream as HTTP2ServerStream in handler.streams.all {
            let pending = stream.pending?.readableBytes ?? 0
            let most = settings.buffer + 2 * 65_536 + 1024
            guard pending <= most else {
                throw self.violation("held", "\(pending) bytes of an answer wait on a stream, and \(most) may")
            }
            let kept = stream.driver?.heldBytes ?? 0
            guard kept <= 2 * settings.http2StreamWindow + 65_536 else {
                throw self.violation("held", "\(kept) bytes of a request wait on a stream")
            }
        }
    }

    func checkAnswered() throws {
        if self.isExempt { return }
        for stream in self.streams where !stream.asked.isBroken && stream.id <= self.lastServed {
            if stream.isAnswered { continue }
            guard stream.asked.isSent || stream.hasEnded else { continue }
            let answers = stream.asked.served.map { "\($0.isComplete ? "complete" : "incomplete")" }
            throw self.violation(
                "lost",
                "request \(stream.asked.number) on stream \(stream.id) is not answered; at its upstreams: \(answers)")
        }
        guard self.isOver || self.pings.isEmpty else { throw self.violation("lost", "a PING is not answered") }
    }

    func end() { self.wire.cut() }
}
