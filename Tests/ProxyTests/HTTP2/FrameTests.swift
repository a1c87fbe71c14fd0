// SPDX-License-Identifier: Apache-2.0

import Common
import NIOCore
import Testing

@testable import Proxy

/// Frames of HTTP/2, one by one.
@Suite struct FrameTests {
    private static func frame(_ type: UInt8, _ flags: UInt8, _ stream: UInt32, _ payload: [UInt8]) -> [UInt8] {
        let length = payload.count
        let head: [UInt8] = [UInt8(length >> 16 & 255), UInt8(length >> 8 & 255), UInt8(length & 255), type, flags]
        return head + (0..<4).map { UInt8(truncatingIfNeeded: stream >> (24 - 8 * UInt32($0))) } + payload
    }

    private static func parse(_ bytes: [UInt8]) -> [FrameParser.Event] {
        var parser = FrameParser()
        var offset = 0
        var events: [FrameParser.Event] = []
        while offset < bytes.count, events.count < 20 {
            let event = parser.next(bytes.rawSpan, at: &offset)
            events.append(event)
            if event == .incomplete { break }
            if case .connectionError = event { break }
        }
        return events
    }

    @Test("each type is told with what belongs to it")
    func types() {
        let bytes =
            Self.frame(0, 0x9, 1, [2, 7, 0, 0]) + Self.frame(1, 0x25, 3, [0, 0, 0, 1, 16, 0x82])
            + Self.frame(3, 0, 1, [0, 0, 0, 8]) + Self.frame(4, 1, 0, []) + Self.frame(8, 0, 0, [0, 0, 1, 0])
            + Self.frame(0x77, 0, 9, [1, 2, 3])
        #expect(
            Self.parse(bytes) == [
                .frame(.data(stream: 1, 10..<11, flowLength: 4, endStream: true)),
                .frame(.headers(stream: 3, 27..<28, endStream: true, endHeaders: true)),
                .frame(.resetStream(stream: 1, code: 8)), .frame(.settingsAck),
                .frame(.windowUpdate(stream: 0, increment: 256)), .frame(.unknown),
            ])
    }

    @Test(
        "frames that end the connection",
        arguments: [
            (Self.frame(0, 0, 0, [1]), HTTP2ErrorCode.protocolError),
            (Self.frame(0, 0x8, 1, [1]), .protocolError),  // more padding than payload
            (Self.frame(1, 0x4, 0, []), .protocolError), (Self.frame(1, 0x24, 1, [0, 0]), .frameSizeError),
            (Self.frame(3, 0, 1, [0, 0, 0]), .frameSizeError), (Self.frame(4, 0, 1, []), .protocolError),
            (Self.frame(4, 0, 0, [0]), .frameSizeError), (Self.frame(4, 1, 0, [0]), .frameSizeError),
            (Self.frame(5, 0, 1, [0, 0, 0, 2]), .protocolError), (Self.frame(6, 0, 0, [1]), .frameSizeError),
            (Self.frame(6, 0, 1, Array(repeating: 0, count: 8)), .protocolError),
            (Self.frame(7, 0, 0, [1]), .frameSizeError), (Self.frame(8, 0, 0, [0, 0, 0, 0]), .protocolError),
            (Self.frame(8, 0, 1, [0]), .frameSizeError), (Self.frame(9, 0, 1, []), .protocolError),
            (Self.frame(0, 0, 1, Array(repeating: 0, count: 16_385)), .frameSizeError),
            (Self.frame(1, 0, 1, []) + Self.frame(0, 0, 1, []), .protocolError),  // a block that is cut
            (Self.frame(1, 0, 1, []) + Self.frame(9, 4, 3, []), .protocolError),  // continued elsewhere
        ])
    func connectionErrors(bytes: [UInt8], code: HTTP2ErrorCode) {
        #expect(Self.parse(bytes).last == .connectionError(code))
    }

    @Test("frames that end their stream only")
    func streamErrors() {
        #expect(Self.parse(Self.frame(2, 0, 5, [0])) == [.streamError(5, .frameSizeError)])
        #expect(Self.parse(Self.frame(2, 0, 5, [0, 0, 0, 5, 0])) == [.streamError(5, .protocolError)])
        #expect(Self.parse(Self.frame(8, 0, 5, [0, 0, 0, 0])) == [.streamError(5, .protocolError)])
    }

    @Test("a frame is read once it is complete, wherever it is cut")
    func cuts() {
        let bytes = Self.frame(0, 1, 1, Array("body".utf8))
        for count in 0..<bytes.count {
            var parser = FrameParser()
            var offset = 0
            let part = parser.next(Array(bytes[0..<count]).rawSpan, at: &offset)
            #expect(part == .incomplete && offset == 0)
            let whole = parser.next(bytes.rawSpan, at: &offset)
            #expect(whole == .frame(.data(stream: 1, 9..<13, flowLength: 4, endStream: true)))
        }
    }

    @Test("a header block that does not fit into a frame goes on in others")
    func continuation() {
        var block = HeaderBlock()
        for index in 0..<50 { block.append(HeaderLine("x-\(index)", String(repeating: "v", count: 1000))) }
        var encoder = HPACKEncoder()
        var out = ByteBuffer()
        FrameWriter.response(status: 200, &block, stream: 7, endStream: true, encoder: &encoder, to: &out)
        let bytes = Array(out.readableBytesView)
        var joined: [UInt8] = []
        let events = Self.parse(bytes)
        for (index, event) in events.enumerated() {
            switch event {
            case .frame(.headers(7, let range, endStream: true, endHeaders: false)) where index == 0:
                joined += bytes[range]
            case .frame(.continuation(7, let range, let isLast)) where index > 0:
                joined += bytes[range]
                #expect(isLast == (index == events.count - 1))
            default: Issue.record("unexpected \(event)")
            }
        }
        #expect(events.count == 4)
        var decoder = HPACKDecoder()
        var decoded = HeaderBlock()
        var pseudo = PseudoFields()
        let result = decoder.decode(joined.rawSpan, limits: .response, into: &decoded, &pseudo)
        #expect(result == .complete)
        #expect(decoded.lines.count == 50)
    }

    @Test("streams are found by their identifiers, whatever comes and goes")
    func streamTable() {
        final class Item {
            let id: UInt32
            init(_ id: UInt32) { self.id = id }
        }
        var table = StreamTable<Item>()
        var known: [UInt32: Item] = [:]
        var random = FastRandom(seed: 7)
        var next: UInt32 = 1
        for _ in 0..<5000 {
            if known.count < 40, random.next(upperBound: UInt(3)) > 0 {
                let item = Item(next)
                next += 2 * UInt32(1 + random.next(upperBound: UInt(40)))
                table.insert(item, item.id)
                known[item.id] = item
            } else if let id = known.keys.sorted().dropFirst(Int(random.next(upperBound: UInt(max(known.count, 1)))))
                .first
            {
                table.remove(id)
                known[id] = nil
            }
            #expect(table.count == known.count)
            for (id, item) in known { #expect(table[id: id] === item) }
        }
        #expect(table[id: next] == nil)
    }

    @Test("a peer may do everything now and then, and nothing all the time")
    func abuse() {
        let start = NIODeadline.uptimeNanoseconds(5_000_000_000)
        for act in AbuseMeter.Act.allCases {
            var meter = AbuseMeter()
            let allowed = (0..<act.limit).map { _ in meter.allows(act, at: start) }
            #expect(!allowed.contains(false))
            let once = meter.allows(act, at: start + .milliseconds(900))
            let later = meter.allows(act, at: start + .seconds(1))
            #expect(!once && later)
        }
        var meter = AbuseMeter()
        let unanswered = (0..<501).map { _ in meter.allowsUnansweredReset(at: start) }
        #expect(unanswered == Array(repeating: true, count: 500) + [false])
    }
}
