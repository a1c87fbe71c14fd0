// SPDX-License-Identifier: Apache-2.0

import Common
import NIOCore
import NIOPosix
import Testing

@Suite(.timeLimit(.minutes(1))) struct MailboxTests {
    @Test("a receiver that takes over from a cancelled one gets the next message")
    func survivesCancellation() async {
        let mailbox = Mailbox<Int>("test", capacity: 4, whenFull: .dropNewest)
        for round in 0..<200 {
            let first = Task { await mailbox.receive() }
            if round.isMultiple(of: 2) { await Task.yield() }  // so that it is cancelled before and while it waits
            first.cancel()
            #expect(await first.value == nil)
            let second = Task { await mailbox.receive() }
            mailbox.send(round)
            #expect(await second.value == round)
        }
    }

    @Test("no message is lost to a receiver that is cancelled meanwhile")
    func losesNothing() async {
        let mailbox = Mailbox<Int>("test", capacity: 500, whenFull: .dropNewest)
        var received: [Int] = []
        for message in 0..<500 {
            async let sent = Task { mailbox.send(message) }.value
            let receiver = Task { await mailbox.receive() }
            receiver.cancel()
            if let message = await receiver.value { received.append(message) }
            _ = await sent
        }
        while received.count < 500, let message = await mailbox.receive() { received.append(message) }
        #expect(received.sorted() == Array(0..<500))
    }

    @Test("all that waits is received at once, nothing when the time is over, and no message is lost between the two")
    func receivesAll() async {
        let mailbox = Mailbox<Int>("test", capacity: 500, whenFull: .dropNewest)
        #expect(await mailbox.receiveAll(until: .now) == [])
        mailbox.send(1)
        mailbox.send(2)
        #expect(await mailbox.receiveAll(until: .now + .seconds(60)) == [1, 2])
        async let sent: Void = Task {
            for number in 0..<500 {
                mailbox.send(number)
                await Task.yield()
            }
        }.value
        var received: [Int] = []
        while received.count < 500 { received += await mailbox.receiveAll(until: .now + .microseconds(50)) }
        await sent
        #expect(received == Array(0..<500))
    }

    @Test("a full mailbox drops by its policy, says so and counts")
    func dropsByPolicy() async {
        let newest = Mailbox<Int>("newest", capacity: 2, whenFull: .dropNewest)
        let oldest = Mailbox<Int>("oldest", capacity: 2, whenFull: .dropOldest)
        #expect([1, 2, 3].map { newest.send($0) } == [true, true, false])
        #expect([1, 2, 3].map { oldest.send($0) } == [true, true, false])
        #expect(newest.waiting == 2 && newest.dropped == 1 && oldest.dropped == 1)
        #expect([await newest.receive(), await newest.receive()] == [1, 2])
        #expect([await oldest.receive(), await oldest.receive()] == [2, 3])
    }

    @Test("an event loop is never held up by a receiver that does not receive")
    func sendNeverWaits() async throws {
        let mailbox = Mailbox<Int>("test", capacity: 8, whenFull: .dropOldest)
        let loop = MultiThreadedEventLoopGroup.singleton.next()
        let results = try await loop.submit { (0..<1000).map { mailbox.send($0) } }.get()
        #expect(results.count { $0 } == 8)
        #expect(mailbox.dropped == 992)
        #expect(await mailbox.receive() == 992)
    }
}
