// SPDX-License-Identifier: Apache-2.0

import Common
import Proxy
import Synchronization
import Testing

@Suite struct ConnectionPlacesTests {
    @Test("there are as many as the limit of the moment says")
    func limit() {
        let places = ConnectionPlaces()
        let id = places.join {}
        #expect((0..<3).map { _ in places.take(most: 2) } == [true, true, false])
        #expect(places.take(most: 3) && !places.take(most: 1) && places.count == 3)
        places.giveBack(id)
        #expect(places.count == 2 && !places.take(most: 2))
    }

    @Test("a place that is given back goes to the loop that has starved longest, else all that wait are woken")
    func turns() {
        let places = ConnectionPlaces()
        let woken = Mutex([0, 0, 0])
        let ids = (0..<3).map { index in places.join { woken.withLock { $0[index] += 1 } } }
        #expect((0..<3).allSatisfy { _ in places.take(most: 3) })
        places.tell(ids[2], .starving)
        places.tell(ids[1], .starving)
        #expect(woken.withLock { $0 } == [2, 1, 1] && places.starvingLoops == 2 && places.waitingLoops == 2)
        places.giveBack(ids[0])
        #expect(ids.map { places.takeGranted($0) } == [0, 0, 1] && places.count == 3)
        // The same once more: it has one now, and the other one has none.
        places.giveBack(ids[0])
        #expect(ids.map { places.takeGranted($0) } == [0, 1, 0] && places.count == 3)
        woken.withLock { $0 = [0, 0, 0] }
        places.giveBack(ids[0])
        #expect(woken.withLock { $0 } == [0, 1, 1] && places.count == 2)
        for id in ids { places.tell(id, .none) }
        #expect(!places.isWanted && places.starvingLoops == 0)
    }

    @Test("a loop that leaves gives back what was kept for it")
    func leaving() {
        let places = ConnectionPlaces()
        let (first, second) = (places.join {}, places.join {})
        #expect(places.take(most: 1))
        places.tell(second, .starving)
        places.giveBack(first)
        #expect(places.count == 1)
        places.leave(second)
        #expect(places.count == 0 && !places.isWanted)
    }

    /// How many places are used at a time.
    private final class Tally: Sendable {
        private let open = Atomic<Int>(0)
        private let most = Atomic<Int>(0)

        func use() {
            self.most.max(self.open.add(1, ordering: .sequentiallyConsistent).newValue, ordering: .relaxed)
            self.open.subtract(1, ordering: .sequentiallyConsistent)
        }

        var highest: Int { self.most.load(ordering: .relaxed) }
    }

    /// A loop that takes a place, uses it and gives it back, again and again, and waits where there is none.
    private static func loop(_ places: ConnectionPlaces, _ tally: Tally) async {
        let (stream, signal) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
        let id = places.join { signal.yield() }
        var wakes = stream.makeAsyncIterator()
        func isServed() -> Bool { places.takeGranted(id) > 0 || places.take(most: 2) }
        for _ in 0..<2000 {
            while !isServed() {
                places.tell(id, .starving)
                if isServed() { break }
                await wakes.next()
            }
            places.tell(id, .none)
            tally.use()
            places.giveBack(id)
            // One may have been kept for it although it has taken another one.
            for _ in 0..<places.takeGranted(id) { places.giveBack(id) }
        }
        places.leave(id)
    }

    @Test("whoever waits on a thread of its own gets a place in the end, and never are there too many")
    func together() async {
        let places = ConnectionPlaces()
        let tally = Tally()
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<4 { group.addTask { await Self.loop(places, tally) } }
        }
        #expect(tally.highest >= 1 && tally.highest <= 2)
        #expect(places.count == 0 && places.waitingLoops == 0 && places.starvingLoops == 0)
    }
}
