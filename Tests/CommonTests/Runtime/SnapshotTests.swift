// SPDX-License-Identifier: Apache-2.0

import Common
import NIOCore
import NIOPosix
import Testing

@Suite(.timeLimit(.minutes(1))) struct SnapshotTests {
    @Test("values arrive on every loop in the order of their publication, with two publishers too", arguments: [1, 2])
    func inOrder(publishers: Int) async throws {
        let loops = MultiThreadedEventLoopGroup(numberOfThreads: 3)
        let snapshot = Snapshot(0, on: loops)
        let each = 2000
        let logs = loops.makeIterator().map { loop in
            (loop, NIOLoopBoundBox.makeBoxSendingValue([Int](), eventLoop: loop))
        }
        await withTaskGroup(of: Void.self) { group in
            for publisher in 0..<publishers {
                group.addTask {
                    for number in 1...each {
                        snapshot.publish(number * publishers + publisher)
                        for (loop, log) in logs {
                            loop.execute { log.value.append(snapshot.reader(for: loop).value) }
                        }
                    }
                }
            }
        }
        for (loop, log) in logs {
            let seen = try await loop.submit { log.value }.get()
            #expect(seen.count == each * publishers)
            #expect(seen.last == snapshot.current)
            for publisher in 0..<publishers {
                let own = seen.filter { $0 % publishers == publisher }
                #expect(own == own.sorted())
            }
        }
        #expect(snapshot.generation == each * publishers)
        try await loops.shutdownGracefully()
    }

    @Test("an observer is called on its loop with each value, which readers there see by then")
    func observer() async throws {
        let loops = MultiThreadedEventLoopGroup(numberOfThreads: 2)
        let snapshot = Snapshot(0, on: loops)
        let loop = loops.next()
        let log = NIOLoopBoundBox.makeBoxSendingValue([Int](), eventLoop: loop)
        try await loop.submit {
            snapshot.observe(on: loop) { log.value.append($0 * 10 + snapshot.reader(for: loop).value) }
        }.get()
        for number in 1...3 { snapshot.publish(number) }
        #expect(try await loop.submit { log.value }.get() == [11, 22, 33])
        try await loops.shutdownGracefully()
    }
}
