// SPDX-License-Identifier: Apache-2.0
// request path

package import Common
package import NIOCore

/// One HTTP/2 client connection.
///
/// - Source: RFC 9113; promises U1 and S1 to S5 as far as they concern HTTP/2.
package final class HTTP2ServerConnection: HTTP2Connection {
    private let plans: Snapshot<TrafficPlan>.Reader
    let isGRPC: Bool
    private let isSecure: Bool
    /// Counts the connection; given back when the handler is removed.
    var budget: ConnectionBudget?
    /// The plan of the newest request.
    private(set) var plan: TrafficPlan
    /// Whom an HTTP/1.1 CONNECT before the preface has named; see ``HTTP2ServerStream``.
    let tunnelTarget: TunnelTarget?
    /// Who the client is, where its certificate says it.
    private let caller: RequestSource?
    private var peer: SocketAddress?
    private var isPeerTrusted: Bool?
    private var hasPreface = false
    private var free: [HTTP2ServerStream] = []
    /// Where the second GOAWAY of a graceful end stands.
    private var farewell = Farewell.none
    /// The last stream that is served, once that was said.
    private var lastServed = HTTP2.maxStreamID

    /// The client has said that it goes.
    private var isLeft = false

    private enum Farewell {
        case none
        /// The client knows that no more streams are wanted; those on their way are still served.
        case announced
        case final
    }

    /// A connection that obeys the newest plan of its listener.
    ///
    /// - Parameter isGRPC: Whether everything on the listener counts as gRPC.
    /// - Parameter isSecure: Whether the client speaks TLS.
    /// - Parameter budget: Counts the connection already.
    package init(
        worker: Worker, plans: Snapshot<TrafficPlan>.Reader, isGRPC: Bool, isSecure: Bool = false,
        tunnelTarget: TunnelTarget? = nil, caller: RequestSource? = nil, budget: ConnectionBudget? = nil
    ) {
        self.caller = caller
        self.budget = budget
        self.isGRPC = isGRPC
        self.isSecure = isSecure
        self.plans = plans
        self.plan = plans.value
        self.tunnelTarget = tunnelTarget
        super.init(worker: worker, settings: plans.value.settings)
    }

    package override func handlerAdded(context: ChannelHandlerContext) {
        self.worker.event {
            super.handlerAdded(context: context)
            self.worker.clientCount &+= 1
            self.worker.http2Count &+= 1
            self.setOwnDeadline(self.plan.settings.requestHead)
        }
    }

    package override func handlerRemoved(context: ChannelHandlerContext) {
        self.worker.clientCount &-= 1
        self.worker.http2Count &-= 1
        self.budget.take()?.leave()
        super.handlerRemoved(context: context)
    }

    override func readPreface(_ input: inout ByteBuffer) -> Bool {
        if self.hasPreface { return true }
        let preface = HTTP2.preface
        let count = min(input.readableBytes, preface.utf8CodeUnitCount)
        guard input.readableBytesSpan.extracting(0..<count).isPrefix(of: preface) else {
            self.worker.metrics.count(.protocolError)
            self.close()
            return false
        }
        guard count == preface.utf8CodeUnitCount else { return false }
        input.moveReaderIndex(forwardBy: count)
        self.hasPreface = true
        let settings = self.plan.settings
        self.writeSettings([
            (.maxConcurrentStreams, settings.http2Streams), (.initialWindowSize, self.streamWindow),
            (.maxHeaderListSize, settings.maxHeaderSection),
        ])
        self.setOwnDeadline(settings.keepAlive)
        // Where others are still served, not before this one was: it would find no connection that takes its request.
        if self.plans.value.ending == .begun { self.sayFarewell() }
        return true
    }

    override var headLimit: TimeAmount { self.plan.settings.requestHead }

    override var stallLimit: TimeAmount? { self.plan.settings.stream }

    override func isIdle(_ id: UInt32) -> Bool { id & 1 == 0 || id > self.lastPeerStream }

    // MARK: Requests

    override func headersOnNewStream(_ id: UInt32, _ block: RawSpan, endStream: Bool) {
        guard id & 1 == 1 else { return self.fail(.protocolError) }
        guard id > self.lastPeerStream else {
            if self.wasResetLately(id) { return self.ignore(block) }
            return self.fail(.streamClosed)
        }
        self.lastPeerStream = id
        self.meter.streamBegan(at: self.worker.now)
        guard id <= self.lastServed else { return self.ignore(block) }
        self.plan = self.newestPlan()
        guard self.streams.count < self.plan.settings.http2Streams else {
            self.ignore(block)
            self.worker.metrics.count(.http2Streams)
            return self.writeReset(id, .refusedStream)
        }
        if !self.isAwaitingReader { self.ownDeadline = .distantFuture }
        let stream = self.free.popLast() ?? HTTP2ServerStream(self)
        stream.open(id, window: self.peerInitialWindow, receiveWindow: self.receiveInitialWindow)
        self.streams.insert(stream, id)
        stream.begin(block, endStream: endStream)
    }

    private func newestPlan() -> TrafficPlan {
        let plan = self.plans.value
        if plan !== self.plan { self.isPeerTrusted = nil }
        return plan
    }

    /// Who the client is, and whether its word counts.
    func introduce(_ driver: ExchangeDriver) {
        driver.exchange.isGRPC = self.isGRPC
        driver.exchange.isSecure = self.isSecure
        if self.peer == nil { self.peer = self.context?.channel.remoteAddress }
        driver.exchange.peer = self.peer
        driver.exchange.source = self.caller
        if let isTrusted = self.isPeerTrusted {
            driver.exchange.isPeerTrusted = isTrusted
        } else {
            let isTrusted = self.peer.map(self.plan.trusts) ?? false
            self.isPeerTrusted = isTrusted
            driver.exchange.isPeerTrusted = isTrusted
        }
    }

    /// Takes back a stream that is over.
    func takeBack(_ stream: HTTP2ServerStream) {
        if !self.isClosed, self.free.count < 100 { self.free.append(stream) }
        if self.plans.value.isDraining { self.sayFarewell() }
    }

    // MARK: Ends

    override func goAwayReceived(lastStream: UInt32) {
        self.isLeft = true
        if self.streams.count == 0 { self.close() }
    }

    override func becameIdle() {
        if self.farewell == .final || self.isLeft {
            self.close()
        } else {
            if !self.isAwaitingReader { self.setOwnDeadline(self.plans.value.settings.keepAlive) }
            if self.worker.overload.endsConnections { self.sayFarewell() }
        }
    }

    override func ended() { self.free.removeAll() }

    override func ownDeadlineReached() {
        if self.isClosed || !self.hasPreface {
            self.context?.close(promise: nil)
        } else if self.streams.count == 0 {
            FrameWriter.goAway(lastStream: self.lastPeerStream, .noError, to: &self.output)
            self.close()
        }
    }

    /// Tells the client to open no more streams, without losing those that are on their way.
    ///
    /// - Source: RFC 9113 §6.8: twice, the first time with the largest identifier.
    private func sayFarewell() {
        guard self.farewell == .none, !self.isClosed else { return }
        self.farewell = .announced
        FrameWriter.goAway(lastStream: HTTP2.maxStreamID, .noError, to: &self.output)
        FrameWriter.ping(Self.farewellPing, isAck: false, to: &self.output)
        self.controlWritten()
        self.setPingDeadline(.seconds(1))
    }

    override func pingDeadlineReached() {
        if self.farewell == .announced, !self.isClosed { self.finishFarewell() }
    }

    private static let farewellPing: UInt64 = 0x6d65_7368_6572_2121

    override func pingAnswered() {
        if self.farewell == .announced { self.finishFarewell() }
    }

    private func finishFarewell() {
        self.farewell = .final
        self.lastServed = self.lastPeerStream
        FrameWriter.goAway(lastStream: self.lastPeerStream, .noError, to: &self.output)
        self.controlWritten()
        if self.streams.count == 0 { self.close() }
    }
}

extension HTTP2ServerConnection: ClientConnection {
    func closeIfIdle(_ direction: Direction) {
        guard self.plan.direction == direction else { return }
        if self.hasPreface { self.sayFarewell() } else { self.close() }
    }

    func announceEnd(_ direction: Direction) {
        if self.plan.direction == direction, self.hasPreface { self.sayFarewell() }
    }

    func limitIdle(_ amount: TimeAmount) {
        guard self.hasPreface, self.streams.count == 0, self.worker.now + amount < self.ownDeadline else { return }
        self.setOwnDeadline(amount)
    }

    func cut(_ direction: Direction?) {
        guard direction == nil || self.plan.direction == direction, !self.isClosed else { return }
        let error = ProxyError(direction == nil ? .overloaded : .upstreamReset)
        for stream in self.streams.all { (stream as? HTTP2ServerStream)?.cut(error) }
        self.close()
    }

    var heldBytes: Int {
        let written = try? self.context?.channel.syncOptions?.getOption(.bufferedWritableBytes)
        return self.streams.all.reduce((written ?? 0) + self.output.readableBytes) { sum, stream in
            let kept = (stream as? HTTP2ServerStream)?.driver?.heldBytes ?? 0
            return sum + (stream.pending?.readableBytes ?? 0) + kept
        }
    }
}

extension RawSpan {
    /// Whether `text` begins with the bytes.
    func isPrefix(of text: StaticString) -> Bool {
        let expected = unsafe RawSpan(_unsafeStart: text.utf8Start, byteCount: text.utf8CodeUnitCount)
        guard self.byteCount <= expected.byteCount else { return false }
        return self.isEqual(to: expected.extracting(0..<self.byteCount))
    }
}
