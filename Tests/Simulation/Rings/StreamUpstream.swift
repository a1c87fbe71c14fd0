// SPDX-License-Identifier: Apache-2.0

import Common
import NIOCore
@testable import Proxy
import SimulationSupport

/// One connection of an HTTP/2 upstream that answers as a schedule says, and judges what it is asked.
final class StreamUpstream: StreamPeer, RingUpstream {
    private enum Fault {
        case none, goodbye, refusal, reset, close, halfClose, silence
    }

    let endpoint: Int
    /// Whether somebody has yet to accept or refuse.
    var isWaiting = true
    private(set) var isSilent = false
    private weak var handler: HTTP2ClientConnection?
    private let settings: [(key: Int, value: Int)]
    /// Whether its settings, which come first, take their time.
    private let isLate: Bool
    /// Where its settings end in what it sends; `nil` while they are not queued.
    private var settingsEnd: Int?
    /// Streams that mesher may open at a time, once it knows.
    private(set) var limit = Int.max
    private var fault = Fault.none
    /// Moments until it happens.
    private var faultIn = 0
    private(set) var lastID = 0
    /// The last stream that it serves, as it has said.
    private(set) var lastServed = Int.max
    /// mesher knows that.
    private(set) var isFarewellKnown = false
    /// Since when there is something to read.
    private var unreadSince: NIODeadline?
    /// Whether what it reads now has waited for so long that mesher may have given it up.
    var isBehind: Bool { self.unreadSince.map { self.now - $0 > .seconds(4) } ?? false }

    init(_ ring: ProxyWorld, _ name: String, _ endpoint: Int, _ channel: SimulatedChannel, _ wire: SimulatedWire) {
        let schedule = ring.schedule
        self.endpoint = endpoint
        self.settings =
            [[], [(3, 100)], [(3, 1)], [(3, 2), (4, 1_000_000)], [(4, 100)], [(4, 0)]][schedule.draw(6)]
        self.isLate = schedule.happens(oneIn: 4)
        if schedule.happens(oneIn: 5) {
            self.fault = schedule.pick([.goodbye, .goodbye, .refusal, .refusal, .reset, .close, .halfClose, .silence])
            self.faultIn = schedule.draw(30)
        }
        super.init(ring, name, wire, channel, awaitsPreface: true)
    }

    /// Whether mesher knows its settings: who has not said them may not have looked at a request either.
    private(set) var hasToldSettings = false

    // MARK: What it does

    func act(_ most: Int, writes: Bool = true) throws {
        guard self.mayAct(isSilent: self.isSilent) else { return }
        try self.receive(most)
        guard self.peer.isOpen else { return }
        self.failIfDue()
        guard self.peer.isOpen, !self.isSilent else { return }
        if self.settingsEnd != nil, self.schedule.happens(oneIn: 12) { self.disturb() }
        if writes { self.send(most) }
        self.peer.transmit()
    }

    override func makeMore() -> Bool {
        if self.ring.isEnding { self.grant(extra: 100_000) }
        if self.out.readableBytes > 0 { return true }
        let ready = self.streams.filter(self.isReady)
        guard !ready.isEmpty else { return false }
        self.goOn(self.schedule.pick(ready))
        return self.out.readableBytes > 0
    }

    override func send(_ most: Int) {
        if self.settingsEnd == nil {
            guard !self.isLate || self.ring.isEnding || self.schedule.happens(oneIn: 4) else { return }
            let limit = self.settings.first { $0.key == 3 }?.value
            self.settingsEnd = self.queueFirst(self.settings) { if let limit { self.limit = limit } }
        }
        super.send(most)
    }

    private func disturb() {
        let schedule = self.schedule
        switch schedule.draw(6) {
        case 1, 2: self.grant(extra: schedule.pick([1, 1000, 60_000]))
        case 3: self.queuePing()
        case 4:
            let values = [[], [(4, 10_000)], [(4, 0)], [(4, 70_000), (1, 100)], [(3, 1)], [(3, 100)]][schedule.draw(6)]
            // Those that are open already are not closed by it.
            let limit = values.first { $0.0 == 3 }?.1
            if limit != nil { self.limit = .max }
            self.queueSettings(values.map { (key: $0.0, value: $0.1) }) { if let limit { self.limit = limit } }
        default: break
        }
    }

    private func failIfDue() {
        guard self.fault != .none else { return }
        guard self.faultIn == 0 else {
            self.faultIn -= 1
            return
        }
        let fault = self.fault
        guard fault != .goodbye && fault != .refusal || self.settingsEnd != nil else { return }
        self.fault = .none
        self.ring.note("\(self.name) fails: \(fault)")
        self.ring.hasBlemish = true
        switch fault {
        case .none: break
        case .goodbye: self.sayGoodbye(self.lastID)
        case .refusal:
            // What it has begun to answer it has looked at.
            let begun = self.streams.last { $0.hasHead || $0.isOver || $0.served == nil }?.id ?? 0
            self.sayGoodbye(begun)
        case .silence:
            self.isSilent = true
            for served in self.streams.compactMap(\.served) { served.isBroken = true }
        case .reset, .close: self.closeNow(resets: fault == .reset)
        case .halfClose:
            for served in self.streams.compactMap(\.served) { self.breakOff(served) }
            try? self.peer.shutDownOutput()
        }
    }

    private func sayGoodbye(_ last: Int) {
        self.ring.note("\(self.name) says that it serves up to stream \(last)")
        self.lastServed = last
        for stream in self.streams where stream.id > last {
            stream.wasReset = true
            stream.served?.isBroken = true
            stream.served?.isUnseen = true
        }
        self.queue(.goAway, stream: 0, UInt32(last), 0)
        self.queuePing { self.isFarewellKnown = true }
    }

    func leave() {
        guard self.peer.isOpen, !self.isWaiting, !self.isSilent else { return }
        self.ring.note("\(self.name) closes")
        self.closeNow(resets: false)
    }

    private func breakOff(_ served: Served) {
        let isWhole = served.isComplete && served.isRequestComplete && (served.end ?? .max) <= self.peer.transmitted
        if !isWhole { served.isBroken = true }
    }

    private func closeNow(resets: Bool) {
        self.ring.hasBlemish = true
        if resets { self.peer.reset() } else { self.peer.close() }
        while self.peer.transmit() {}
        for served in self.streams.compactMap(\.served) { self.breakOff(served) }
    }

    override func inputEnded() throws {
        self.peer.close()
        while self.peer.transmit() {}
    }

    // MARK: Time

    override func receive(_ most: Int) throws {
        try super.receive(most)
        if self.hasNothingToRead, !self.isWithinFrame { self.unreadSince = nil }
    }

    func noteUnread() {
        if !self.hasNothingToRead || self.isWithinFrame, self.unreadSince == nil { self.unreadSince = self.now }
    }

    override func timePassed() {
        super.timePassed()
        if self.isTardy {
            self.ring.hasBlemish = true
            for served in self.streams.compactMap(\.served) { self.breakOff(served) }
        }
        self.noteUnread()
        for stream in self.streams {
            guard let served = stream.served, !stream.isOver || served.end ?? 0 > self.peer.transmitted else {
                continue
            }
            if self.couldAct(stream, served) {
                if self.now - served.movedAt > .seconds(4) { served.isBroken = true }
            } else {
                served.movedAt = self.now
            }
        }
    }

    /// Whether it could do something now, and is waited for.
    private func couldAct(_ stream: ScriptedStream, _ served: Served) -> Bool {
        if self.isSilent || self.peer.canTransmit || self.settingsEnd == nil { return true }
        guard self.peer.isOpen else { return true }
        if !self.hasNothingToRead { return true }
        if self.out.readableBytes > 0, self.peer.space > 0 { return true }
        if !served.isRequestComplete, self.isShut(stream) { return true }
        return self.isReady(stream) && self.peer.space > 0
    }

    // MARK: Rules

    func checkHeld(_ settings: ProxySettings) throws {
        guard !self.channel.isClosed else { return }
        if self.handler == nil {
            self.handler = try? self.channel.pipeline.syncOperations.handler(type: HTTP2ClientConnection.self)
        }
        guard let handler = self.handler else { return }
        self.hasToldSettings = handler.hasSettings
        let written = self.channel.bufferedBytes + handler.output.readableBytes
        let writable = settings.buffer + 3 * 65_536
        guard written <= writable else {
            throw self.violation("held", "\(written) bytes of requests wait to be written, and \(writable) may")
        }
        for stream in handler.streams.all {
            let pending = stream.pending?.readableBytes ?? 0
            let most = settings.buffer + 3 * 65_536 + 1024
            guard pending <= most else {
                throw self.violation("held", "\(pending) bytes of a request wait on a stream, and \(most) may")
            }
        }
    }

    func checkGivenUp() throws {
        guard self.peer.isOpen, !self.isWaiting, !self.isSilent, !self.hasSeenEnd else { return }
        for stream in self.streams where stream.asked.isGivenUp && !stream.isOver {
            throw self.violation(
                "forgotten", "nobody waits for request \(stream.asked.number) any more, and stream \(stream.id) is open"
            )
        }
    }

    func end() { self.wire.cut() }

    // MARK: What it is asked

    override func headers(_ id: Int, _ fields: Fields, endStream: Bool) throws {
        try self.headCame(id, fields, endStream: endStream)
        self.lastID = max(self.lastID, id)
    }

    override func data(_ stream: ScriptedStream, _ bytes: ByteBuffer, endStream: Bool) throws {
        try self.bodyCame(stream, bytes, endStream: endStream)
    }

    override func goAway(last: Int, code: Int) throws {
        guard code == 0 || self.isTardy else { throw self.violation("accused", "GOAWAY with code \(code)") }
    }

    override func resetCame(_ stream: ScriptedStream, _ code: Int) throws {
        self.ring.note("\(self.name): stream \(stream.id) is reset: \(code)")
        guard code == 8 else { throw self.violation("accused", "stream \(stream.id) is reset with \(code)") }
    }
}
