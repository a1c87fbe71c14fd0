// SPDX-License-Identifier: Apache-2.0

import Common
import NIOCore
@testable import Proxy
import SimulationSupport

/// One stream, as a scripted end sees it.
final class ScriptedStream {
    let id: Int
    let asked: Asked
    /// What its upstream makes of it: the one that this is, or the one that the answer names.
    var served: Served?
    /// How much mesher may be sent, and may send.
    var sendWindow: Int
    var receiveWindow: Int
    /// Received and not given back to mesher's window.
    var owed = 0
    /// Bytes of the body that were handed over, and that came.
    var sent = 0
    var received = 0
    var hasHead = false
    /// This end has said its last, in order.
    var hasEnded = false
    /// mesher has.
    var hasPeerEnded = false
    /// This end has reset it; mesher has.
    var wasReset = false
    var wasResetByPeer = false
    /// mesher knows of the reset, and has nothing left to say.
    var isKnownOver = false
    let openedAt: NIODeadline
    var movedAt: NIODeadline

    init(_ id: Int, _ asked: Asked, send: Int, receive: Int, now: NIODeadline) {
        self.id = id
        self.asked = asked
        self.sendWindow = send
        self.receiveWindow = receive
        self.openedAt = now
        self.movedAt = now
    }

    var isOver: Bool { self.wasReset || self.wasResetByPeer || (self.hasEnded && self.hasPeerEnded) }
    /// Whether nothing comes any more.
    var isAnswered: Bool { self.hasPeerEnded || self.wasResetByPeer || self.wasReset }
}

/// One end of a connection of HTTP/2 that does what a schedule says: what clients and upstreams have in common.
///
/// It keeps to the protocol itself, and holds mesher to it: windows, the order of frames, nothing on what is over.
class StreamPeer {
    let name: String
    let channel: SimulatedChannel
    unowned let ring: ProxyWorld
    let wire: SimulatedWire
    var streams: [ScriptedStream] = []
    private(set) var reader: FrameReader
    let fieldReader = FieldReader()
    private var fieldWriter = FieldWriter()
    /// A header block that is not complete.
    var block: (stream: Int, endStream: Bool, bytes: ByteBuffer)?
    private(set) var out = ByteBuffer()
    /// Bytes that are with the kernel.
    private(set) var written = 0
    /// What is true once so many bytes are with the kernel.
    private var marks: [(offset: Int, run: () -> Void)] = []
    /// Since when something is begun and not with mesher.
    private var begunSince: NIODeadline?
    /// It has kept mesher waiting within a frame, or a header block, for longer than the limits allow.
    private(set) var isTardy = false
    var hasSeenEnd = false

    var hasPeerSettings = false
    /// What mesher lets us send: on the connection, and on a stream at first.
    var sendWindow = Frame.initialWindow
    var sendInitial = Frame.initialWindow
    /// Streams that mesher takes at a time.
    var mostStreams = Int.max
    /// What mesher may send: on the connection, and on a stream at first.
    var receiveWindow = Frame.initialWindow
    var receiveInitial = Frame.initialWindow
    /// Of SETTINGS that were not acknowledged; `nil` where they say nothing of it.
    var unacknowledged: [(window: Int?, run: () -> Void)] = []
    var owed = 0
    var pings: [(number: UInt32, run: () -> Void)] = []
    private var pingNumber: UInt32 = 0
    /// Whether windows are opened again as soon as something comes.
    let isEager: Bool
    private let padding: Int

    init(
        _ ring: ProxyWorld, _ name: String, _ wire: SimulatedWire, _ channel: SimulatedChannel, awaitsPreface: Bool
    ) {
        self.ring = ring
        self.name = name
        self.wire = wire
        self.channel = channel
        self.reader = FrameReader(name, awaitsPreface: awaitsPreface)
        self.isEager = !ring.schedule.happens(oneIn: 3)
        self.padding = ring.schedule.pick([0, 0, 0, 1, 200])
    }

    var peer: SimulatedSocket { self.wire.far }
    var schedule: Schedule { self.ring.schedule }
    var now: NIODeadline { self.ring.loop.now }
    var hasNothingToRead: Bool {
        self.peer.receiveQueue.readableBytes == 0 && self.wire.near.sendQueue.readableBytes == 0
    }

    /// Whether half a frame, or half a header block, was received.
    var isWithinFrame: Bool { self.reader.isWithin || self.block != nil }

    func violation(_ rule: String, _ text: String) -> Violation { Violation(rule, "\(self.name): \(text)") }

    // MARK: For subclasses

    /// Puts the next frame into `out`.
    func makeMore() -> Bool { false }
    func headers(_ id: Int, _ fields: Fields, endStream: Bool) throws {}
    func data(_ stream: ScriptedStream, _ bytes: ByteBuffer, endStream: Bool) throws {}
    func resetCame(_ stream: ScriptedStream, _ code: Int) throws {}
    func goAway(last: Int, code: Int) throws {}
    func inputEnded() throws {}

    // MARK: Sending

    func queue(_ kind: Frame.Kind, _ flags: UInt8 = 0, stream: Int, _ words: UInt32...) {
        var payload = ByteBuffer()
        for word in words { payload.writeInteger(word) }
        self.queue(kind, flags, stream: stream, payload)
    }

    func queue(_ kind: Frame.Kind, _ flags: UInt8 = 0, stream: Int, _ payload: ByteBuffer) {
        self.out.writeFrame(kind, flags, stream: stream, payload)
    }

    /// Asks for a way inside, where all else happens.
    func queueConnect() {
        self.queue("CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n")
        self.reader.awaitsConnect = true
    }

    func queue(_ bytes: String) { self.out.writeString(bytes) }

    /// Runs something when all that is queued so far is with the kernel.
    func mark(_ run: @escaping () -> Void) { self.marks.append((self.queued, run)) }

    /// Bytes so far, with those that wait.
    var queued: Int { self.written + self.out.readableBytes }

    func queueHeaders(_ stream: Int, _ fields: Fields, endStream: Bool) {
        var block = self.fieldWriter.write(fields)
        let flags = endStream ? Frame.endStream : 0
        guard self.schedule.happens(oneIn: 8), let first = block.readSlice(length: block.readableBytes / 2) else {
            self.out.writeFrame(.headers, flags | Frame.endHeaders, stream: stream, block)
            return
        }
        self.out.writeFrame(.headers, flags, stream: stream, first)
        self.out.writeFrame(.continuation, Frame.endHeaders, stream: stream, block)
    }

    /// How much of a body may go out in one frame.
    func room(_ stream: ScriptedStream) -> Int { min(self.sendWindow, stream.sendWindow, Frame.largest) }

    func queueData(_ stream: ScriptedStream, _ bytes: ByteBuffer, endStream: Bool) {
        let padding = min(self.padding, self.room(stream) - bytes.readableBytes - 1)
        var payload = bytes
        var flags = endStream ? Frame.endStream : 0
        if self.padding > 0, padding >= 0 {
            flags |= Frame.padded
            payload = ByteBuffer()
            payload.writeInteger(UInt8(padding))
            payload.writeImmutableBuffer(bytes)
            payload.writeRepeatingByte(0, count: padding)
        }
        self.sendWindow -= payload.readableBytes
        stream.sendWindow -= payload.readableBytes
        self.out.writeFrame(.data, flags, stream: stream.id, payload)
    }

    func queueSettings(_ values: [(key: Int, value: Int)], then run: @escaping () -> Void = {}) {
        self.unacknowledged.append((values.last { $0.key == 4 }?.value, run))
        self.out.writeSettings(values)
    }

    /// Before everything that waits already.
    ///
    /// - Returns: Where they end in all that is sent.
    func queueFirst(_ values: [(key: Int, value: Int)], then run: @escaping () -> Void) -> Int {
        let later = self.out
        self.out.clear()
        self.queueSettings(values, then: run)
        let end = self.queued
        self.out.writeImmutableBuffer(later)
        return end
    }

    /// - Parameter run: mesher has read everything before it, and answered.
    func queuePing(then run: @escaping () -> Void = {}) {
        self.pingNumber += 1
        self.pings.append((self.pingNumber, run))
        self.queue(.ping, stream: 0, 0, self.pingNumber)
    }

    func queueReset(_ stream: ScriptedStream, _ code: Int) {
        stream.wasReset = true
        self.queue(.reset, stream: stream.id, UInt32(code))
        self.queuePing { stream.isKnownOver = true }
    }

    /// Opens windows again, as far as anything has come.
    ///
    /// - Parameter extra: Besides, where a window is that small.
    func grant(extra: Int = 0) {
        let isLow = self.receiveWindow < extra
        if self.owed > 0 || isLow { self.open(nil, self.owed + (isLow ? extra : 0)) }
        for stream in self.streams where !stream.isAnswered {
            let isLow = stream.receiveWindow < extra
            if stream.owed > 0 || isLow { self.open(stream, stream.owed + (isLow ? extra : 0)) }
        }
    }

    private func open(_ stream: ScriptedStream?, _ count: Int) {
        self.queue(.windowUpdate, stream: stream?.id ?? 0, UInt32(count))
        if let stream {
            stream.owed = 0
            stream.receiveWindow += count
        } else {
            self.owed = 0
            self.receiveWindow += count
        }
    }

    /// Whether mesher cannot go on because a window is shut.
    func isShut(_ stream: ScriptedStream) -> Bool {
        !stream.isAnswered && (self.receiveWindow <= 0 || stream.receiveWindow <= 0)
    }

    /// Whether what it has begun to send could go on now.
    var canSend: Bool { self.peer.space > 0 || self.peer.canTransmit }

    func send(_ most: Int) {
        defer { self.peer.transmit() }
        guard self.peer.isOpen, !self.peer.isOutputShut, !self.peer.isReset else { return }
        var left = most
        while left > 0 {
            if self.out.readableBytes == 0 {
                self.out.clear()
                guard self.makeMore() else { break }
            }
            let count = min(left, self.out.readableBytes, self.peer.space)
            guard count > 0, let slice = self.out.getSlice(at: self.out.readerIndex, length: count),
                (try? self.peer.write(slice)) != nil
            else { break }
            self.out.moveReaderIndex(forwardBy: count)
            self.written += count
            left -= count
            while let first = self.marks.first, first.offset <= self.written {
                self.marks.removeFirst()
                first.run()
            }
            self.ring.note("\(self.name) sends \(count) bytes")
        }
    }

    /// Something is begun that mesher waits for.
    var isBegun: Bool { self.out.readableBytes > 0 || self.peer.sendQueue.readableBytes > 0 }

    /// Time has passed.
    func timePassed() {
        self.peer.transmit()
        guard self.isBegun else {
            self.begunSince = nil
            return
        }
        let since = self.begunSince ?? self.now
        self.begunSince = since
        if self.now - since > .seconds(9) { self.isTardy = true }
    }

    // MARK: Receiving

    func receive(_ most: Int) throws {
        guard self.peer.isOpen else {
            self.wire.near.transmit()
            return
        }
        self.wire.near.transmit(most)
        var bytes = ByteBuffer()
        switch try? self.peer.read(into: &bytes, most: most) {
        case .bytes(let count)?:
            self.ring.note("\(self.name) reads \(count) bytes")
            self.reader.receive(bytes)
            while let frame = try self.reader.next() { try self.handle(frame) }
        case .end?, nil:
            guard !self.hasSeenEnd else { return }
            self.hasSeenEnd = true
            self.ring.note("\(self.name) sees the end\(self.peer.isReset ? ": a reset" : "")")
            try self.inputEnded()
        case .wouldBlock?: break
        }
    }
}
