// SPDX-License-Identifier: Apache-2.0

import NIOCore
import SimulationSupport

/// A request that a scripted client means to send, and what is known of it: the truth that mesher is held against.
final class Asked {
    let number: Int
    let method: String
    let length: Int
    let isChunked: Bool
    let isHTTP10: Bool
    /// Whether it asks for a WebSocket.
    let isUpgrade: Bool
    /// Where it begins and ends in all that its client sends.
    let start: Int
    var end = 0
    /// Everything of it was sent.
    var isSent = false
    /// Those who were handed it.
    var served: [Served] = []
    /// Bytes that its client has sent through the tunnel.
    var tunnelSent = 0
    /// The client has said that it sends no more through the tunnel.
    var isTunnelEnded = false
    /// Its client has done something that the upstream need not be told in order: reset, or silence.
    var isBroken = false
    /// Its client does not wait for its answer any more, and mesher was told.
    var isGivenUp = false
    /// Whether its body ends with trailers.
    var hasTrailers = false
    /// Who asks, which its head says as well.
    var mark: String?
    /// Its client has as many streams open as mesher takes.
    var mayBeRefused = false
    var openedAt = NIODeadline.uptimeNanoseconds(0)
    /// Whether it is a call of gRPC, and how long that may take.
    var isGRPC = false
    var timeout: TimeAmount?
    /// Whether it may be sent again when its connection has ended under it.
    var isReplayable: Bool { self.length == 0 && !self.isChunked && self.method != "POST" }

    init(
        number: Int, method: String, length: Int, isChunked: Bool, isHTTP10: Bool, isUpgrade: Bool, start: Int
    ) {
        self.number = number
        self.method = method
        self.length = length
        self.isChunked = isChunked
        self.isHTTP10 = isHTTP10
        self.isUpgrade = isUpgrade
        self.start = start
    }

    var seed: Int { self.number &* 131 &+ 7 }
}

/// What one upstream makes of a request.
final class Served {
    enum Framing {
        case none, length, chunked, untilClose, tunnel
    }

    let number: Int
    let asked: Asked
    /// Bytes of the request's body, or of the tunnel.
    var received = 0
    var isRequestComplete = false
    var status = 200
    var framing = Framing.none
    /// The length of the answer, or of what is sent through the tunnel.
    var length = 0
    var interims = 0
    /// Whether anything of the answer was sent.
    var hasBegun = false
    var isHeadSent = false
    /// Bytes of the body so far.
    var sent = 0
    /// The last byte of the answer was given to the kernel, and the FIN where that ends it.
    var isComplete = false
    /// Its upstream has done what costs it its answer: reset, closed too early, or kept mesher waiting.
    var isBroken = false
    /// Whether it sees the end of a tunnel.
    var hasSeenEnd = false
    var movedAt: NIODeadline
    /// Whether its body ends with trailers.
    var hasTrailers = false
    /// Its upstream has said that it has not looked at the request.
    var isUnseen = false
    /// The connection of HTTP/2 that it came on.
    weak var connection: StreamUpstream?
    /// Whether the answer may come before the end of the request.
    var isEarly = false
    /// Whether an interim answer was sent.
    var hasSaidAnything = false
    /// How much of the body goes into a frame.
    var pieces = 0
    /// The code with which its stream is reset, and where in the answer.
    var fault: Int?
    var faultAt = 0
    /// Where it ends in all that its upstream sends.
    var end: Int?

    init(number: Int, asked: Asked, now: NIODeadline) {
        self.number = number
        self.asked = asked
        self.movedAt = now
    }

    var seed: Int { self.number &* 257 &+ 50_000 }

    /// What is the same for upstreams of either protocol.
    func plan(_ schedule: Schedule) {
        self.length = [0, 10, 700, 6000, 60_000, 300_000][min(schedule.draw(6), schedule.draw(6))]
        if self.length > 10 { self.length = schedule.draw(1...self.length) }
        self.status = schedule.pick([200, 200, 200, 404, 503, 204, 304])
    }
}

/// Bytes of which every piece tells where it is from.
enum Pattern {
    private static let size = 60_000
    private static let longest = 400_000
    private static let bytes: ByteBuffer = {
        var state: UInt64 = 1
        var buffer = ByteBuffer()
        for _ in 0..<(Self.size + Self.longest) / 8 {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            buffer.writeInteger(state ^ (state >> 29))
        }
        return buffer
    }()

    /// `count` bytes at `offset` of the stream that begins at `seed`.
    static func piece(_ seed: Int, _ offset: Int, _ count: Int) -> ByteBuffer {
        guard let slice = Self.bytes.getSlice(at: seed % Self.size + offset, length: count) else {
            preconditionFailure("the pattern is too short")
        }
        return slice
    }

    static func matches(_ buffer: ByteBuffer, _ seed: Int, _ offset: Int) -> Bool {
        seed % Self.size + offset + buffer.readableBytes <= Self.bytes.readableBytes
            && Self.piece(seed, offset, buffer.readableBytes) == buffer
    }
}

/// Reads messages of HTTP/1.1, of either side: strict, and nothing of it is the product's.
struct MessageReader {
    struct Head {
        var line: Substring
        var fields: [(name: String, value: Substring)] = []

        subscript(_ name: String) -> Substring? { self.fields.first { $0.name == name }?.value }

        func number(_ name: String) -> Int? { self[name].flatMap { Int($0) } }

        var length: Int? { self.number("content-length") }
        var isChunked: Bool { self["transfer-encoding"]?.lowercased() == "chunked" }
    }

    enum Body {
        case none
        case length(Int)
        case chunked
        case untilClose
    }

    enum Event {
        case head(Head)
        case body(ByteBuffer)
        case end
    }

    private enum State {
        case head
        /// Told by whoever was given the head.
        case undecided
        case length(Int)
        case chunkSize, chunkEnd, trailers
        case chunk(Int)
        case untilClose
        case over
    }

    private let who: String
    private var state = State.head
    private var buffer = ByteBuffer()
    /// Whether the message that is read, or was, is chunked, and the trailer that it has.
    private(set) var isChunked = false
    private(set) var trailer: String?

    init(_ who: String) { self.who = who }

    /// Whether a message has begun that is not complete.
    var isWithin: Bool {
        if case .head = self.state { return self.buffer.readableBytes > 0 }
        return true
    }
    var endsWithConnection: Bool { if case .untilClose = self.state { true } else { false } }

    mutating func receive(_ bytes: ByteBuffer) {
        if self.buffer.readableBytes == 0 { self.buffer.clear() }
        self.buffer.writeImmutableBuffer(bytes)
    }

    /// How the message goes on whose head was read.
    mutating func goOn(_ body: Body) {
        self.trailer = nil
        self.isChunked = if case .chunked = body { true } else { false }
        switch body {
        case .none: self.state = .over
        case .length(let length): self.state = length == 0 ? .over : .length(length)
        case .chunked: self.state = .chunkSize
        case .untilClose: self.state = .untilClose
        }
    }

    mutating func next() throws -> Event? {
        while true {
            switch self.state {
            case .head: return try self.readHead()
            case .undecided: preconditionFailure("a head that nobody has looked at")
            case .over:
                self.state = .head
                return .end
            case .length(let left):
                guard let piece = self.take(left) else { return nil }
                self.state = piece.readableBytes == left ? .over : .length(left - piece.readableBytes)
                return .body(piece)
            case .chunkSize:
                guard let line = try self.line() else { return nil }
                guard let size = Int(line, radix: 16) else { throw self.violation("not the size of a chunk: \(line)") }
                self.state = size == 0 ? .trailers : .chunk(size)
            case .chunk(let left):
                guard let piece = self.take(left) else { return nil }
                self.state = piece.readableBytes == left ? .chunkEnd : .chunk(left - piece.readableBytes)
                return .body(piece)
            case .chunkEnd:
                guard let line = try self.line() else { return nil }
                guard line.isEmpty else { throw self.violation("no end of a chunk") }
                self.state = .chunkSize
            case .trailers:
                guard let line = try self.line() else { return nil }
                guard line.isEmpty else {
                    guard let value = line.lowercased().split(separator: ": ").last, self.trailer == nil,
                        line.lowercased().hasPrefix("x-trailer: ")
                    else { throw self.violation("trailers that nobody has sent: \(line)") }
                    self.trailer = String(value)
                    continue
                }
                self.state = .over
            case .untilClose:
                guard let piece = self.take(.max) else { return nil }
                return .body(piece)
            }
        }
    }

    private func violation(_ text: String) -> Violation { Violation("framing", "\(self.who): \(text)") }

    private mutating func take(_ most: Int) -> ByteBuffer? {
        let count = min(most, self.buffer.readableBytes)
        return count > 0 ? self.buffer.readSlice(length: count) : nil
    }

    private mutating func line() throws -> String? {
        let view = self.buffer.readableBytesView
        guard let end = view.firstIndex(of: UInt8(ascii: "\n")) else { return nil }
        let count = end - view.startIndex
        guard count > 0, view[end - 1] == UInt8(ascii: "\r") else { throw self.violation("a line without CR") }
        let line = self.buffer.readString(length: count - 1) ?? ""
        self.buffer.moveReaderIndex(forwardBy: 2)
        return line
    }

    private mutating func readHead() throws -> Event? {
        guard let end = self.buffer.lengthOfHead else { return nil }
        let text = self.buffer.readString(length: end) ?? ""
        var head: Head?
        for line in text.utf8.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: true) {
            guard line.last == UInt8(ascii: "\r") else { throw self.violation("a line without CR") }
            let line = Substring(line.dropLast())
            if line.isEmpty { continue }
            if head == nil {
                head = Head(line: line)
                continue
            }
            guard let colon = line.firstIndex(of: ":") else { throw self.violation("not a field: \(line)") }
            head?.fields.append((line[..<colon].lowercased(), line[line.index(after: colon)...].drop { $0 == " " }))
        }
        guard let head else { throw self.violation("an empty head") }
        self.state = .undecided
        return .head(head)
    }
}

extension ByteBuffer {
    /// The bytes of the head of a message at its front, with the empty line; nil while that has not come.
    var lengthOfHead: Int? {
        let view = self.readableBytesView
        var index = view.startIndex
        while let found = view[index...].firstIndex(of: UInt8(ascii: "\n")) {
            if found >= view.startIndex + 3, view[found - 1] == UInt8(ascii: "\r"),
                view[found - 2] == UInt8(ascii: "\n")
            {
                return found + 1 - view.startIndex
            }
            index = found + 1
        }
        return nil
    }
}

extension SimulatedWire {
    /// What the network has moved between a channel and its peer, and who has seen the end.
    func progress(of channel: SimulatedChannel, isOver: Bool) -> Int {
        let ends = [isOver, self.near.hasFIN, self.far.hasFIN, self.far.isReset, self.far.isReadable, channel.isClosed]
        return 2 * self.near.transmitted + self.near.sendQueue.readableBytes + self.far.transmitted + ends.count { $0 }
    }
}
