// SPDX-License-Identifier: Apache-2.0

import Common
import NIOCore
@testable import Proxy
import SimulationSupport

/// An HTTP/1.1 client that does what a schedule says: it knows what it has sent, and judges what it gets.
final class ScriptedClient {
    /// A request that the client means to send.
    struct Request {
        /// Where it ends in all that the client sends.
        let end: Int
        let isHead: Bool
    }

    let name: String
    let channel: SimulatedChannel
    private(set) weak var handler: HTTP1ServerConnection?
    private let world: World
    private let wire: SimulatedWire
    private var peer: SimulatedSocket { self.wire.far }
    private var requests: [Request] = []
    private var unsent = ByteBuffer()
    private var sent = 0
    private var reader = AnswerReader()
    /// Whether it reads all that there is after each event.
    let readsAtOnce: Bool
    private var lastSent: NIODeadline
    private var lastDrained: NIODeadline
    /// It has done what costs a client its answers: reset, or kept mesher waiting for longer than the limits allow.
    private var isExempt = false
    private var hasClosed = false
    /// The answers that this client makes mesher hold at a time.
    private let largestAnswer: Int

    init(_ world: World, _ name: String, plans: Snapshot<TrafficPlan>.Reader) throws {
        let schedule = world.schedule
        self.world = world
        self.name = name
        self.wire = SimulatedWire(
            send: schedule.pick([8192, 2048, 512, 65536]), receive: schedule.pick([8192, 2048, 65536]))
        self.channel = SimulatedChannel(
            loop: world.loop, socket: self.wire.near, name: name,
            remote: try SocketAddress(ipAddress: "127.0.0.1", port: 40000))
        self.lastSent = world.loop.now
        self.lastDrained = world.loop.now
        self.readsAtOnce = !schedule.happens(oneIn: 2)
        self.largestAnswer = schedule.pick([0, 10, 300, 5000])
        // As the listener does it.
        try self.channel.syncOptions?.setOption(.allowRemoteHalfClosure, value: true)
        try self.channel.syncOptions?.setOption(.maxMessagesPerRead, value: ProxySettings.readsPerEvent)
        try self.channel.syncOptions?.setOption(
            .writeBufferWaterMark, value: plans.value.settings.writeBufferWaterMark)
        let handler = HTTP1ServerConnection(worker: world.worker, plans: plans)
        self.handler = handler
        try self.channel.pipeline.syncOperations.addHandler(handler)
        self.writeRequests()
        let requests = self.requests
        self.reader.isHead = { $0 < requests.count && requests[$0].isHead }
        world.add(self.channel)
        self.channel.becomeAccepted()
    }

    private func writeRequests() {
        let schedule = self.world.schedule
        let count = schedule.happens(oneIn: 4) ? schedule.draw(20...300) : schedule.draw(1...6)
        let delays = !schedule.happens(oneIn: 3) ? [0] : count > 6 ? [0, 0, 0, 0, 0, 3] : [0, 1, 40, 900]
        for number in 0..<count {
            let size = self.largestAnswer == 0 ? 0 : schedule.draw(self.largestAnswer)
            let kind = count > 6 ? 0 : schedule.draw(6)
            self.unsent.writeString(
                "\(["GET", "HEAD", "POST", "POST", "GET", "GET"][kind]) /\(number)/\(size)/\(schedule.pick(delays)) "
                    + "HTTP/1.1\r\nHost: a\r\n")
            switch kind {
            case 2:
                let length = schedule.draw(3000)
                self.unsent.writeString("Content-Length: \(length)\r\n\r\n")
                self.unsent.writeRepeatingByte(UInt8(ascii: "b"), count: length)
            case 3: self.unsent.writeString("Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
            case 4:
                self.unsent.writeString("X-Long: ")
                self.unsent.writeRepeatingByte(UInt8(ascii: "p"), count: schedule.draw(3000))
                self.unsent.writeString("\r\n\r\n")
            case 5 where schedule.happens(oneIn: 8):
                // Who asks for that sends nothing behind it.
                self.unsent.writeString("Connection: close\r\n\r\n")
                self.requests.append(Request(end: self.unsent.writerIndex, isHead: false))
                return
            default: self.unsent.writeString("\r\n")
            }
            self.requests.append(Request(end: self.unsent.writerIndex, isHead: kind == 1))
        }
    }

    // MARK: What it does

    /// Whether the client has seen the end, one way or the other.
    var isOver: Bool { !self.peer.isOpen || self.peer.isReset || (self.peer.hasFIN && self.hasNothingToRead) }

    private var hasNothingToRead: Bool {
        self.peer.receiveQueue.readableBytes == 0 && self.wire.near.sendQueue.readableBytes == 0
    }

    func send(_ most: Int) {
        guard self.peer.isOpen, !self.peer.isOutputShut, !self.peer.isReset, self.unsent.readableBytes > 0 else {
            self.peer.transmit()
            return
        }
        let count = min(most, self.unsent.readableBytes, self.peer.space)
        if count > 0, let slice = self.unsent.readSlice(length: count), (try? self.peer.write(slice)) != nil {
            // mesher has read on for as long as it does; what it is sent now resets the connection, as everywhere.
            if self.channel.isClosed { self.isExempt = true }
            self.sent += count
            self.lastSent = self.world.loop.now
        }
        self.peer.transmit()
        self.world.note("\(self.name) sends \(count) bytes")
    }

    func receive(_ most: Int) throws {
        guard self.peer.isOpen else {
            self.peer.transmit()
            self.wire.near.transmit()
            return
        }
        self.wire.near.transmit(most)
        var bytes = ByteBuffer()
        guard case .bytes(let count)? = try? self.peer.read(into: &bytes, most: most) else {
            if self.hasNothingToRead, self.channel.bufferedBytes == 0 { self.lastDrained = self.world.loop.now }
            return
        }
        self.world.note("\(self.name) reads \(count) bytes")
        let before = self.reader.complete.count
        try self.reader.receive(bytes)
        for (index, answer) in self.reader.complete.enumerated().dropFirst(before) {
            guard let number = answer.number else {
                guard answer.closes else { throw Violation("order", "an error without `Connection: close`") }
                continue
            }
            guard number == index else {
                throw Violation("order", "\(self.name): answer \(index) is the one to request \(number)")
            }
            guard self.requests[number].end <= self.sent || answer.closes else {
                throw Violation("order", "\(self.name): answer \(number) before its request was sent, and it goes on")
            }
        }
        if self.hasNothingToRead, self.channel.bufferedBytes == 0 { self.lastDrained = self.world.loop.now }
    }

    /// Reads until nothing more comes at this moment.
    func receiveAll() throws {
        repeat { try self.receive(.max) } while self.peer.isOpen && self.wire.near.canTransmit && !self.peer.isReset
    }

    func halfClose() {
        guard self.peer.isOpen, !self.peer.isOutputShut, !self.peer.isReset else { return }
        self.world.note("\(self.name) closes its sending side")
        try? self.peer.shutDownOutput()
        self.peer.transmit()
    }

    func reset() {
        guard self.peer.isOpen else { return }
        self.world.note("\(self.name) resets the connection")
        self.isExempt = true
        self.peer.reset()
        self.peer.transmit()
    }

    func close() {
        guard self.peer.isOpen else { return }
        self.world.note("\(self.name) closes")
        self.peer.close()
        while self.peer.transmit() {}
    }

    /// Time has passed: a client that keeps mesher waiting for too long loses its claim to answers.
    func timePassed() {
        let now = self.world.loop.now
        if self.channel.isClosed, self.wire.near.isReset || self.peer.sendQueue.readableBytes > 0 {
            self.isExempt = true
        }
        let isSilent = self.unsent.readableBytes > 0 || self.peer.sendQueue.readableBytes > 0
        if isSilent, now - self.lastSent > .seconds(9) { self.isExempt = true }
        if self.hasNothingToRead, self.channel.bufferedBytes == 0 { self.lastDrained = now }
        if now - self.lastDrained > .seconds(290) { self.isExempt = true }
    }

    // MARK: Rules

    /// What the connection holds is bounded, at every moment.
    func checkHeld(_ settings: ProxySettings) throws {
        guard let handler = self.handler, !self.channel.isClosed else { return }
        // One answer may go over the mark, and is written as a whole.
        let writable = settings.buffer + self.largestAnswer + 400
        if self.channel.bufferedBytes > writable {
            throw Violation(
                "held",
                "\(self.name): \(self.channel.bufferedBytes) bytes of answers wait to be written, and \(writable) may")
        }
        // What the kernel has is read to the end after a FIN, whatever the handler wants.
        let read = self.wire.near.receiveCapacity
        let readable = settings.buffer + read + (self.wire.near.hasFIN ? read : 0)
        let unread = handler.unread?.readableBytes ?? 0
        if unread > readable {
            throw Violation("held", "\(self.name): \(unread) bytes of requests wait, and \(readable) may")
        }
    }

    /// Every request was answered, in order, or the client can tell which were not.
    func checkAnswered() throws {
        if self.isExempt || self.reader.isLast { return }
        let asked = self.requests.count { $0.end <= self.sent }
        let answered = self.reader.complete.count
        if answered < asked {
            throw Violation(
                "lost", "\(self.name): \(answered) of \(asked) requests answered, no answer said that it is the last")
        }
        if self.reader.isWithin { throw Violation("lost", "\(self.name): an answer was cut") }
    }

    /// Whether all that was asked is answered.
    var isSatisfied: Bool {
        self.reader.isLast || self.reader.complete.count >= self.requests.count { $0.end <= self.sent }
    }

    func end() { self.wire.cut() }
}
