// SPDX-License-Identifier: Apache-2.0

package import NIOCore

#if canImport(Glibc)
    import Glibc
#endif

/// A channel on a simulated socket that behaves as NIO's `SocketChannel` does on epoll.
///
/// A port of `BaseSocketChannel`, `BaseStreamSocketChannel` and `SelectableEventLoop.handleEvent` (SwiftNIO 2.101), method
/// by method and under the same names; `DifferenceTests` compares the two. What handlers can tell is the order of
/// callbacks, and what happens inside which call.
///
/// - Source: swift-nio, `Sources/NIOPosix`.
package final class SimulatedChannel: Channel, ChannelCore, @unchecked Sendable {
    enum Life {
        case fresh, preRegistered, fullyRegistered, preActivation, fullyActivated, closed
    }

    struct Interest: OptionSet {
        let rawValue: UInt8

        static let read = Interest(rawValue: 1)
        static let write = Interest(rawValue: 2)
        static let readEOF = Interest(rawValue: 4)
        static let reset = Interest(rawValue: 8)
    }

    private enum ReadStreamState {
        case normal, eof, error
    }

    package let loop: SimulatedLoop
    package let socket: SimulatedSocket
    /// For the trace.
    package let name: String
    /// Is told what the channel does, for the trace.
    package var tell: ((String) -> Void)?
    package let allocator = ByteBufferAllocator()
    package private(set) lazy var pipeline = ChannelPipeline(channel: self)
    package private(set) var localAddress: SocketAddress?
    package private(set) var remoteAddress: SocketAddress?
    private let closePromise: EventLoopPromise<Void>
    private(set) var life = Life.fresh
    var interest: Interest = []
    private var hasSeenEOF = false
    private var readPending = false
    private var inFlushNow = false
    var inputShutdown = false
    private var outputShutdown = false
    private var pendingConnect: EventLoopPromise<Void>?
    private var connectTimeoutTask: Scheduled<Void>?
    let writes = PendingWrites()

    var autoRead = true
    var allowRemoteHalfClosure = false
    var maxMessagesPerRead: UInt = 4
    var connectTimeout: TimeAmount?
    var recvAllocator: any RecvByteBufferAllocator = AdaptiveRecvByteBufferAllocator()

    /// A channel that is not registered yet.
    package init(
        loop: SimulatedLoop, socket: SimulatedSocket, name: String = "channel", local: SocketAddress? = nil,
        remote: SocketAddress? = nil
    ) {
        self.name = name
        self.loop = loop
        self.socket = socket
        self.localAddress = local
        self.remoteAddress = remote
        self.closePromise = loop.makePromise()
    }

    deinit { assert(self.life == .closed, "leak of open channel") }

    // MARK: For the simulation

    /// Whether the selector would report it.
    package var isReady: Bool { !self.events.isEmpty }

    /// What was written and is not in the kernel; 0 when it is closed.
    package var bufferedBytes: Int { self.writes.bytes }

    /// Whether it is closed for good.
    package var isClosed: Bool { self.life == .closed }

    /// Whether the program wants to read, as far as the selector knows.
    package var isReading: Bool { self.interest.contains(.read) }

    /// What the selector reports, of what it was asked for.
    private var events: Interest {
        guard self.interest.contains(.reset), self.isOpen else { return [] }
        if self.socket.connection == .connecting { return [] }
        if self.socket.isHungUp { return .reset }
        var events: Interest = []
        if self.interest.contains(.write), self.socket.isWritable { events.insert(.write) }
        if self.interest.contains(.readEOF), self.socket.isInputOver { events.insert(.readEOF) }
        if self.interest.contains(.read), self.socket.isReadable { events.insert(.read) }
        return events
    }

    /// Handles what the selector reports: one event of the loop.
    package func handleEvent() {
        let events = self.events
        guard self.isOpen, !events.isEmpty else { return }
        if events.contains(.reset) {
            self.reset()
            return
        }
        if events.contains(.write) {
            self.writable()
            guard self.isOpen else { return }
        }
        if events.contains(.readEOF) {
            self.hasSeenEOF = true
            self.readEOF0()
        } else if events.contains(.read) {
            self.readable0()
        }
    }

    /// What an accepted socket does, after its initializer.
    package func becomeAccepted() { self.registerAlreadyConfigured0(promise: nil) }

    // MARK: State

    var isOpen: Bool { self.life != .closed }
    private var isActiveNow: Bool { self.life == .preActivation || self.life == .fullyActivated }
    var isPreRegistered: Bool { self.life != .fresh && self.life != .closed }
    private var isRegisteredFully: Bool {
        switch self.life {
        case .fullyRegistered, .preActivation, .fullyActivated: true
        case .fresh, .preRegistered, .closed: false
        }
    }

    // MARK: Channel

    package var eventLoop: any EventLoop { self.loop }
    package var closeFuture: EventLoopFuture<Void> { self.closePromise.futureResult }
    package var parent: (any Channel)? { nil }
    package var isWritable: Bool { self.writes.isWritable }
    package var isActive: Bool { self.isActiveNow }
    package var _channelCore: any ChannelCore { self }

    package func localAddress0() throws -> SocketAddress {
        guard let address = self.localAddress else { throw ChannelError.ioOnClosedChannel }
        return address
    }

    package func remoteAddress0() throws -> SocketAddress {
        guard let address = self.remoteAddress else { throw ChannelError.ioOnClosedChannel }
        return address
    }

    package func bind0(to: SocketAddress, promise: EventLoopPromise<Void>?) {
        promise?.fail(ChannelError.operationUnsupported)
    }

    package func triggerUserOutboundEvent0(_ event: Any, promise: EventLoopPromise<Void>?) {
        promise?.fail(ChannelError.operationUnsupported)
    }

    package func channelRead0(_ data: NIOAny) {}

    package func errorCaught0(error: any Error) {}

    // MARK: Registering

    package func register0(promise: EventLoopPromise<Void>?) {
        guard self.isOpen else {
            promise?.fail(ChannelError.ioOnClosedChannel)
            return
        }
        guard !self.isPreRegistered else {
            promise?.fail(ChannelError.inappropriateOperationForState)
            return
        }
        self.life = .preRegistered
        promise?.succeed(())
        self.pipeline.syncOperations.fireChannelRegistered()
    }

    package func registerAlreadyConfigured0(promise: EventLoopPromise<Void>?) {
        self.register0(promise: nil)
        guard self.isPreRegistered else { return }
        self.becomeFullyRegistered0()
        if self.isRegisteredFully { self.becomeActive0(promise: promise) }
    }

    private func becomeFullyRegistered0() {
        self.interest = .reset
        self.life = .fullyRegistered
    }

    private func becomeActive0(promise: EventLoopPromise<Void>?) {
        if !self.isRegisteredFully { self.becomeFullyRegistered0() }
        self.life = .preActivation
        promise?.succeed(())
        guard self.isActiveNow else { return }
        self.life = .fullyActivated
        self.pipeline.syncOperations.fireChannelActive()
        guard self.isOpen else { return }
        if !self.hasSeenEOF { self.interest.insert(.readEOF) }
        let wantsWritable = self.flushNow()
        if self.isOpen {
            if wantsWritable { self.interest.insert(.write) } else { self.interest.remove(.write) }
        }
        self.readIfNeeded0()
    }

    // MARK: Connecting

    package func connect0(to address: SocketAddress, promise: EventLoopPromise<Void>?) {
        guard self.isOpen else {
            promise?.fail(ChannelError.ioOnClosedChannel)
            return
        }
        guard self.pendingConnect == nil else {
            promise?.fail(ChannelError.connectPending)
            return
        }
        guard self.isPreRegistered else {
            promise?.fail(ChannelError.inappropriateOperationForState)
            return
        }
        self.remoteAddress = address
        self.pendingConnect = promise ?? self.loop.makePromise()
        if let timeout = self.connectTimeout {
            self.connectTimeoutTask = self.loop.assumeIsolated().scheduleTask(in: timeout) {
                guard self.pendingConnect != nil else { return }
                self.close0(error: ChannelError.connectTimeout(timeout), mode: .all, promise: nil)
            }
        }
        self.becomeFullyRegistered0()
        self.interest.insert(.write)
    }

    private func finishConnect() {
        guard let promise = self.pendingConnect else { return }
        self.connectTimeoutTask?.cancel()
        self.connectTimeoutTask = nil
        self.pendingConnect = nil
        self.becomeActive0(promise: promise)
    }

    // MARK: Writing

    package func write0(_ data: NIOAny, promise: EventLoopPromise<Void>?) {
        guard self.isOpen else {
            promise?.fail(ChannelError.ioOnClosedChannel)
            return
        }
        if self.outputShutdown {
            promise?.fail(ChannelError.outputClosed)
            return
        }
        guard case .byteBuffer(let buffer) = self.unwrapData(data, as: IOData.self) else {
            preconditionFailure("files are not simulated")
        }
        if !self.writes.add(buffer, promise) { self.pipeline.syncOperations.fireChannelWritabilityChanged() }
    }

    package func flush0() {
        guard self.isOpen else { return }
        self.writes.markFlushed()
        guard self.isActiveNow else { return }
        if !self.interest.contains(.write), self.flushNow(), self.isOpen { self.interest.insert(.write) }
    }

    /// - Returns: Whether to wait until it is writable.
    private func flushNow() -> Bool {
        guard !self.inFlushNow else { return false }
        self.inFlushNow = true
        defer { self.inFlushNow = false }
        var waits = false
        while !waits, self.writes.isFlushPending, self.isOpen {
            let result: PendingWrites.Result
            do {
                let before = self.writes.bytes
                result = try self.writes.write(to: self.socket) { self.isOpen }
                self.tell?("writes \(before - self.writes.bytes) bytes, \(self.writes.bytes) wait")
                if result.writabilityChange { self.pipeline.syncOperations.fireChannelWritabilityChanged() }
            } catch {
                self.writeFailed(error)
                return false
            }
            if result.isComplete {
                if case .closing = result.state {
                    self.close0(error: ChannelError.outputClosed, mode: .output, promise: nil)
                }
            } else {
                waits = true
            }
            if !self.isOpen || !self.writes.isFlushPending { waits = false }
        }
        return waits
    }

    /// Whatever has arrived is read before the channel is closed.
    private func writeFailed(_ error: any Error) {
        if self.readIfNeeded0() {
            var hasRead = false
            while (try? self.readFromSocket()) == true { hasRead = true }
            if hasRead, self.isActiveNow { self.pipeline.fireChannelReadComplete() }
        }
        self.close0(error: error, mode: .all, promise: nil)
    }

    private func writable() {
        self.finishConnect()
        if !self.flushNow(), self.isOpen { self.interest.remove(.write) }
    }

    // MARK: Reading

    package func read0() {
        if self.inputShutdown { return }
        guard self.isOpen else { return }
        self.readPending = true
        if self.isPreRegistered { self.registerForReadable() }
    }

    private func registerForReadable() {
        if !self.hasSeenEOF { self.interest.insert(.read) }
    }

    @discardableResult
    private func readIfNeeded0() -> Bool {
        if self.inputShutdown || !self.isActiveNow { return false }
        if !self.readPending, self.autoRead { self.pipeline.syncOperations.read() }
        return self.readPending
    }

    /// - Returns: Whether anything was read.
    private func readFromSocket() throws -> Bool {
        var hasRead = false
        for _ in 1...self.maxMessagesPerRead {
            guard self.isOpen, !self.inputShutdown else { throw ChannelError.eof }
            var buffer = self.recvAllocator.buffer(allocator: self.allocator)
            switch try self.socket.read(into: &buffer, most: buffer.writableBytes) {
            case .bytes(let count):
                _ = self.recvAllocator.record(actualReadBytes: count)
                self.readPending = false
                let isFull = buffer.writableBytes == 0
                self.tell?("reads \(count) bytes")
                self.pipeline.syncOperations.fireChannelRead(NIOAny(buffer))
                hasRead = true
                if !isFull { return true }
            case .end:
                if self.inputShutdown {
                    self.readPending = false
                    self.interest.remove(.read)
                    return hasRead
                }
                throw ChannelError.eof
            case .wouldBlock: return hasRead
            }
        }
        return hasRead
    }

    @discardableResult
    private func readable0() -> ReadStreamState {
        defer { if self.isOpen, !self.readPending { self.interest.remove(.read) } }
        do {
            let hasRead = try self.readFromSocket()
            assert(hasRead, "told to read and nothing was there")
        } catch ChannelError.eof {
            if self.isActiveNow {
                self.pipeline.syncOperations.fireChannelReadComplete()
                if self.allowRemoteHalfClosure {
                    self.close0(error: ChannelError.eof, mode: .input, promise: nil)
                    self.readPending = false
                    return .eof
                }
            }
            self.close0(error: ChannelError.eof, mode: .all, promise: nil)
            return .eof
        } catch {
            self.pipeline.syncOperations.fireErrorCaught(error)
            self.close0(error: error, mode: .all, promise: nil)
            return .error
        }
        if self.isActiveNow { self.pipeline.syncOperations.fireChannelReadComplete() }
        self.readIfNeeded0()
        return .normal
    }

    private func readEOF0() {
        guard self.isRegisteredFully else { return }
        self.interest.remove(.readEOF)
        while self.isActiveNow, case .normal = self.readable0() {}
    }

    private func reset() {
        self.readEOF0()
        guard self.socket.isOpen else { return }
        let code = self.socket.takeError()
        self.close0(
            error: IOError(errnoCode: code == 0 ? ECONNRESET : code, reason: "connection reset"), mode: .all,
            promise: nil)
    }

    // MARK: Closing

    package func close0(error: any Error, mode: CloseMode, promise: EventLoopPromise<Void>?) {
        switch mode {
        case .output: self.closeOutput(error, promise)
        case .input: self.closeInput(error, promise)
        case .all: self.closeAll(error, promise)
        }
    }

    private func closeOutput(_ error: any Error, _ promise: EventLoopPromise<Void>?) {
        if self.outputShutdown {
            promise?.fail(ChannelError.outputClosed)
            return
        }
        if self.inputShutdown {
            self.closeAll(error, promise)
            return
        }
        guard case .now(let promise) = self.writes.closeOutbound(promise) else { return }
        do {
            try self.socket.shutDownOutput()
            self.outputShutdown = true
            self.tell?("closes its sending side")
            promise?.succeed(())
        } catch {
            promise?.fail(error)
        }
        if self.isOpen { self.interest.remove(.write) }
        self.pipeline.fireUserInboundEventTriggered(ChannelEvent.outputClosed)
    }

    private func closeInput(_ error: any Error, _ promise: EventLoopPromise<Void>?) {
        if self.inputShutdown {
            promise?.fail(ChannelError.inputClosed)
            return
        }
        if self.outputShutdown {
            self.closeAll(error, promise)
            return
        }
        if case ChannelError.eof = error {
            self.inputShutdown = true
        } else {
            do {
                try self.socket.shutDownInput()
                self.inputShutdown = true
            } catch {
                promise?.fail(error)
                return
            }
        }
        if self.isOpen { self.interest.remove(.read) }
        promise?.succeed(())
        self.pipeline.fireUserInboundEventTriggered(ChannelEvent.inputClosed)
    }

    private func closeAll(_ error: any Error, _ promise: EventLoopPromise<Void>?) {
        self.connectTimeoutTask?.cancel()
        self.connectTimeoutTask = nil
        guard self.isOpen else {
            promise?.fail(ChannelError.alreadyClosed)
            return
        }
        self.tell?(
            "closes (\(error)); \(self.writes.bytes) bytes were not written, "
                + "\(self.socket.receiveQueue.readableBytes) not read")
        self.interest = []
        self.socket.close()
        let before = self.life
        self.life = .closed
        self.writes.failAll(error)
        if let connecting = self.pendingConnect.take() { connecting.fail(error) }
        promise?.succeed(())
        switch before {
        case .fresh, .closed: break
        case .preRegistered, .fullyRegistered, .preActivation:
            self.pipeline.syncOperations.fireChannelUnregistered()
        case .fullyActivated:
            self.pipeline.syncOperations.fireChannelInactive()
            self.pipeline.syncOperations.fireChannelUnregistered()
        }
        self.loop.assumeIsolated().execute {
            self.removeHandlers(pipeline: self.pipeline)
            self.closePromise.succeed(())
            self.localAddress = nil
            self.remoteAddress = nil
        }
    }
}
