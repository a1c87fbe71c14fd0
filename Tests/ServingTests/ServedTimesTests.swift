// SPDX-License-Identifier: Apache-2.0

import NIOCore
import Testing

@testable import Serving

@Suite struct ServedTimesTests {
    private static let begin = NIODeadline.uptimeNanoseconds(1_000_000_000_000)
    private static func time(_ seconds: Int64) -> NIODeadline { Self.begin + .seconds(seconds) }

    /// One connection, by the second since it was opened.
    private final class Connection {
        var times = ServedTimes(ServerLimits(places: 1), at: ServedTimesTests.begin)

        func isOverdue(at second: Int64, unsent: Int = 0) -> Bool {
            self.times.isOverdue(at: ServedTimesTests.time(second), unsent: unsent)
        }
    }

    @Test("who sends no whole head in time is overdue, also after an answer")
    func head() {
        var connection = Connection()
        #expect(connection.times.isIdle && !connection.isOverdue(at: 14))
        #expect(connection.isOverdue(at: 15))
        connection = Connection()
        connection.times.requestBegan(at: Self.time(10))
        connection.times.requestEnded(at: Self.time(10))
        #expect(!connection.times.isIdle && !connection.isOverdue(at: 400), "the answer takes its time")
        connection.times.answerEnded(at: Self.time(400))
        #expect(connection.times.isIdle && !connection.isOverdue(at: 414))
        #expect(connection.isOverdue(at: 415))
    }

    @Test(
        "between requests a connection may be silent for as long as the server wants, and before the first for no longer"
    )
    func keepAlive() {
        var limits = ServerLimits(places: 1)
        limits.keepAlive = .seconds(120)
        var times = ServedTimes(limits, at: Self.begin)
        let isLate = times.isOverdue(at: Self.time(15), unsent: 0)
        #expect(isLate)
        times.requestBegan(at: Self.time(5))
        times.requestEnded(at: Self.time(5))
        times.answerEnded(at: Self.time(5))
        let (isKept, isOver) = (
            times.isOverdue(at: Self.time(124), unsent: 0), times.isOverdue(at: Self.time(125), unsent: 0)
        )
        #expect(!isKept && isOver)
        times.requestBegan(at: Self.time(20))
        let isSlow = times.isOverdue(at: Self.time(35), unsent: 0)
        #expect(isSlow)
    }

    @Test("who does not end a body in time is overdue, answered or not")
    func body() {
        let connection = Connection()
        connection.times.requestBegan(at: Self.time(10))
        #expect(!connection.isOverdue(at: 24))
        connection.times.answerEnded(at: Self.time(20))
        #expect(!connection.times.isIdle && connection.isOverdue(at: 25))
    }

    @Test("who takes too little of an answer is overdue; who takes it slowly is not")
    func answer() {
        let connection = Connection()
        connection.times.requestBegan(at: Self.begin)
        connection.times.requestEnded(at: Self.begin)
        connection.times.wrote(100_000)
        var left = 100_000
        for second in stride(from: Int64(0), to: 90, by: 9) {
            #expect(!connection.isOverdue(at: second, unsent: left))
            left -= 4096
        }
        #expect(!connection.isOverdue(at: 90, unsent: left))
        #expect(!connection.isOverdue(at: 99, unsent: left - 4095))
        #expect(connection.isOverdue(at: 100, unsent: left - 4095))
    }

    @Test("what is written meanwhile does not hide that nothing is taken")
    func stream() {
        let connection = Connection()
        connection.times.requestBegan(at: Self.begin)
        connection.times.requestEnded(at: Self.begin)
        var overdue: Int64?
        for second in Int64(0)..<20 where overdue == nil {
            connection.times.wrote(2000)
            if connection.isOverdue(at: second, unsent: Int(second) * 2000 + 2000) { overdue = second }
        }
        #expect(overdue == 10)
    }

    @Test("what speaks something else has no requests; what is open when the server stops ends soon")
    func others() {
        let connection = Connection()
        connection.times.upgraded()
        #expect(!connection.times.isIdle && !connection.isOverdue(at: 1000))
        connection.times.stops(at: Self.time(1000))
        #expect(!connection.isOverdue(at: 1000) && connection.isOverdue(at: 1001))
    }
}
