// SPDX-License-Identifier: Apache-2.0

import NIOCore
import SimulationSupport

/// A frame of HTTP/2.
struct Frame {
    enum Kind: UInt8 {
        case data, headers, priority, reset, settings, push, ping, goAway, windowUpdate, continuation
    }

    /// Flags, of which the first means two things.
    static let endStream: UInt8 = 1
    static let ack: UInt8 = 1
    static let endHeaders: UInt8 = 4
    static let padded: UInt8 = 8

    static let preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    static let largest = 16_384
    static let initialWindow = 65_535

    let kind: Kind
    let flags: UInt8
    let stream: Int
    var payload: ByteBuffer

    func has(_ flag: UInt8) -> Bool { self.flags & flag != 0 }
}

/// Cuts what mesher sends into frames: strict, and nothing of it is the product's.
struct FrameReader {
    private let who: String
    private var buffer = ByteBuffer()
    private var awaitsPreface: Bool
    /// Whether the answer to CONNECT comes first, in HTTP/1.1.
    var awaitsConnect = false

    init(_ who: String, awaitsPreface: Bool) {
        self.who = who
        self.awaitsPreface = awaitsPreface
    }

    /// Whether half a frame was received.
    var isWithin: Bool { self.buffer.readableBytes > 0 }

    mutating func receive(_ bytes: ByteBuffer) {
        if self.buffer.readableBytes == 0 { self.buffer.clear() }
        self.buffer.writeImmutableBuffer(bytes)
    }

    mutating func next() throws -> Frame? {
        if self.awaitsConnect {
            guard let length = self.buffer.lengthOfHead else { return nil }
            // Any other answer is the last.
            guard self.buffer.getString(at: self.buffer.readerIndex, length: 13) == "HTTP/1.1 200 " else { return nil }
            self.buffer.moveReaderIndex(forwardBy: length)
            self.awaitsConnect = false
        }
        if self.awaitsPreface {
            guard let preface = self.buffer.readString(length: Frame.preface.utf8.count) else { return nil }
            guard preface == Frame.preface else { throw self.violation("not the preface of HTTP/2") }
            self.awaitsPreface = false
        }
        let start = self.buffer.readerIndex
        guard let first = self.buffer.getInteger(at: start, as: UInt32.self),
            let flags = self.buffer.getInteger(at: start + 4, as: UInt8.self),
            let stream = self.buffer.getInteger(at: start + 5, as: UInt32.self)
        else { return nil }
        let length = Int(first >> 8)
        guard length <= Frame.largest else { throw self.violation("a frame of \(length) bytes") }
        guard let kind = Frame.Kind(rawValue: UInt8(first & 0xff)) else { throw self.violation("an unknown frame") }
        guard let payload = self.buffer.getSlice(at: start + 9, length: length) else { return nil }
        self.buffer.moveReaderIndex(forwardBy: 9 + length)
        return Frame(kind: kind, flags: flags, stream: Int(stream), payload: payload)
    }

    private func violation(_ text: String) -> Violation { Violation("framing", "\(self.who): \(text)") }
}

extension ByteBuffer {
    mutating func writeFrame(_ kind: Frame.Kind, _ flags: UInt8 = 0, stream: Int, _ payload: ByteBuffer) {
        self.writeInteger(UInt32(payload.readableBytes) << 8 | UInt32(kind.rawValue))
        self.writeInteger(flags)
        self.writeInteger(UInt32(stream))
        self.writeImmutableBuffer(payload)
    }

    /// - Parameter values: Keys and values.
    mutating func writeSettings(_ values: [(key: Int, value: Int)]) {
        var payload = ByteBuffer()
        for (key, value) in values { payload.writeMultipleIntegers(UInt16(key), UInt32(value)) }
        self.writeFrame(.settings, stream: 0, payload)
    }
}
