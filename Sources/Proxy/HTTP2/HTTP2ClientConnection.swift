// SPDX-License-Identifier: Apache-2.0
// request path

import Common
import NIOCore

/// One HTTP/2 connection to an upstream, which many exchanges share.
///
/// - Source: RFC 9113; promise U15: what the upstream has not taken before it went away is sent elsewhere.
final class HTTP2ClientConnection: HTTP2Connection {
    let group: ConnectionPool.Group
    /// Whether TLS protects it.
    let isSecure: Bool
    private var nextStream: UInt32 = 1
    /// No more requests are sent on it.
    private var isRetired = false
    private var free: [HTTP2ClientStream] = []
    private let settings: ProxySettings
    /// Whether the pool counts it.
    var isCounted = true
    /// The upstream's settings were waited for long enough.
    private var isPatienceOver = false
    /// Requests sent so far.
    private(set) var served = 0

    init(worker: Worker, group: ConnectionPool.Group, settings: ProxySettings, isSecure: Bool) {
        self.group = group
        self.settings = settings
        self.isSecure = isSecure
        super.init(worker: worker, settings: settings)
    }

    /// The connection is made.
    func start() {
        self.output.writeStaticString(HTTP2.preface)
        self.writeSettings([
            (.enablePush, 0), (.initialWindowSize, self.streamWindow),
            (.maxHeaderListSize, self.settings.maxHeaderSection),
        ])
        self.setOwnDeadline(self.settings.upstreamIdle)
        // Not weak: see Worker.startReporting.
        self.worker.eventLoop.assumeIsolated().scheduleTask(in: self.settings.connect) {
            guard self.isPending else { return }
            self.isPatienceOver = true
            self.worker.pool.serveWaiting(self.group)
        }
    }

    /// Whether it takes another request now.
    ///
    /// Until the upstream has said how many it takes, one may go ahead.
    var isAvailable: Bool {
        !self.isRetired && !self.isClosed && self.nextStream < HTTP2.maxStreamID
            && self.streams.count < (self.knowsLimits ? min(self.peerMaxStreams, self.settings.http2Streams) : 1)
    }

    /// Whether others had better wait for it than open another connection.
    var isPending: Bool { !self.knowsLimits && !self.isRetired && !self.isClosed }

    /// Whether there is anything to wait for: not where the connection before has ended without a word.
    private var knowsLimits: Bool { self.hasSettings || self.isPatienceOver || self.group.hasBeenSilent }

    /// Whether nothing is in flight.
    var isUnused: Bool { self.streams.count == 0 }

    /// A stream that is not open yet.
    func makeStream() -> HTTP2ClientStream { self.free.popLast() ?? HTTP2ClientStream(self) }

    /// Takes back a stream that is over.
    func takeBack(_ stream: HTTP2ClientStream) {
        if !self.isClosed, self.free.count < 100 { self.free.append(stream) }
    }

    /// Gives a stream its identifier.
    func open(_ stream: HTTP2ClientStream) {
        stream.id = self.nextStream
        stream.sendWindow = self.peerInitialWindow
        stream.receiveWindow = self.streamWindow
        self.nextStream &+= 2
        self.served &+= 1
        self.ownDeadline = .distantFuture
        self.streams.insert(stream, stream.id)
    }

    /// Sends no further request on it, and closes it when the last answer is complete.
    func retire() {
        guard !self.isRetired else { return }
        self.isRetired = true
        self.worker.pool.retired(self)
        if self.streams.count == 0 { self.sayGoodbye() }
    }

    /// Waits no longer for the next request than this from now.
    func limitIdle(_ amount: TimeAmount) {
        if self.isUnused, self.worker.now + amount < self.ownDeadline { self.setOwnDeadline(amount) }
    }

    private func sayGoodbye() {
        guard !self.isClosed else { return }
        FrameWriter.goAway(lastStream: 0, .noError, to: &self.output)
        self.close()
    }

    // MARK: From the upstream

    /// An upstream that has answered early resets the stream: RFC 9113 §8.1.
    override var countsResets: Bool { false }

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
            self.setOwnDeadline(self.settings.upstreamIdle)
        }
    }

    override func ended() {
        self.free.removeAll()
        self.isRetired = true
        self.worker.pool.closed(self)
    }

    override func ownDeadlineReached() {
        if self.isClosed {
            self.context?.close(promise: nil)
        } else if self.streams.count == 0 {
            self.sayGoodbye()
        }
    }
}
