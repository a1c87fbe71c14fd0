// SPDX-License-Identifier: Apache-2.0

import Common
import SimulationSupport

/// A scripted client of the ring with upstreams, of either protocol.
protocol RingClient: AnyObject {
    var name: String { get }
    var ring: ProxyWorld { get }
    var channel: SimulatedChannel { get }
    /// Its end of the connection.
    var peer: SimulatedSocket { get }
    /// Whether it reads all that there is after each event.
    var readsAtOnce: Bool { get }
    var hasSomethingToRead: Bool { get }
    /// Whether all that was asked is answered.
    var isSatisfied: Bool { get }
    /// Whether it has seen the end, one way or the other.
    var isOver: Bool { get }
    /// A number that changes when anything moves.
    var moved: Int { get }
    /// Whether the handler of its connection is still there.
    var hasHandler: Bool { get }

    func send(_ most: Int)
    func receive(_ most: Int) throws
    /// Reads until nothing more comes at this moment.
    func receiveAll() throws
    /// Does something that is in order and seldom.
    func disturb()
    func halfClose()
    /// It gives up everything that is not over.
    func leave()
    /// Time has passed: whoever keeps mesher waiting for too long loses its claim to answers.
    func timePassed()
    /// What the connection holds is bounded, at every moment.
    func checkHeld(_ settings: ProxySettings) throws
    /// Every request was answered, or the client can tell which were not.
    func checkAnswered() throws
    func end()
}

/// One connection of a scripted upstream, of either protocol.
protocol RingUpstream: AnyObject {
    var name: String { get }
    var ring: ProxyWorld { get }
    var channel: SimulatedChannel { get }
    var wire: SimulatedWire { get }
    /// Its end of the connection.
    var peer: SimulatedSocket { get }
    /// Whether somebody has yet to accept or refuse.
    var isWaiting: Bool { get set }

    /// One of its moments: it reads some and writes some.
    func act(_ most: Int, writes: Bool) throws
    /// Closes an idle connection, or whatever is in flight.
    func leave()
    /// The network has moved: whether there is something to read now.
    func noteUnread()
    func timePassed()
    /// What waits to be written to it is bounded.
    func checkHeld(_ settings: ProxySettings) throws
    /// What was given up by its client was given up here.
    func checkGivenUp() throws
    func end()
}

extension RingClient {
    func reset() {
        guard self.peer.isOpen else { return }
        self.ring.note("\(self.name) resets the connection")
        self.leave()
        self.peer.reset()
        self.peer.transmit()
    }

    func close() {
        guard self.peer.isOpen else { return }
        self.ring.note("\(self.name) closes")
        self.leave()
        self.peer.close()
        while self.peer.transmit() {}
    }
}

extension RingUpstream {
    /// Whether it has nothing to do any more.
    var isOver: Bool { !self.isWaiting && (!self.peer.isOpen || self.peer.isReset) && self.channel.isClosed }

    /// A number that changes when anything moves: what the network has moved, and who has seen the end.
    var moved: Int { self.wire.progress(of: self.channel, isOver: self.isOver) }

    func accept() {
        guard self.isWaiting else { return }
        self.isWaiting = false
        self.ring.note("\(self.name) accepts")
        self.wire.near.accept()
    }

    func refuse() {
        guard self.isWaiting else { return }
        self.isWaiting = false
        self.ring.note("\(self.name) refuses")
        self.wire.near.refuse()
    }

    /// What comes before anything that it does: it accepts or refuses, and the network moves.
    ///
    /// - Parameter isSilent: It does nothing of its own any more.
    /// - Returns: Whether it may read and write now.
    func mayAct(isSilent: Bool) -> Bool {
        if self.isWaiting {
            if self.ring.isEnding || !self.ring.schedule.happens(oneIn: 6) { self.accept() } else { self.refuse() }
            return false
        }
        self.peer.transmit()
        if self.peer.isOpen { return !isSilent }
        self.wire.near.transmit()
        return false
    }
}
