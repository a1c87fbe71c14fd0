// SPDX-License-Identifier: Apache-2.0

import Common
import NIOCore
@testable import Proxy
import SimulationSupport

/// One request of a fake client, and what the fakes know of it: the truth that the driver is held against.
final class Call {
    enum Kind: CaseIterable {
        case get, post, put, grpc, webSocket, connect
    }

    /// What the client has been shown of an answer.
    enum Answer: Equatable {
        case none
        /// The head of a try's response, and perhaps some of its body.
        case begun
        case complete
        /// An answer of mesher's own.
        case reply(Int)
        /// It was cut, so that the client sees it.
        case cut
        case tunnel
    }

    /// What its own client has done to it.
    enum Fault {
        case none, gone, broken
    }

    let number: Int
    let kind: Kind
    let client: String
    let isHTTP2: Bool
    let plan: TrafficPlan
    let driver: ExchangeDriver
    let begunAt: NIODeadline
    /// The time that the client gives it.
    let timeout: TimeAmount?
    /// What the body is planned to be.
    let length: Int
    let hasTrailers: Bool
    /// Whether its head says that a body follows.
    var hasBody = false

    /// Bytes of the body that were handed to the driver.
    var sent = 0
    var isComplete = false
    var fault = Fault.none
    var hasHalfClosed = false
    /// When somebody last did something about it.
    var movedAt: NIODeadline

    var answer = Answer.none
    /// Interim responses of all tries.
    var interims: Int { self.trials.reduce(0) { $0 + $1.interims } }
    /// The last event in which a connection that it was given was lost already.
    var lostIn: Int?
    /// Whether it was given a status.
    var hasStatus = false
    /// Bytes of the body that the client was given.
    var received = 0
    /// The client has said that it takes no more.
    var isFull = false
    var trials: [Trial] = []
    /// Times that a stage behind the balancing was entered and finished; a try whose end no stage has seen is a hidden
    /// resend.
    var entered = 0
    var finished = 0
    /// How the probe in front was told it ended.
    var outcome: Outcome?
    var error: ProxyError?
    var hasEnded = false
    /// What it is a copy of a call by; `nil` for what a client has begun.
    var mirror: MirrorCall?
    /// The longest wait for the head, as stages have set it.
    var limit: TimeAmount
    /// Whether the driver was asked for an answer without a chain.
    var isRefused = false

    // The tunnel.
    var tunnelSent = 0
    var tunnelReceived = 0
    /// The client has said that it sends no more.
    var isInputEnded = false
    /// The client was told that the upstream sends no more.
    var isOutputEnded = false

    init(
        number: Int, kind: Kind, client: String, isHTTP2: Bool, plan: TrafficPlan, driver: ExchangeDriver,
        now: NIODeadline, timeout: TimeAmount?, length: Int, hasTrailers: Bool
    ) {
        self.number = number
        self.kind = kind
        self.client = client
        self.isHTTP2 = isHTTP2
        self.plan = plan
        self.driver = driver
        self.begunAt = now
        self.movedAt = now
        self.timeout = timeout
        self.length = length
        self.hasTrailers = hasTrailers
        self.limit = plan.settings.firstByte
    }

    var isGRPC: Bool { self.kind == .grpc }
    var isTunnelKind: Bool { self.kind == .webSocket || self.kind == .connect }
    /// Whether it may be executed twice.
    var isIdempotent: Bool { self.kind == .get || self.kind == .put || self.kind == .webSocket }
    var open: Trial? { self.trials.last.flatMap { $0.state == .open ? $0 : nil } }
    /// Where its bytes begin in ``Pattern``.
    var seed: Int { self.number &* 131 }
}

/// One try of a call at a fake upstream.
final class Trial {
    enum State: Equatable {
        case open
        /// The answer is complete.
        case answered
        /// It died.
        case failed
        case cancelled
    }

    let number: Int
    let call: Call
    let sentAt: NIODeadline
    let endpoint: Endpoint
    /// Whether the connection had served others.
    let wasReused: Bool
    /// Whether stages know of it.
    let entered: Int

    var state = State.open
    /// Whether anybody may have looked at the request.
    var isSeen = true
    var received = 0
    var isRequestComplete = false
    /// The upstream takes no more of the request.
    var isFull = false
    /// From when on the upstream has all of the request, and its answer is waited for.
    var waitsSince: NIODeadline?
    /// The event in which it ended.
    var endedIn: Int?
    /// When it ended.
    var endedAt: NIODeadline?
    var interims = 0
    var status: Int?
    var grpcStatus: Int?
    var isUnserved = false
    /// Whether the answer, as far as it is there, counts as a failure.
    var isListed = false
    /// Whether its route wants another try after its status.
    var isUnwanted = false
    /// Bytes of the answer's body so far, and what is planned.
    var sent = 0
    var length = 0
    var isUntilClose = false
    /// Whether it is a stream of events.
    var isEvents = false
    var isReading = true

    var isTunnel = false
    /// Whether a tunnel that is lost was reset, and not closed.
    var isBroken = false
    var tunnelReceived = 0
    var tunnelSent = 0
    var isInputEnded = false
    var isOutputEnded = false

    init(number: Int, call: Call, now: NIODeadline, endpoint: Endpoint, wasReused: Bool) {
        self.number = number
        self.call = call
        self.sentAt = now
        self.endpoint = endpoint
        self.wasReused = wasReused
        self.entered = call.finished
    }

    /// Whether another try may follow its answer.
    var mayBeRepeated: Bool { self.isListed || self.isUnwanted || self.isUnserved }
    var hasHead: Bool { self.status != nil }
    var seed: Int { self.number &* 257 &+ 50_000 }

    /// How a call ends whose last word this complete answer is.
    var outcome: Outcome {
        if self.isUnserved, self.call.plan.direction == .outgoing { return .connectFailed }
        // An answer that its route does not want, and gets no other for, is one like others.
        return self.isListed ? .listedStatus : .answered
    }
}

/// Bytes of which every piece tells where it is from.
enum Pattern {
    private static let size = 1 << 18
    private static let bytes: ByteBuffer = {
        var random = FastRandom(seed: 1)
        var buffer = ByteBuffer()
        for _ in 0..<(Self.size + Self.longest) / 8 { buffer.writeInteger(random.next()) }
        return buffer
    }()
    static let longest = 200_000

    /// `count` bytes at `offset` of the stream that begins at `seed`.
    static func piece(_ seed: Int, _ offset: Int, _ count: Int) -> ByteBuffer {
        guard let slice = Self.bytes.getSlice(at: seed % Self.size % 60_000 + offset, length: count) else {
            preconditionFailure("the pattern is too short")
        }
        return slice
    }

    static func matches(_ buffer: ByteBuffer, _ seed: Int, _ offset: Int) -> Bool {
        Self.piece(seed, offset, buffer.readableBytes) == buffer
    }
}
