// SPDX-License-Identifier: Apache-2.0

import Common
import NIOCore
import NIOEmbedded
import Synchronization
import Testing

@testable import Proxy

@Suite struct ServiceWaitsTests {
    private final class Registry: Sendable {
        let asked = Mutex<[String]>([])
        let isBusy = Mutex(false)

        func ask(_ name: String) -> Bool {
            guard self.isBusy.withLock({ !$0 }) else { return false }
            self.asked.withLock { $0.append(name) }
            return true
        }
    }

    private func directory(_ services: [String], absent: [String] = []) -> ServiceDirectory {
        let absences = absent.map { ($0, ServiceDirectory.Absence(.unknown, until: .distantFuture)) }
        return ServiceDirectory(
            services.map { Service(name: $0, instances: [], ownApp: "default") }, isSynced: true, isComplete: false,
            absences: Dictionary(uniqueKeysWithValues: absences))
    }

    private func count(_ future: EventLoopFuture<Void>?, _ count: NIOLoopBoundBox<Int>) {
        future?.assumeIsolated().whenSuccess { count.value += 1 }
    }

    @Test("requests for one name share a question, and go on when a directory knows of it, whatever it knows")
    func shared() {
        let loop = EmbeddedEventLoop()
        let registry = Registry()
        let waits = ServiceWaits(eventLoop: loop, ask: registry.ask)
        let done = NIOLoopBoundBox(0, eventLoop: loop)
        for name in ["cart", "cart", "cart", "stock", "nosuch"] { self.count(waits.wait(for: name), done) }
        #expect(registry.asked.withLock { $0 } == ["cart", "stock", "nosuch"])
        waits.arrived(self.directory(["other"]))
        #expect(done.value == 0)
        waits.arrived(self.directory(["cart"]))
        #expect(done.value == 3)
        waits.arrived(self.directory(["cart"], absent: ["nosuch"]))
        #expect(done.value == 4)
        // Whoever comes later asks again.
        self.count(waits.wait(for: "nosuch"), done)
        #expect(registry.asked.withLock { $0.count } == 4)
        waits.stop()
        #expect(done.value == 6)
    }

    @Test("nobody waits longer than two seconds")
    func timeout() {
        let loop = EmbeddedEventLoop()
        let waits = ServiceWaits(eventLoop: loop, ask: Registry().ask)
        let done = NIOLoopBoundBox(0, eventLoop: loop)
        self.count(waits.wait(for: "cart"), done)
        loop.advanceTime(by: ServiceWaits.limit - .milliseconds(1))
        #expect(done.value == 0)
        loop.advanceTime(by: .milliseconds(1))
        #expect(done.value == 1)
    }

    @Test("names are waited for up to a number, and only when somebody can be asked")
    func bounds() {
        let loop = EmbeddedEventLoop()
        let registry = Registry()
        let waits = ServiceWaits(eventLoop: loop, ask: registry.ask)
        #expect(ServiceWaits(eventLoop: loop, ask: nil).wait(for: "cart") == nil)
        registry.isBusy.withLock { $0 = true }
        #expect(waits.wait(for: "cart") == nil)
        registry.isBusy.withLock { $0 = false }
        for number in 0..<ServiceWaits.capacity { #expect(waits.wait(for: "s\(number)") != nil) }
        #expect(waits.wait(for: "one-more") == nil)
        #expect(waits.wait(for: "s0") != nil)
        waits.stop()
    }
}
