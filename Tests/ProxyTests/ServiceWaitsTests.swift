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
        let refusing = Mutex<[String]>([])
        let isBusy = Mutex(false)

        func ask(_ message: RegistryMessage) -> Bool {
            guard self.isBusy.withLock({ !$0 }) else { return false }
            switch message {
            case .serviceWanted(let demand): self.asked.withLock { $0.append(demand.name) }
            case .serviceRefuses(let demand): self.refusing.withLock { $0.append(demand.name) }
            case .namesElsewhere, .consumerChanged, .instanceChanged, .addressesChanged, .caughtUp:
                Issue.record("nobody asks for \(message)")
            }
            return true
        }
    }

    private func demand(_ name: String, _ app: String = "default") -> ServiceDemand {
        ServiceDemand(app: app, name: name)
    }

    private func directory(_ services: [String], absent: [String] = []) -> ServiceDirectory {
        let absences = absent.map { (self.demand($0), ServiceDirectory.Absence(.unknown, until: .distantFuture)) }
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
        for name in ["cart", "cart", "cart", "stock", "nosuch"] { self.count(waits.wait(for: self.demand(name)), done) }
        #expect(registry.asked.withLock { $0 } == ["cart", "stock", "nosuch"])
        waits.arrived(self.directory(["other"]))
        #expect(done.value == 0)
        waits.arrived(self.directory(["cart"]))
        #expect(done.value == 3)
        waits.arrived(self.directory(["cart"], absent: ["nosuch"]))
        #expect(done.value == 4)
        // Whoever comes later asks again.
        self.count(waits.wait(for: self.demand("nosuch")), done)
        #expect(registry.asked.withLock { $0.count } == 4)
        waits.stop()
        #expect(done.value == 6)
    }

    @Test("nobody waits longer than two seconds")
    func timeout() {
        let loop = EmbeddedEventLoop()
        let waits = ServiceWaits(eventLoop: loop, ask: Registry().ask)
        let done = NIOLoopBoundBox(0, eventLoop: loop)
        self.count(waits.wait(for: self.demand("cart")), done)
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
        #expect(ServiceWaits(eventLoop: loop, ask: nil).wait(for: self.demand("cart")) == nil)
        registry.isBusy.withLock { $0 = true }
        #expect(waits.wait(for: self.demand("cart")) == nil)
        registry.isBusy.withLock { $0 = false }
        for number in 0..<ServiceWaits.capacity { #expect(waits.wait(for: self.demand("s\(number)")) != nil) }
        #expect(waits.wait(for: self.demand("one-more")) == nil)
        #expect(waits.wait(for: self.demand("s0")) != nil)
        waits.stop()
    }

    @Test("a service of another application is another one")
    func applications() {
        let loop = EmbeddedEventLoop()
        let registry = Registry()
        let waits = ServiceWaits(eventLoop: loop, ask: registry.ask)
        let done = NIOLoopBoundBox(0, eventLoop: loop)
        for app in ["default", "shop"] { self.count(waits.wait(for: self.demand("cart", app)), done) }
        #expect(registry.asked.withLock { $0 } == ["cart", "cart"])
        waits.arrived(self.directory(["cart"]))
        #expect(done.value == 1)
        waits.stop()
    }

    @Test("of several names any answer will do, and they are waited for as long as is said")
    func several() {
        let loop = EmbeddedEventLoop()
        let registry = Registry()
        let waits = ServiceWaits(eventLoop: loop, ask: registry.ask)
        let done = NIOLoopBoundBox(0, eventLoop: loop)
        let demands = [self.demand("cart"), self.demand("stock")]
        self.count(waits.wait(forFirstOf: demands, within: .seconds(1)), done)
        #expect(registry.asked.withLock { $0 } == ["cart", "stock"])
        #expect(done.value == 0)
        // Not the first of them.
        waits.arrived(self.directory(["stock"]))
        #expect(done.value == 1)
        #expect(waits.count == 1)
        self.count(waits.wait(forFirstOf: demands, within: .milliseconds(500)), done)
        loop.advanceTime(by: .milliseconds(499))
        #expect(done.value == 1)
        loop.advanceTime(by: .milliseconds(1))
        #expect(done.value == 2)
        // What comes later changes nothing.
        waits.arrived(self.directory(["cart", "stock"]))
        #expect(done.value == 2)
        #expect(waits.count == 0)
        #expect(waits.wait(forFirstOf: [], within: .seconds(1)) == nil)
    }

    @Test("of a service that refuses it is said twice a second")
    func refusals() {
        let loop = EmbeddedEventLoop()
        let registry = Registry()
        let waits = ServiceWaits(eventLoop: loop, ask: registry.ask)
        for time in [0, 1, 499, 500, 999, 1_000] {
            waits.refuses(self.demand("cart"), at: .uptimeNanoseconds(0) + .milliseconds(Int64(time)))
        }
        waits.refuses(self.demand("stock"), at: .uptimeNanoseconds(0))
        #expect(registry.refusing.withLock { $0 } == ["cart", "cart", "cart", "stock"])
    }
}
