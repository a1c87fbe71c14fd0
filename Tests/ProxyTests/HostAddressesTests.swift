// SPDX-License-Identifier: Apache-2.0

import Common
import Dispatch
import NIOCore
import NIOPosix
import Synchronization
import TestSupport
import Testing

@testable import Proxy

@Suite(.timeLimit(.minutes(1))) struct HostAddressesTests {
    /// What a test's resolver says; names that begin with `dead` are answered at the end of the test.
    private final class Names: Sendable {
        let answers = Mutex<[String: [String]]>([:])
        let end = DispatchSemaphore(value: 0)

        var resolver: NameResolver {
            NameResolver { name in
                if name.hasPrefix("dead") { self.end.wait() }
                return self.answers.withLock { $0[name] }
            }
        }
    }

    /// Looks a name up as a request does, again and again until its address is known or is not.
    private func look(
        _ box: NIOLoopBound<HostAddresses>, _ name: String, rule: String = "rule", after: TimeAmount = .zero,
        within limit: TimeAmount = .seconds(5)
    ) async throws -> Endpoint? {
        let loop = box.eventLoop
        while true {
            let (endpoint, wait) = try await loop.submit { () -> (Endpoint?, EventLoopFuture<Void>?) in
                let asker = NameResolver.Asker(rule, threads: 2)
                switch box.value.look(name, port: 80, for: asker, within: limit, at: .now() + after) {
                case .endpoint(let endpoint): return (endpoint, nil)
                case .pending(let future): return (nil, future)
                case .unknown: return (nil, nil)
                }
            }.get()
            guard let wait else { return endpoint }
            try await wait.get()
        }
    }

    private func addresses(_ names: Names) async throws -> NIOLoopBound<HostAddresses> {
        let loop = MultiThreadedEventLoopGroup.singleton.next()
        let resolver = names.resolver
        return try await loop.submit {
            NIOLoopBound(HostAddresses(eventLoop: loop, resolver: resolver), eventLoop: loop)
        }.get()
    }

    @Test("a name whose DNS does not answer is unknown after the limit, and holds up no other rule")
    func dead() async throws {
        let names = Names()
        names.answers.withLock { $0["alive"] = ["192.0.2.1"] }
        let addresses = try await self.addresses(names)
        for index in 0..<8 {
            #expect(try await self.look(addresses, "dead\(index)", within: .milliseconds(20)) == nil)
        }
        let began = ContinuousClock.now
        #expect(try await self.look(addresses, "alive", rule: "other")?.host == "192.0.2.1")
        #expect(ContinuousClock.now - began < .seconds(2))
        // An answer that comes late counts.
        names.answers.withLock { $0["dead0"] = ["192.0.2.2"] }
        for _ in 0..<8 { names.end.signal() }
        let isKnown = try await eventually { try await self.look(addresses, "dead0")?.host == "192.0.2.2" }
        #expect(isKnown)
    }

    @Test("stays with one address as long as it is among the answers and takes connections")
    func sticky() async throws {
        let names = Names()
        names.answers.withLock { $0["host"] = ["192.0.2.1", "192.0.2.2"] }
        let addresses = try await self.addresses(names)
        let first = try #require(try await self.look(addresses, "host"))
        #expect(first.host == "192.0.2.1")
        // Another order, seen when the answer of before is old.
        names.answers.withLock { $0["host"] = ["192.0.2.2", "192.0.2.1", "2001:db8::1"] }
        #expect(try await self.look(addresses, "host", after: .seconds(6)) === first)
        names.answers.withLock { $0["host"] = nil }
        #expect(try await self.look(addresses, "host", after: .seconds(12)) === first)
        try await addresses.eventLoop.submit { addresses.value.failed(first, of: "host") }.get()
        let second = try #require(try await self.look(addresses, "host"))
        #expect(second.host == "192.0.2.2")
        // It is not blamed for the failure of the other.
        try await addresses.eventLoop.submit { addresses.value.failed(first, of: "host") }.get()
        #expect(try await self.look(addresses, "host") === second)
    }

    @Test("when the loop is about to end nobody waits any longer, and nobody begins to")
    func stop() async throws {
        let names = Names()
        let addresses = try await self.addresses(names)
        let wait = try await addresses.eventLoop.submit { () -> EventLoopFuture<Void>? in
            let asker = NameResolver.Asker("rule", threads: 2)
            let answer = addresses.value.look("dead", port: 80, for: asker, within: .seconds(5), at: .now())
            guard case .pending(let future) = answer else { return nil }
            return future
        }.get()
        let began = ContinuousClock.now
        try await addresses.eventLoop.submit { addresses.value.stop() }.get()
        try await #require(wait).get()
        #expect(try await self.look(addresses, "dead") == nil)
        #expect(ContinuousClock.now - began < .seconds(2))
        names.end.signal()
    }
}
