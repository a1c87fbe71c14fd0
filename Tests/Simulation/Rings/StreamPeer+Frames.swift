// SPDX-License-Identifier: Apache-2.0

import NIOCore
import SimulationSupport

/// What a scripted end of HTTP/2 makes of the frames that mesher sends, and whether mesher may send them.
extension StreamPeer {
    private func find(_ id: Int) -> ScriptedStream? { self.streams.first { $0.id == id } }

    func handle(_ frame: Frame) throws {
        self.ring.note("\(self.name) has \(frame.kind) of stream \(frame.stream), flags \(frame.flags)")
        if !self.hasPeerSettings {
            guard frame.kind == .settings, !frame.has(Frame.ack) else {
                throw self.violation("framing", "\(frame.kind) before SETTINGS")
            }
        }
        if let block = self.block, frame.kind != .continuation || frame.stream != block.stream {
            throw self.violation("framing", "\(frame.kind) within a header block")
        }
        if let stream = self.find(frame.stream), stream.isKnownOver || stream.wasResetByPeer {
            throw self.violation("over", "\(frame.kind) on stream \(frame.stream), which is over")
        }
        let words = frame.payload
        switch frame.kind {
        case .data: try self.dataCame(frame)
        case .headers:
            if self.find(frame.stream)?.hasPeerEnded == true {
                throw self.violation("over", "HEADERS on stream \(frame.stream) behind its end")
            }
            try self.blockCame(frame, (frame.stream, frame.has(Frame.endStream), frame.payload))
        case .continuation:
            guard var block = self.block.take() else { throw self.violation("framing", "a loose CONTINUATION") }
            block.bytes.writeImmutableBuffer(frame.payload)
            try self.blockCame(frame, block)
        case .reset:
            guard let stream = self.find(frame.stream), let code = words.word(0) else {
                throw self.violation("framing", "RST_STREAM of stream \(frame.stream)")
            }
            stream.wasResetByPeer = true
            if !stream.wasReset { try self.resetCame(stream, code) }
        case .settings: try self.settingsCame(frame)
        case .ping: try self.pingCame(frame)
        case .goAway:
            guard let last = words.word(0), let code = words.word(1) else { throw self.violation("framing", "GOAWAY") }
            self.ring.note("\(self.name): GOAWAY \(last), code \(code)")
            try self.goAway(last: last, code: code)
        case .windowUpdate: try self.windowCame(frame)
        case .priority, .push: throw self.violation("framing", "\(frame.kind), which nobody sends")
        }
    }

    private func blockCame(_ frame: Frame, _ block: (stream: Int, endStream: Bool, bytes: ByteBuffer)) throws {
        guard frame.has(Frame.endHeaders) else {
            self.block = block
            return
        }
        let fields = try self.fieldReader.read(block.bytes)
        let stream = self.find(block.stream)
        if block.endStream { stream?.hasPeerEnded = true }
        if stream?.wasReset == true { return }
        stream?.movedAt = self.now
        try self.headers(block.stream, fields, endStream: block.endStream)
    }

    private func dataCame(_ frame: Frame) throws {
        guard let stream = self.find(frame.stream), !stream.hasPeerEnded else {
            throw self.violation("over", "DATA on stream \(frame.stream), which is not open")
        }
        let count = frame.payload.readableBytes
        self.receiveWindow -= count
        stream.receiveWindow -= count
        guard self.receiveWindow >= 0, stream.receiveWindow >= 0 || count == 0 else {
            throw self.violation("window", "\(count) bytes on stream \(frame.stream) are more than its window")
        }
        self.owed += count
        stream.owed += count
        if frame.has(Frame.endStream) { stream.hasPeerEnded = true }
        if self.isEager { self.grant() }
        if stream.wasReset { return }
        stream.movedAt = self.now
        try self.data(stream, frame.payload, endStream: frame.has(Frame.endStream))
    }

    private func settingsCame(_ frame: Frame) throws {
        guard !frame.has(Frame.ack) else {
            guard !self.unacknowledged.isEmpty else { throw self.violation("framing", "an ACK of no SETTINGS") }
            let (window, run) = self.unacknowledged.removeFirst()
            if let window {
                for stream in self.streams { stream.receiveWindow += window - self.receiveInitial }
                self.receiveInitial = window
            }
            return run()
        }
        self.hasPeerSettings = true
        var payload = frame.payload
        while let (key, value) = payload.readMultipleIntegers(as: (UInt16, UInt32).self) {
            if key == 3 { self.mostStreams = Int(value) }
            if key != 4 { continue }
            for stream in self.streams { stream.sendWindow += Int(value) - self.sendInitial }
            self.sendInitial = Int(value)
        }
        self.queue(.settings, Frame.ack, stream: 0)
    }

    private func pingCame(_ frame: Frame) throws {
        guard let first = frame.payload.word(0), let second = frame.payload.word(1) else {
            throw self.violation("framing", "PING of \(frame.payload.readableBytes) bytes")
        }
        guard frame.has(Frame.ack) else {
            return self.queue(.ping, Frame.ack, stream: 0, UInt32(first), UInt32(second))
        }
        guard let ping = self.pings.first, Int(ping.number) == second else {
            throw self.violation("framing", "an ACK of no PING")
        }
        self.pings.removeFirst()
        ping.run()
    }

    private func windowCame(_ frame: Frame) throws {
        guard let count = frame.payload.word(0), count > 0 else { throw self.violation("framing", "WINDOW_UPDATE") }
        if frame.stream == 0 {
            self.sendWindow += count
        } else {
            guard let stream = self.find(frame.stream) else {
                throw self.violation("over", "WINDOW_UPDATE of stream \(frame.stream)")
            }
            stream.sendWindow += count
        }
    }
}

extension ByteBuffer {
    /// A number of 31 bits.
    fileprivate func word(_ index: Int) -> Int? {
        self.getInteger(at: self.readerIndex + 4 * index, as: UInt32.self).map { Int($0 & 0x7fff_ffff) }
    }
}
