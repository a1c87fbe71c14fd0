// SPDX-License-Identifier: Apache-2.0

import NIOCore
import Synchronization

/// The places of one server, whatever event loops its connections are on.
package final class ServerPlaces: Sendable {
    private struct State: Sendable {
        var table: PlaceTable
        var channels: [Int: any Channel] = [:]
    }

    /// What it grants.
    package let limits: ServerLimits
    private let state: Mutex<State>

    /// Places of a server that has no connections yet.
    package init(_ limits: ServerLimits) {
        self.limits = limits
        self.state = Mutex(State(table: PlaceTable(limits)))
    }

    /// Gives a place to a connection, and closes the one that has to go for it.
    ///
    /// - Returns: `nil` when there is none.
    func enter(_ channel: any Channel) -> PlaceTable.Place? {
        let (place, evicted) = self.state.withLock { state -> (PlaceTable.Place?, (any Channel)?) in
            guard let place = state.table.enter() else { return (nil, nil) }
            state.channels[place.id] = channel
            return (place, place.evicted.flatMap { state.channels.removeValue(forKey: $0) })
        }
        evicted?.close(promise: nil)
        guard let place else { return nil }
        channel.closeFuture.whenComplete { _ in self.leave(place.id) }
        return place
    }

    /// Takes a place back; nothing happens the second time.
    func leave(_ id: Int) {
        self.state.withLock { state in
            state.table.leave(id)
            state.channels[id] = nil
        }
    }

    func set(_ id: Int, isIdle: Bool) { self.state.withLock { $0.table.set(id, isIdle: isIdle) } }
}
