// SPDX-License-Identifier: Apache-2.0

import Common
import Dispatch
import Foundation
import Logging
import NIOCore
import NIOPosix
import Synchronization
import TestSupport
import Testing

@testable import RegistryBridge

/// Discovery at a service-center that a test scripts.
private final class Discovery: Sendable {
    let center: ScriptedCenter
    let client: ServiceCenterClient
    let state = RegistrationState()
    let inbox = Mailbox<RegistryMessage>("registry", capacity: 64, whenFull: .dropNewest)
    let registrar = Mailbox<RegistrarMessage>("registrar", capacity: 1, whenFull: .dropOldest)
    let status = RegistryStatus()
    let snapshot = TestPublisher()
    let directory = FileManager.default.temporaryDirectory.appendingPathComponent("state-\(UUID().uuidString)").path
    private let registry: ServiceCenterRegistry

    init(
        _ center: ScriptedCenter, account: RegistryConfig.Account? = nil, interval: Duration = .seconds(60),
        pace: Reconnect.Pace = .usual, resolver: NameResolver = .shared
    ) {
        self.center = center
        let quiet = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        let loops = MultiThreadedEventLoopGroup.singleton
        self.client = ServiceCenterClient(
            addresses: [center.address], project: "default", tenant: "default", account: account, pace: pace,
            loops: loops, logger: quiet)
        let cache = DiscoveryCache(directory: self.directory, owner: ["shop"], registry: "r", logger: quiet)
        self.registry = ServiceCenterRegistry(
            .init(app: "shop", environment: "", interval: interval, isWatching: false), client: self.client,
            registration: self.state, registrar: self.registrar, inbox: self.inbox, status: self.status, cache: cache,
            saved: .init(cache), resolver: resolver, loops: loops,
            logger: quiet)
    }

    func want(_ name: String, of app: String = "shop") {
        self.inbox.send(.serviceWanted(ServiceDemand(app: app, name: name)))
    }

    func absence(_ name: String) -> ServiceDirectory.Absence.Reason? {
        self.snapshot.current.absence(of: ServiceDemand(app: "shop", name: name), at: .now())
    }

    func instances(_ name: String) -> [String] { self.snapshot.current[name]?.instances.map(\.id).sorted() ?? [] }

    func run(_ body: () async throws -> Void) async throws {
        let publisher = self.snapshot.publisher
        try await whileRunning({ [registry] in try await registry.follow(publisher) }, body)
        await self.client.close()
        await self.center.stop()
        try? FileManager.default.removeItem(atPath: self.directory)
    }
}

extension ScriptedCenter.Question {
    /// What a batch asks for.
    fileprivate var services: [ServiceEntity] {
        let body = try? JSONDecoder().decode(FindBodies.Request.self, from: Data(self.body.utf8))
        return (body?.services ?? []).compactMap(\.service)
    }

    fileprivate var isBatch: Bool { self.path.contains("type=query") }
}

/// An answer to a batch: an instance for each of these indexes.
private func found(
    _ instances: [(index: Int, id: String)], at endpoint: String = "rest://10.0.0.1:80"
) -> ScriptedCenter.Answer {
    let lines = instances.map { index, id in
        #"{"index":\#(index),"rev":"r1","instances":[{"instanceId":"\#(id)","endpoints":["\#(endpoint)"],"status":"UP","version":"1.0.0"}]}"#
    }
    return (200, #"{"services":{"updated":[\#(lines.joined(separator: ","))]}}"#)
}

private func failed(_ indexes: [Int], _ code: String, _ detail: String) -> ScriptedCenter.Answer {
    let list = indexes.map(String.init).joined(separator: ",")
    let error = #"{"errorCode":"\#(code)","errorMessage":"Micro-service does not exist","detail":"\#(detail)"}"#
    return (200, #"{"services":{"failed":[{"indexes":[\#(list)],"error":\#(error)}]}}"#)
}

@Suite(.timeLimit(.minutes(1))) struct DiscoveryTests {
    @Test("all addresses of a held instance are tried at the same time, a second in all")
    func probe() async throws {
        let (full, alive) = (try await FullListener.start(), try await ScriptedCenter.start { _ in nil })
        let loops = MultiThreadedEventLoopGroup.singleton
        let silent = try (0..<4).map { _ in try Endpoint("rest://127.0.0.1:\(full.port)") }
        let last = try Endpoint(alive.address.replacing("http:", with: "rest:"))
        let began = ContinuousClock.now
        #expect(await ServiceCenterRegistry.isTakingConnections(silent + [last], loops))
        #expect(ContinuousClock.now - began < .milliseconds(900))
        #expect(await !ServiceCenterRegistry.isTakingConnections(silent, loops))
        #expect(ContinuousClock.now - began < .milliseconds(2_500))
        await full.stop()
        await alive.stop()
    }

    @Test("a name that the registry refuses does not hold up the others, and is not asked for at once again")
    func refusedNames() async throws {
        let center = try await ScriptedCenter.start { question in
            guard question.isBatch else { return (200, "{}") }
            let names = question.services.compactMap(\.serviceName)
            if names.contains("bad") {
                return (400, #"{"errorCode":"400001","errorMessage":"Invalid parameter(s)","detail":"serviceName"}"#)
            }
            return found(names.enumerated().map { ($0.offset, $0.element) })
        }
        let discovery = Discovery(center, interval: .milliseconds(200))
        for name in ["a", "b", "bad", "c", "d"] { discovery.want(name) }
        try await discovery.run {
            #expect(await eventually { ["a", "b", "c", "d"].allSatisfy { discovery.instances($0) == [$0] } })
            #expect(discovery.absence("bad") == .unknown)
            #expect(discovery.status.current.isReachable && discovery.status.current.failure == nil)
            let asked = center.questions.filter { $0.isBatch && $0.body.contains("\"bad\"") }.count
            discovery.want("bad")
            discovery.want("e")
            #expect(await eventually { discovery.instances("e") == ["e"] })
            #expect(center.questions.filter { $0.isBatch && $0.body.contains("\"bad\"") }.count == asked)
        }
    }

    @Test("a name that is new is found as soon as a registry that was away for long is back, and all is asked for anew")
    func back() async throws {
        let isAway = Mutex(false)
        let center = try await ScriptedCenter.start { question in
            if isAway.withLock({ $0 }) { return nil }
            return question.isBatch ? found(question.services.indices.map { ($0, "i\($0)") }) : (200, "{}")
        }
        let discovery = Discovery(center, interval: .seconds(30), pace: Reconnect.Pace.usual.scaled(by: 0.1))
        discovery.want("old")
        try await discovery.run {
            #expect(await eventually { !discovery.instances("old").isEmpty })
            isAway.withLock { $0 = true }
            discovery.want("other")
            #expect(await eventually(within: .seconds(10)) { await discovery.client.pause > .seconds(1) })
            // Its next turn is far, and it has failed just now.
            isAway.withLock { $0 = false }
            let asked = center.questions.count { $0.isBatch && $0.body.contains("\"old\"") }
            discovery.want("new")
            #expect(await eventually(within: .milliseconds(500)) { !discovery.instances("new").isEmpty })
            #expect(discovery.status.current.isReachable)
            #expect(
                await eventually(within: .milliseconds(500)) {
                    center.questions.count { $0.isBatch && $0.body.contains("\"old\"") } > asked
                })
            // Whoever registers is told, since the registry may have come back without anything.
            guard case .registryReturned = await discovery.registrar.receive() else {
                Issue.record("not told")
                return
            }
        }
    }

    @Test("a registry that has lost the one who asks says so in the middle of a text, and takes nothing away")
    func lostConsumer() async throws {
        let isWiped = Mutex(false)
        let center = try await ScriptedCenter.start { question in
            guard question.isBatch else { return (200, "{}") }
            guard isWiped.withLock({ $0 }) else { return found([(0, "i1")]) }
            return question.head.lowercased().contains("x-consumerid: s1")
                ? failed([0], "400012", "Micro-service does not exist(Consumer[S1] does not exist.)")
                : failed([0], "400012", "/default/shop/cart does not exist.")
        }
        let discovery = Discovery(center, interval: .milliseconds(50))
        discovery.state.update { $0.serviceID = "S1" }
        discovery.want("cart")
        try await discovery.run {
            #expect(await eventually { discovery.instances("cart") == ["i1"] })
            isWiped.withLock { $0 = true }
            #expect(await eventually { discovery.state.current.serviceID == nil })
            let asked = center.questions.count
            #expect(await eventually { center.questions.count > asked + 20 })
            #expect(discovery.instances("cart") == ["i1"])
        }
    }

    @Test("a registry that has lost the own instance is not believed, even when the service has the same id again")
    func lostInstance() async throws {
        let isWiped = Mutex(false)
        let center = try await ScriptedCenter.start { question in
            guard question.isBatch else { return (200, "{}") }
            return isWiped.withLock { $0 }
                ? failed([0], "400012", "/default/shop/cart does not exist.") : found([(0, "i1")])
        }
        let discovery = Discovery(center, interval: .milliseconds(50))
        discovery.state.update { $0.serviceID = "S1" }
        discovery.want("cart")
        try await discovery.run {
            #expect(await eventually { discovery.instances("cart") == ["i1"] })
            // As the registrar leaves it after both have come back.
            discovery.state.update { $0.losses += 1 }
            isWiped.withLock { $0 = true }
            let asked = center.questions.count
            #expect(await eventually { center.questions.count > asked + 20 })
            #expect(discovery.instances("cart") == ["i1"])
        }
    }

    @Test("services of other applications are asked for where they are wanted, and stand beside those of the own one")
    func applications() async throws {
        let center = try await ScriptedCenter.start { question in
            guard question.isBatch else { return (200, "{}") }
            let apps = question.services.map { $0.appId ?? "" }
            return found(apps.enumerated().filter { $0.element != "none" }.map { ($0.offset, "i-\($0.element)") })
        }
        let discovery = Discovery(center)
        discovery.want("cart")
        try await discovery.run {
            #expect(await eventually { discovery.instances("cart") == ["i-shop"] })
            let other = ServiceDemand(app: "other", name: "cart")
            #expect(!discovery.snapshot.current.settles(other, at: .now()))
            discovery.want("cart", of: "other")
            #expect(await eventually { discovery.instances("cart") == ["i-other", "i-shop"] })
            #expect(discovery.snapshot.current.settles(other, at: .now()))
            #expect(discovery.snapshot.current["cart"]?.instances.map(\.app).sorted() == ["other", "shop"])
            #expect(discovery.snapshot.current["cart"]?.defaultEndpoints.endpoints.count == 1)
        }
    }

    @Test("of a service whose host is being looked up more is expected, and what was known of it stands meanwhile")
    func pendingHost() async throws {
        let center = try await ScriptedCenter.start { question in
            guard question.isBatch else { return (200, "{}") }
            return found(
                question.services.enumerated().map { ($0.offset, "i-\($0.element.appId ?? "")") },
                at: question.services.contains { $0.appId == "other" } ? "rest://slow:1" : "rest://10.0.0.1:1")
        }
        let answer = DispatchSemaphore(value: 0)
        let names = NameResolver { _ in
            answer.wait()
            return ["10.0.0.2"]
        }
        let discovery = Discovery(center, resolver: names)
        discovery.want("cart")
        try await discovery.run {
            #expect(await eventually { discovery.instances("cart") == ["i-shop"] })
            let other = ServiceDemand(app: "other", name: "cart")
            discovery.want("cart", of: "other")
            #expect(await eventually { center.questions.contains { $0.body.contains("other") } })
            // Whose answer comes after that one.
            discovery.want("next")
            #expect(await eventually { discovery.instances("next") == ["i-shop"] })
            #expect(!discovery.snapshot.current.settles(other, at: .now()))
            #expect(discovery.instances("cart") == ["i-shop"])
            answer.signal()
            #expect(await eventually { discovery.instances("cart") == ["i-other", "i-shop"] })
            #expect(discovery.snapshot.current.settles(other, at: .now()))
        }
    }

    @Test("instances that refuse have the registry asked at once, and not with every request")
    func refusals() async throws {
        let name = Mutex("i1")
        let center = try await ScriptedCenter.start { question in
            question.isBatch ? found([(0, name.withLock { $0 })]) : (200, "{}")
        }
        let discovery = Discovery(center)
        discovery.want("cart")
        try await discovery.run {
            #expect(await eventually { discovery.instances("cart") == ["i1"] })
            name.withLock { $0 = "i2" }
            for _ in 0..<50 { discovery.inbox.send(.serviceRefuses(ServiceDemand(app: "shop", name: "cart"))) }
            #expect(await eventually(within: .seconds(2)) { discovery.instances("cart") == ["i2"] })
            #expect(center.questions.filter(\.isBatch).count == 2)
        }
    }

    @Test("an empty answer is confirmed before it empties, and soon")
    func empties() async throws {
        let isEmpty = Mutex(false)
        let center = try await ScriptedCenter.start { question in
            guard question.isBatch else { return (200, "{}") }
            return isEmpty.withLock { $0 }
                ? (200, #"{"services":{"updated":[{"index":0,"rev":"r2"}]}}"#) : found([(0, "i1")])
        }
        let discovery = Discovery(center)
        discovery.want("cart")
        try await discovery.run {
            #expect(await eventually { discovery.instances("cart") == ["i1"] })
            isEmpty.withLock { $0 = true }
            discovery.inbox.send(.caughtUp)
            #expect(await eventually { center.questions.filter(\.isBatch).count == 2 })
            #expect(discovery.instances("cart") == ["i1"])
            #expect(await eventually(within: .seconds(3)) { discovery.instances("cart") == [] })
            #expect(center.questions.filter(\.isBatch).count == 3)
        }
    }

    /// As a service-center 2.2 with access control does.
    @Test(
        "who asks nobody is ready though its account may not look at the health of the registry", arguments: [200, 403])
    func health(status: Int) async throws {
        let claims = Data(#"{"exp":99999999999}"#.utf8).base64EncodedString()
        let center = try await ScriptedCenter.start { question in
            if question.path == "/v4/token" { return (200, #"{"token":"e30.\#(claims).c2ln"}"#) }
            if question.path.hasSuffix("/health") {
                return question.head.lowercased().contains("authorization") || status == 403
                    ? (403, #"{"errorCode":"403205","errorMessage":"No permission(s)"}"#) : (200, "{}")
            }
            return (200, "{}")
        }
        let discovery = Discovery(center, account: .init(name: "dev", password: "p"))
        try await discovery.run {
            #expect(await eventually(within: .seconds(20)) { discovery.snapshot.current.isSynced })
            #expect(discovery.status.current.failure == nil)
            #expect(center.questions("GET", "/health").allSatisfy { !$0.head.lowercased().contains("authorization") })
        }
    }

    @Test("any other answer proves as well that the registry is there")
    func proof() async throws {
        let center = try await ScriptedCenter.start { question in
            question.path.hasSuffix("/health") ? (404, "404 page not found") : (200, "{}")
        }
        let discovery = Discovery(center)
        _ = try await discovery.client.services()
        try await discovery.run {
            #expect(await eventually(within: .seconds(2)) { discovery.snapshot.current.isSynced })
        }
    }

    @Test("a server that answers everything with a page is no registry")
    func page() async throws {
        let center = try await ScriptedCenter.start { _ in (200, "<html>welcome</html>") }
        let discovery = Discovery(center)
        try await discovery.run {
            #expect(await eventually { discovery.status.current.failure != nil })
            #expect(!discovery.snapshot.current.isSynced)
            await #expect(throws: ServiceCenterClient.Failure.self) { try await discovery.client.ping() }
            #expect(await discovery.client.answers == 0)
        }
    }

    @Test("a registry that keeps the list of all names to itself answers for one name all the same")
    func spelling() async throws {
        let center = try await ScriptedCenter.start { question in
            if question.path.hasSuffix("/microservices") {
                return (403, #"{"errorCode":"403205","errorMessage":"No permission(s)"}"#)
            }
            guard question.isBatch else { return (200, "{}") }
            return failed(Array(question.services.indices), "400012", "no such service")
        }
        let discovery = Discovery(center)
        discovery.want("nosuch")
        try await discovery.run {
            #expect(await eventually { discovery.absence("nosuch") == .unknown })
            discovery.want("neither")
            #expect(await eventually { discovery.absence("neither") == .unknown })
            #expect(discovery.status.current.isReachable && discovery.status.current.failure == nil)
            #expect(center.questions("GET", "/microservices").count == 1)
        }
    }

    @Test("what was saved is for its owner alone, and for the applications that it came from")
    func cache() async throws {
        let directory = FileManager.default.temporaryDirectory.appendingPathComponent("state-\(UUID().uuidString)").path
        defer { try? FileManager.default.removeItem(atPath: directory) }
        let quiet = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        let cache = DiscoveryCache(directory: directory, owner: ["shop"], registry: "r", logger: quiet)
        let instance = InstanceEntity(instanceId: "i1", endpoints: ["rest://10.0.0.1:80"], version: "1.0.0")
        let services = [
            ServiceDemand(app: "shop", name: "cart"): [instance], ServiceDemand(app: "a", name: "cart"): [],
        ]
        for _ in 0..<2 {
            try cache.save(services)
            let mode = try FileManager.default.attributesOfItem(atPath: cache.path)[.posixPermissions] as? Int
            #expect(mode == 0o600)
        }
        #expect(cache.load() == services)
        let saved = ServiceCenterRegistry.Saved(cache).directory(app: "shop")
        #expect(saved["cart"]?.instances.map(\.app) == ["shop"] && saved.isSynced)
        #expect(saved.settles(ServiceDemand(app: "a", name: "cart"), at: .now()))
    }
}

@Suite struct DiscoveryCacheTests {
    @Test("what keeps services from being saved is told in the system's words")
    func failure() throws {
        let quiet = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        let cache = DiscoveryCache(directory: "/proc/nowhere", owner: ["shop"], registry: "r", logger: quiet)
        let failure = try #require(throws: StateFile.Failure.self) { try cache.save([:]) }
        #expect(failure.description == "No such file or directory")
    }
}

@Suite(.timeLimit(.minutes(1))) struct FailureTextTests {
    private func failure(_ address: String) async -> String {
        let client = ServiceCenterClient(
            addresses: [address], project: "default", tenant: "default", loops: MultiThreadedEventLoopGroup.singleton,
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        var text = "none"
        do {
            _ = try await client.services()
        } catch {
            text = "\(error)"
        }
        await client.close()
        return text
    }

    @Test("a registry that cannot be reached is told in words")
    func connecting() async throws {
        let port = try await TestSidecar.freePort()
        #expect(await self.failure("http://127.0.0.1:\(port)") == "http://127.0.0.1:\(port): connection refused")
        let closing = try await ScriptedCenter.start { _ in nil }
        #expect(
            await self.failure(closing.address)
                == "\(closing.address): the connection was closed before the answer")
        await closing.stop()
        // Spoken to without TLS, it answers without TLS.
        let plain = try await ScriptedCenter.start { _ in (200, "{}") }
        let secure = plain.address.replacing("http:", with: "https:")
        let text = await self.failure(secure)
        #expect(text.hasPrefix("\(secure): ") && !text.contains("/swift-nio") && !text.contains("("), "\(text)")
        await plain.stop()
    }

    @Test(
        "an answer that is an error, or none, is told in words",
        arguments: [
            (
                400,
                #"{"errorCode":"400026","errorMessage":"Micro-service version does not exist","detail":"/default/prov/2.0.0"}"#,
                "400026 Micro-service version does not exist: /default/prov/2.0.0"
            ),
            (503, "", "ADDRESS answers 503"),
            (
                500, #"{"errorCode":"500003","errorMessage":"Internal server error"}"#,
                "ADDRESS answers 500003 Internal server error"
            ),
            (404, "404 page not found", "ADDRESS has no such call: it may be no service-center"),
            (302, "", "ADDRESS answers 302, and not as a service-center does"),
            (200, "{", "the answer makes no sense"),
            (200, #"{"services":[{"serviceId":5}]}"#, "the answer makes no sense, member services.0.serviceId"),
        ])
    func answers(status: Int, body: String, text: String) async throws {
        let center = try await ScriptedCenter.start { _ in (status, body) }
        #expect(await self.failure(center.address) == text.replacing("ADDRESS", with: center.address))
        await center.stop()
    }
}
