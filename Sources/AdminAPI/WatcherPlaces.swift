// SPDX-License-Identifier: Apache-2.0

import HTTPTypes
import Serving
import Synchronization

/// Places for clients that watch something for as long as they like: so many at a time.
final class WatcherPlaces: Sendable {
    /// One of the places, which is given back once, whatever becomes of the answer.
    final class Place: Sendable {
        private let places: WatcherPlaces
        private let isTaken = Atomic(true)

        fileprivate init(_ places: WatcherPlaces) { self.places = places }

        deinit { self.leave() }

        func leave() {
            guard self.isTaken.exchange(false, ordering: .relaxed) else { return }
            self.places.taken.wrappingSubtract(1, ordering: .relaxed)
        }
    }

    private let most: Int
    private let taken = Atomic<Int>(0)

    init(_ most: Int) { self.most = most }

    /// A place; throws when there is none.
    func take() throws(Refusal) -> Place {
        let (_, count) = self.taken.wrappingAdd(1, ordering: .relaxed)
        let place = Place(self)
        guard count <= self.most else {
            place.leave()
            throw Refusal(.serviceUnavailable, "\(self.most) are watching already")
        }
        return place
    }
}
