// SPDX-License-Identifier: Apache-2.0

#if canImport(Glibc)
    import Glibc
#endif
package import NIOCore

/// A TCP connection as two kernels keep it: two sockets, each with a queue of what it has to send and one of what has
/// arrived.
///
/// Nothing moves by itself: whoever plays the network calls ``SimulatedSocket/transmit(_:)`` on the side that sends, and so
/// decides when bytes arrive and how they are cut.
package struct SimulatedWire {
    /// The end that is given to a channel.
    package let near: SimulatedSocket
    /// The end of the scripted peer, or of another channel.
    package let far: SimulatedSocket

    /// A connection that is established.
    ///
    /// - Parameter send: What a socket takes from its program before the other side has it.
    /// - Parameter receive: What may have arrived and not be read.
    package init(send: Int = 64 * 1024, receive: Int = 64 * 1024) {
        self.near = SimulatedSocket(send: send, receive: receive)
        self.far = SimulatedSocket(send: send, receive: receive)
        self.near.peer = self.far
        self.far.peer = self.near
    }

    /// Moves everything that can move, as a loopback interface does at once.
    package func settle() {
        while self.near.transmit() || self.far.transmit() {}
    }

    /// Makes the two forget each other, so that both are freed.
    package func cut() {
        self.near.peer = nil
        self.far.peer = nil
    }
}

/// One end of a ``SimulatedWire``, with the calls that a program has, and their errors as Linux has them.
package final class SimulatedSocket {
    /// What a read brought.
    package enum Reading: Equatable {
        case bytes(Int)
        case end
        case wouldBlock
    }

    /// Whether the connection is established, yet.
    package enum Connection {
        case connecting
        case established
    }

    /// What the program has written and the other side does not have.
    package private(set) var sendQueue = ByteBuffer()
    /// What has arrived and was not read.
    package private(set) var receiveQueue = ByteBuffer()
    package let sendCapacity: Int
    package let receiveCapacity: Int
    package fileprivate(set) var peer: SimulatedSocket?
    /// The program has not closed it.
    package private(set) var isOpen = true
    /// The program sends no more.
    package private(set) var isOutputShut = false
    /// The program reads no more.
    package private(set) var isInputShut = false
    /// The other side's FIN was received.
    package private(set) var hasFIN = false
    /// It was reset by the other side, or has reset the connection.
    package private(set) var isReset = false
    /// The error that the next call will have.
    package private(set) var error: CInt = 0
    package private(set) var connection = Connection.established
    /// Closing resets the connection (SO_LINGER with 0 seconds).
    package var resetsOnClose = false
    private var isFINSent = false
    private var owesReset = false
    /// Bytes that were delivered to the other side, so far.
    package private(set) var transmitted = 0

    fileprivate init(send: Int, receive: Int) {
        self.sendCapacity = send
        self.receiveCapacity = receive
    }

    // MARK: Connecting

    /// A connect was sent and is not answered.
    package func beginConnecting() { self.connection = .connecting }

    /// The listener has accepted.
    package func accept() { self.connection = .established }

    /// Nobody listens.
    package func refuse() {
        self.connection = .established
        self.error = ECONNREFUSED
        self.isReset = true
    }

    // MARK: What a program calls

    /// What may be written now.
    package var space: Int { self.sendCapacity - self.sendQueue.readableBytes }

    /// Takes as much of `bytes` as there is space for.
    ///
    /// - Returns: How much was taken; `nil` for none.
    package func write(_ bytes: ByteBuffer) throws(IOError) -> Int? {
        try self.check("write")
        guard !self.isOutputShut, !self.isReset else { throw IOError(errnoCode: EPIPE, reason: "write") }
        if bytes.readableBytes == 0 { return 0 }
        let count = min(self.space, bytes.readableBytes)
        guard count > 0 else { return nil }
        if self.sendQueue.readableBytes == 0 { self.sendQueue.clear() }
        self.sendQueue.writeImmutableBuffer(count == bytes.readableBytes ? bytes : self.prefix(bytes, count))
        return count
    }

    private func prefix(_ bytes: ByteBuffer, _ count: Int) -> ByteBuffer {
        bytes.getSlice(at: bytes.readerIndex, length: count) ?? bytes
    }

    /// Appends what has arrived to `buffer`, up to `most` bytes.
    ///
    /// What had arrived before a reset can still be read, as on Linux.
    package func read(into buffer: inout ByteBuffer, most: Int) throws(IOError) -> Reading {
        let count = min(most, self.receiveQueue.readableBytes)
        if count > 0, var slice = self.receiveQueue.readSlice(length: count) {
            buffer.writeBuffer(&slice)
            if self.receiveQueue.readableBytes == 0 { self.receiveQueue.clear() }
            return .bytes(count)
        }
        try self.check("read")
        return self.hasFIN || self.isInputShut || self.isReset ? .end : .wouldBlock
    }

    /// An error is told once.
    private func check(_ call: String) throws(IOError) {
        precondition(self.isOpen, "\(call) on a closed socket")
        guard self.error != 0 else { return }
        defer { self.error = 0 }
        throw IOError(errnoCode: self.error, reason: call)
    }

    /// Reads the pending error, which is gone then.
    package func takeError() -> CInt {
        defer { self.error = 0 }
        return self.error
    }

    /// No more is sent behind what was written.
    package func shutDownOutput() throws(IOError) {
        guard self.isOpen else { throw IOError(errnoCode: EBADF, reason: "shutdown") }
        guard !self.isReset else { throw IOError(errnoCode: ENOTCONN, reason: "shutdown") }
        self.isOutputShut = true
    }

    /// No more is read.
    package func shutDownInput() throws(IOError) {
        guard self.isOpen else { throw IOError(errnoCode: EBADF, reason: "shutdown") }
        guard !self.isReset else { throw IOError(errnoCode: ENOTCONN, reason: "shutdown") }
        self.isInputShut = true
    }

    /// Closes it: what was written is still sent, unless something that had arrived was not read.
    package func close() {
        precondition(self.isOpen, "closed twice")
        self.isOpen = false
        if self.isReset { return }
        if self.resetsOnClose || self.receiveQueue.readableBytes > 0 || self.connection == .connecting {
            self.owesReset = true
            self.isReset = true
            self.sendQueue.clear()
            self.receiveQueue.clear()
        }
        self.isOutputShut = true
    }

    /// Closes it with a reset.
    package func reset() {
        self.resetsOnClose = true
        self.close()
    }

    // MARK: What epoll says

    /// Both directions are shut, or it was reset.
    package var isHungUp: Bool { self.isReset || (self.isOutputShut && (self.hasFIN || self.isInputShut)) }
    /// Nothing will arrive any more.
    package var isInputOver: Bool { self.hasFIN || self.isInputShut || self.isReset }
    package var isReadable: Bool { self.receiveQueue.readableBytes > 0 || self.isInputOver }
    package var isWritable: Bool { self.space > 0 || self.isOutputShut || self.isReset }

    // MARK: The network

    /// Whether ``transmit(_:)`` would bring anything to the other side.
    package var canTransmit: Bool {
        guard let peer = self.peer else { return false }
        if self.owesReset { return true }
        if self.isReset || self.connection == .connecting { return false }
        if self.sendQueue.readableBytes > 0 { return !peer.isOpen || peer.receiveSpace > 0 }
        return self.isOutputShut && !self.isFINSent
    }

    private var receiveSpace: Int { max(0, self.receiveCapacity - self.receiveQueue.readableBytes) }

    /// Brings up to `most` bytes to the other side, or the FIN or the reset behind the last one.
    ///
    /// - Returns: Whether anything was brought.
    @discardableResult
    package func transmit(_ most: Int = .max) -> Bool {
        guard self.canTransmit, let peer = self.peer else { return false }
        if self.owesReset {
            self.owesReset = false
            peer.receiveReset()
            return true
        }
        if self.sendQueue.readableBytes > 0 {
            guard peer.isOpen else {
                // Nobody is there who could read it.
                self.receiveReset()
                return true
            }
            let count = min(most, self.sendQueue.readableBytes, peer.receiveSpace)
            if var slice = self.sendQueue.readSlice(length: count) { peer.receiveQueue.writeBuffer(&slice) }
            self.transmitted += count
            if self.sendQueue.readableBytes > 0 { return true }
            self.sendQueue.clear()
        }
        if self.isOutputShut, !self.isFINSent {
            self.isFINSent = true
            peer.hasFIN = true
        }
        return true
    }

    private func receiveReset() {
        if self.isReset { return }
        self.isReset = true
        self.error = self.hasFIN ? EPIPE : ECONNRESET
        self.sendQueue.clear()
    }
}
