// SPDX-License-Identifier: Apache-2.0

import NIOCore
import SimulationSupport
import Testing

@Suite("Schedules and the simulated loop") struct ScheduleTests {
    @Test("a failing list shrinks to what fails") func shrinks() {
        // Fails when some decision of 7 or more stands before one of 3 or more.
        func fails(_ decisions: [UInt32]) -> [UInt32]? {
            guard let first = decisions.firstIndex(where: { $0 >= 7 }) else { return nil }
            return decisions[(first + 1)...].contains { $0 >= 3 } ? decisions : nil
        }
        var shrinker = Shrinker([1, 0, 99, 4, 2, 12, 0, 31, 5, 5, 0, 0], tries: 500, fails: fails)
        shrinker.run()
        #expect(shrinker.decisions == [7, 3])
    }

    @Test("shrinking ends when the tries are used up") func bounded() {
        var tries = 0
        var shrinker = Shrinker((1...1000).map { $0 }, tries: 50) {
            tries += 1
            return $0
        }
        shrinker.run()
        #expect(tries <= 50)
    }

    @Test("what is due first runs first, then what was handed over first; a task that is cancelled does not run")
    func order() {
        let loop = SimulatedLoop()
        defer { loop.shutDown() }
        let log = NIOLoopBoundBox<[Int]>([], eventLoop: loop)
        loop.scheduleTask(in: .seconds(2)) { log.value.append(3) }
        loop.scheduleTask(in: .seconds(1)) { log.value.append(1) }
        loop.scheduleTask(in: .seconds(1)) { log.value.append(2) }
        loop.scheduleTask(in: .seconds(1)) { log.value.append(9) }.cancel()
        loop.execute { log.value.append(0) }
        #expect(loop.step() && !loop.step())
        loop.advance(to: loop.now + .seconds(5))
        while loop.step() {}
        #expect(log.value == [0, 1, 2, 3])
        #expect(NIODeadline.now() == loop.now)
    }
}
