// SPDX-License-Identifier: Apache-2.0
// request path

import Common
package import NIOCore

/// One HTTP/2 connection to an upstream, which many exchanges share.
///
/// What the upstream has not taken before it went away is sent elsewhere.
///
/// - Source: RFC 9113.
package final class HTTP2ClientConnection: HTTP2Connection {
    package let group: ConnectionPool.Group
    /// Whether TLS protects it.
    let isSecure: Bool
    private var nextStream: UInt32 = 1
    /// No more requests are sent on it.
    private var isRetired = false
    private var free: [HTTP2ClientStream] = []
    private let settings: ProxySettings
    /// Resets of this second, and since when it is.
    private var resets = 0
    private var resetsSince = NIODeadline.uptimeNanoseconds(0)
    /// Calls given up beyond those answered.
    private var excess = 0
    /// Streams that are still to be reset.
    private var givenUp: [HTTP2ClientStream] = []
    /// When a PING went out that was not answered.
    private var pingedAt: NIODeadline?
    /// The upstream's settings were waited for long enough.
    private var isPatienceOver = false
    /// Requests sent so far.
    package private(set) var served = 0
    /// Whether it was not the upstream that wanted no more requests.
    package private(set) var isGivenUp = false
    private var madeAt: NIODeadline

    init(worker: Worker, group: ConnectionPool.Group, settings: ProxySettings, isSecure: Bool) {
        self.group = group
        self.settings = settings
        self.isSecure = isSecure
        self.madeAt = worker.now
        super.init(worker: worker, settings: settings)
    }

    /// Whether there is anything to wait for: not where the connection before has ended without a word.
    private var knowsLimits: Bool { self.hasSettings || self.isPatienceOver || self.group.hasBeenSilent }

    /// Takes back a stream that is over.
    func takeBack(_ stream: HTTP2ClientStream) {
        if !self.isClosed, self.free.count < 100 { self.free.append(stream) }
    }

    /// Gives a stream its identifier.
    func open(_ stream: HTTP2ClientStream) {
        stream.id = self.nextStream
        stream.sendWindow = self.peerInitialWindow
        stream.receiveWindow = self.receiveInitialWindow
        self.nextStream &+= 2
        self.served &+= 1
        self.ownDeadline = .distantFuture
        self.meter.streamBegan(at: self.worker.now)
        if self.streams.count == 0 { self.setPingDeadline(self.settings.http2Ping) }
        self.streams.insert(stream, stream.id)
    }

    private func sayGoodbye() {
        guard !self.isClosed else { return }
        FrameWriter.goAway(lastStream: 0, .noError, to: &self.output)
        self.close()
    }

    // MARK: From the upstream

    /// An upstream that has answered early resets the stream: RFC 9113 §8.1.
    override var countsResets: Bool { false }

    override var heedsLastBytes: Bool { true }

    override func isIdle(_ id: UInt32) -> Bool { id & 1 == 0 || id >= self.nextStream }

    override func headersOnNewStream(_ id: UInt32, _ block: RawSpan, endStream: Bool) {
        if self.isIdle(id) { return self.fail(.protocolError) }
        self.ignore(block)
    }

    override func goAwayReceived(lastStream: UInt32) {
        self.isRetired = true
        self.worker.pool.retired(self)
        for stream in self.streams.all where stream.id > lastStream {
            self.streams.remove(stream.id)
            (stream as? HTTP2ClientStream)?.refused()
            stream.recycle()
        }
        if self.streams.count == 0 { self.sayGoodbye() }
    }

    override func settingsReceived() { self.worker.pool.settingsReceived(self) }

    override func becameIdle() {
        if self.isRetired || self.worker.overload.endsConnections {
            self.sayGoodbye()
        } else {
            self.waitIdle()
        }
    }

    /// Waits for the next request, if there may be one.
    private func waitIdle() {
        guard let idle = self.group.idleTime(self.settings.upstreamIdle, since: self.madeAt, served: self.served) else {
            self.worker.metrics.count(.connectionLife)
            return self.retire()
        }
        self.setOwnDeadline(idle)
    }

    override func ended() {
        self.free.removeAll()
        self.isRetired = true
        self.worker.pool.closed(self)
    }

    // MARK: Calls given up

    /// Tells the upstream that nobody waits for a stream any more: soon, though never so often that it would be taken for
    /// an attack, which ends the connection with the calls of all others.
    ///
    /// A wave of clients that give up meets on the one connection to their service. What comes for a stream meanwhile is
    /// read and thrown away.
    func giveUp(_ stream: HTTP2ClientStream) {
        self.excess += 1
        // In the long run more resets than answers are one as well: others begin on another connection.
        if self.excess > Self.mostExcess { self.retire() }
        self.resetSoon(stream)
    }

    private func resetSoon(_ stream: HTTP2ClientStream) {
        let now = self.worker.now
        if now - self.resetsSince >= Self.resetPeriod {
            self.resetsSince = now
            self.resets = 0
        }
        guard self.resets < Self.mostResets else {
            if self.givenUp.isEmpty {
                self.worker.eventLoop.assumeIsolated().scheduleTask(in: Self.resetPeriod) {
                    self.worker.event { self.resetGivenUp() }
                }
            }
            self.givenUp.append(stream)
            return
        }
        self.resets += 1
        self.reset(stream, .cancel)
    }

    private func resetGivenUp() {
        let streams = self.givenUp
        self.givenUp = []
        // One that has ended meanwhile is in no table any more.
        for stream in streams where stream.isGivenUp { self.resetSoon(stream) }
    }

    /// Half of what mesher itself takes from a client in a second.
    private static let mostResets = 50
    private static let mostExcess = 200
    private static let resetPeriod = TimeAmount.seconds(1)

    /// A call was answered.
    func answered() {
        self.meter.answered()
        self.excess = max(0, self.excess - 1)
    }

    // MARK: Signs of life

    /// Asks an upstream that has been silent for long, while calls are under way, whether it is still there.
    ///
    /// One that a network has cut off would hold a stream of messages for ever.
    override func pingDeadlineReached() {
        guard self.streams.count > 0, !self.isClosed else { return }
        if let pinged = self.pingedAt {
            self.pingedAt = nil
            if self.heardAt < pinged {
                self.worker.metrics.count(.http2PingTime)
                return self.close()
            }
        }
        let silence = self.worker.now - self.heardAt
        guard silence >= self.settings.http2Ping else { return self.setPingDeadline(self.settings.http2Ping - silence) }
        self.pingedAt = self.worker.now
        FrameWriter.ping(Self.lifePing, isAck: false, to: &self.output)
        self.controlWritten()
        self.setPingDeadline(min(Self.pingLimit, self.settings.http2Ping))
    }

    private static let lifePing: UInt64 = 0x6d65_7368_6572_3f3f
    private static let pingLimit = TimeAmount.seconds(10)

    override func ownDeadlineReached() {
        if self.isClosed {
            self.context?.close(promise: nil)
        } else if self.streams.count == 0 {
            self.sayGoodbye()
        }
    }
}

extension HTTP2ClientConnection: SharedConnection {
    package var isOpen: Bool { self.context != nil && !self.isClosed }

    /// Until the upstream has said how many requests it takes, one may go ahead.
    package var isAvailable: Bool {
        !self.isRetired && !self.isClosed && self.nextStream < HTTP2.maxStreamID && !self.isUsedUp
            && self.streams.count < (self.knowsLimits ? self.mostStreams : 1)
    }

    private var mostStreams: Int {
        min(self.peerMaxStreams, self.group.life?.streams ?? self.settings.http2Streams, self.settings.http2Streams)
    }

    /// Whether its cluster wants another one for the next request.
    private var isUsedUp: Bool {
        guard self.group.life != nil else { return false }
        return self.group.idleTime(.zero, since: self.madeAt, served: self.served) == nil
    }

    package var isPending: Bool { !self.knowsLimits && !self.isRetired && !self.isClosed && !self.isUsedUp }

    package var isUnused: Bool { self.streams.count == 0 }

    package func start() {
        // What connecting and TLS have taken does not count.
        self.madeAt = self.worker.now
        self.output.writeStaticString(HTTP2.preface)
        self.writeSettings([
            (.enablePush, 0), (.initialWindowSize, self.streamWindow),
            (.maxHeaderListSize, self.settings.maxHeaderSection),
        ])
        self.waitIdle()
        // Not weak: see Worker.startReporting.
        self.worker.eventLoop.assumeIsolated().scheduleTask(in: self.settings.connect) {
            guard self.isPending else { return }
            self.worker.event {
                self.isPatienceOver = true
                self.worker.pool.settingsReceived(self)
            }
        }
    }

    package func makeStream() -> any Upstream { self.free.popLast() ?? HTTP2ClientStream(self) }

    package func retire() {
        guard !self.isRetired else { return }
        self.isRetired = true
        self.isGivenUp = true
        self.worker.pool.retired(self)
        if self.streams.count == 0 { self.sayGoodbye() }
    }

    package func limitIdle(_ amount: TimeAmount) {
        if self.isUnused, self.worker.now + amount < self.ownDeadline { self.setOwnDeadline(amount) }
    }
}
