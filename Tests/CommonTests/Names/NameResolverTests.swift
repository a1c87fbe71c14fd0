// SPDX-License-Identifier: Apache-2.0

import Common
import Dispatch
import Synchronization
import TestSupport
import Testing

/// A resolver whose answers are set by a test; names that begin with `dead` are answered when it is over.
private final class Names: Sendable {
    private struct State {
        var answers: [String: [String]] = [:]
        var asked: [String: Int] = [:]
        var dead = 0
        var mostDead = 0
    }

    private let state = Mutex(State())
    private let end = DispatchSemaphore(value: 0)

    var resolver: NameResolver { self.resolver(slowness: .milliseconds(20)) }

    func resolver(slowness: Duration) -> NameResolver { NameResolver(slowness: slowness) { self.lookUp($0) } }

    var mostDead: Int { self.state.withLock { $0.mostDead } }

    func asked(_ name: String) -> Int { self.state.withLock { $0.asked[name] ?? 0 } }

    func set(_ name: String, _ addresses: [String]?) { self.state.withLock { $0.answers[name] = addresses } }

    var dead: Int { self.state.withLock { $0.dead } }

    /// The names that are dead are answered, as many as there may be.
    func finish(_ count: Int = 2_000) { for _ in 0..<count { self.end.signal() } }

    private func lookUp(_ name: String) -> [String]? {
        self.state.withLock { state in
            state.asked[name, default: 0] += 1
            guard name.hasPrefix("dead") else { return }
            state.dead += 1
            state.mostDead = max(state.mostDead, state.dead)
        }
        if name.hasPrefix("dead") { self.end.wait() }
        return self.state.withLock { state in
            if name.hasPrefix("dead") { state.dead -= 1 }
            return state.answers[name]
        }
    }
}

@Suite(.timeLimit(.minutes(1))) struct NameResolverTests {
    @Test("names whose DNS does not answer hold a few threads, and nobody else up")
    func deadNames() async {
        let names = Names()
        let resolver = names.resolver
        names.set("cart", ["10.0.0.1"])
        let rule = NameResolver.Asker("*.dead", threads: 2)
        // Many more than may wait, too.
        for index in 0..<20_000 { resolver.ask("dead\(index)", for: rule) { _ in } }
        for index in 0..<10 {
            let other = NameResolver.Asker("rule \(index)", threads: 2)
            #expect(await resolver.addresses(of: "cart", for: other) == ["10.0.0.1"])
        }
        #expect(await eventually { names.mostDead == 2 })
        names.finish()
    }

    @Test("names that took long before leave threads to the others of whoever asks")
    func slowNames() async throws {
        let names = Names()
        // Whatever was answered before took long.
        let resolver = names.resolver(slowness: .zero)
        names.set("cart", ["10.0.0.1"])
        let told = Count()
        for index in 0..<4 { resolver.ask("dead\(index)", for: .registry) { _ in told.add() } }
        #expect(await eventually { names.mostDead == 4 })
        names.finish(4)
        #expect(await eventually { told.count == 4 })
        let asker = NameResolver.Asker("four", threads: 4)
        for index in 0..<4 { resolver.ask("dead\(index)", for: asker) { _ in } }
        #expect(await eventually { names.dead == 2 })
        #expect(await resolver.addresses(of: "cart", for: asker) == ["10.0.0.1"])
        #expect(names.dead == 2)
        names.finish()
    }

    @Test("those who ask for one name share its answer, and each is told once")
    func shared() async {
        let names = Names()
        let resolver = names.resolver
        let told = Count()
        for _ in 0..<10 { resolver.ask("dead", for: .registry) { _ in told.add() } }
        #expect(await eventually { names.asked("dead") == 1 })
        names.set("dead", ["10.0.0.1"])
        names.finish()
        #expect(await eventually { told.count == 10 })
        #expect(names.asked("dead") == 1)
        #expect(await resolver.addresses(of: "nothing", for: .registry) == nil)
    }

    @Test("asks the system")
    func system() {
        #expect(NameResolver.system("localhost")?.contains("127.0.0.1") == true)
        #expect(NameResolver.system("127.0.0.7") == ["127.0.0.7"])
        #expect(NameResolver.system("no such name") == nil)
    }
}

/// How often something has happened.
private final class Count: Sendable {
    private let value = Mutex(0)
    var count: Int { self.value.withLock { $0 } }
    func add() { self.value.withLock { $0 += 1 } }
}

@Suite(.timeLimit(.minutes(1))) struct NameBookTests {
    @Test("keeps addresses fresh, in whatever order they come, and the last good ones where that fails")
    func refresh() async {
        let names = Names()
        let changes = Count()
        let book = NameBook(names.resolver, refresh: .milliseconds(5)) { _ in changes.add() }
        names.set("cart", ["10.0.0.1"])
        book.use(["cart"])
        #expect(await eventually { book["cart"] == ["10.0.0.1"] })
        #expect(changes.count == 1)
        names.set("cart", ["10.0.0.2", "10.0.0.1"])
        #expect(await eventually { book["cart"] == ["10.0.0.1", "10.0.0.2"] })
        names.set("cart", ["10.0.0.1", "10.0.0.2"])
        names.set("cart", nil)
        let asked = names.asked("cart")
        #expect(await eventually { names.asked("cart") > asked + 3 })
        #expect(book["cart"] == ["10.0.0.1", "10.0.0.2"] && changes.count == 2)
        book.use([])
        #expect(book["cart"] == nil)
    }

    @Test("the first answer is waited for so long and no longer; one that comes later counts")
    func late() async {
        let names = Names()
        let book = NameBook(names.resolver, limit: .milliseconds(50)) { _ in }
        book.use(["dead"])
        #expect(book["dead"] == nil && book.isPending)
        await book.firstAnswer(about: "dead")
        #expect(book["dead"] == [] && !book.isPending)
        await book.firstAnswer(about: "nobody's")
        names.set("dead", ["::1"])
        names.finish()
        #expect(await eventually { book["dead"] == ["::1"] })
    }
}

@Suite struct HostTests {
    @Test("a host before a port has brackets where it has colons", arguments: [("a.b", "a.b"), ("::1", "[::1]")])
    func brackets(host: String, text: String) { #expect(host.asHost == text) }
}

@Suite struct EndpointTextTests {
    @Test(
        "a host is an address or a name",
        arguments: [
            ("rest://Cart-1.shop:8080", "cart-1.shop", false), ("rest://cart_a:1", "cart_a", false),
            ("rest://cart.:1", "cart.", false), ("rest://10.0.0.5:8080/", "10.0.0.5", true),
            ("grpc://[::1]:9000?sslEnabled=true", "::1", true), ("rest://x1:80", "x1", false),
        ])
    func hosts(text: String, host: String, isAddress: Bool) throws {
        let endpoint = try EndpointText(text)
        #expect(endpoint.host == host && (endpoint.address != nil) == isAddress)
    }

    @Test(
        "what may be meant as an address is no name",
        arguments: [
            "rest://10.0.0.300:1", "rest://1.2.3:1", "rest://0x7f000001:1", "rest://-a:1", "rest://a..b:1",
            "rest://a b:1",
            "rest://:1", "rest://ä:1", "rest://a.7:1", "rest://\(String(repeating: "a", count: 64)):1",
        ])
    func mistakes(text: String) {
        #expect(throws: Endpoint.Mistake.host) { try EndpointText(text) }
    }

    @Test("takes an address in the place of its name")
    func places() throws {
        let text = try EndpointText("grpc://cart:9000?sslEnabled=true")
        #expect(text.text(at: "10.0.0.1") == "grpc://10.0.0.1:9000?sslEnabled=true")
        #expect(text.text(at: "fd00::1") == "grpc://[fd00::1]:9000?sslEnabled=true")
        #expect(throws: Endpoint.Mistake.host) { try Endpoint("grpc://cart:9000") }
    }
}
