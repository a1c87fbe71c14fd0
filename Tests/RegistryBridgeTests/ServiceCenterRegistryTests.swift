// SPDX-License-Identifier: Apache-2.0

import Foundation
import LocalRegistry
import Logging
import NIOPosix
import Synchronization
import TestSupport
import Testing

@testable import Common
@testable import RegistryBridge

private let quiet = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

/// A service-center on a port of its own, which can be stopped and started again without what it knew.
private final class ServiceCenterContract: RegistryContract {
    private struct Registered {
        let service: String
        let instance: String
        let description: String
    }

    let loops = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    let inbox = Mailbox<RegistryMessage>("registry", capacity: 16, whenFull: .dropNewest)
    let status = RegistryStatus()
    let client: ServiceCenterClient
    /// Has not failed when the registry under test has, and so waits for nothing.
    let writer: ServiceCenterClient
    let port: Int
    let directory = FileManager.default.temporaryDirectory.appendingPathComponent("state-\(UUID().uuidString)").path
    private let serving = Mutex<Task<Void, any Error>?>(nil)
    private let registered = Mutex<[Registered]>([])

    init(port: Int, pace: Reconnect.Pace = .usual) {
        self.port = port
        let loops = self.loops
        func client(_ pace: Reconnect.Pace) -> ServiceCenterClient {
            ServiceCenterClient(
                addresses: ["http://127.0.0.1:\(port)"], project: "default", tenant: "default", pace: pace,
                loops: loops, logger: quiet)
        }
        self.client = client(pace)
        self.writer = client(.usual)
    }

    var registry: any Registry {
        let cache = DiscoveryCache(directory: self.directory, owner: ["shop"], registry: "r", logger: quiet)
        return ServiceCenterRegistry(
            .init(app: "shop", environment: "", interval: .milliseconds(50), isWatching: false), client: self.client,
            registration: RegistrationState(), registrar: Mailbox("registrar", capacity: 1, whenFull: .dropOldest),
            inbox: self.inbox, status: self.status, cache: cache, saved: .init(cache), loops: self.loops,
            logger: quiet)
    }

    func want(_ service: String) { self.inbox.send(.serviceWanted(ServiceDemand(app: "shop", name: service))) }

    func set(_ services: [String: [ContractInstance]]) async throws {
        if self.serving.withLock({ $0 == nil }) { try await self.serve() }
        let wanted = services.flatMap { name, instances in
            instances.map { (name: name, instance: $0, description: "\(name) \($0)") }
        }
        let before = self.registered.withLock { $0 }
        for (name, instance, description) in wanted where !before.contains(where: { $0.description == description }) {
            let entity = ServiceEntity(appId: "shop", serviceName: name, version: instance.version)
            let service = try await self.writer.register(entity)
            let made = InstanceEntity(
                instanceId: "i\(instance.port)", endpoints: ["rest://10.0.0.1:\(instance.port)"], hostName: "h",
                status: instance.status)
            try await self.writer.register(made, of: service)
            self.registered.withLock {
                $0.append(Registered(service: service, instance: "i\(instance.port)", description: description))
            }
        }
        for old in before where !wanted.contains(where: { $0.description == old.description }) {
            try await self.writer.remove(old.instance, of: old.service, timeout: .seconds(2))
            self.registered.withLock { $0.removeAll { $0.description == old.description } }
        }
    }

    func damage() async throws {
        let serving = self.serving.withLock { $0.take() }
        serving?.cancel()
        _ = await serving?.result
        self.registered.withLock { $0 = [] }
        try await Self.wait { !self.status.current.isReachable }
    }

    private func serve() async throws {
        let (started, start) = AsyncStream.makeStream(of: Int.self)
        let component = LocalRegistryComponent(
            address: try ListenAddress("127.0.0.1:\(self.port)"), version: "1", loops: self.loops
        ) { start.yield($0) }
        self.serving.withLock { $0 = Task { try await component.run() } }
        for await _ in started { break }
    }

    func stop() async throws {
        self.serving.withLock { $0.take() }?.cancel()
        await self.client.close()
        await self.writer.close()
        try? FileManager.default.removeItem(atPath: self.directory)
    }
}

@Suite(.timeLimit(.minutes(1))) struct ServiceCenterRegistryTests {
    @Test("keeps the registry contract")
    func contract() async throws {
        let contract = ServiceCenterContract(port: try await TestSidecar.freePort())
        try await contract.check()
        try await contract.stop()
    }

    @Test("a registry that has served for a while is found soon after it was away, however long it was away before")
    func anew() async throws {
        // A tenth of the pauses; one answer is trusted, since how long it takes otherwise is a matter of `Reconnect` alone.
        let usual = Reconnect.Pace.usual.scaled(by: 0.1)
        let pace = Reconnect.Pace(
            first: usual.first, longest: usual.longest, life: .zero, mostAsked: usual.mostAsked)
        let contract = ServiceCenterContract(port: try await TestSidecar.freePort(), pace: pace)
        let snapshot = TestPublisher()
        let registry = contract.registry
        try await contract.set([:])
        let following = Task { try await registry.follow(snapshot.publisher) }
        #expect(await eventually { contract.status.current.isReachable })
        // Away until the pauses are long.
        try await contract.damage()
        #expect(await eventually { await contract.client.pause > usual.first * 5 })
        try await contract.set([:])
        #expect(await eventually { contract.status.current.isReachable })
        try await contract.damage()
        #expect(await eventually { !contract.status.current.isReachable })
        try await contract.set([:])
        #expect(await eventually(within: .seconds(1)) { contract.status.current.isReachable })
        following.cancel()
        _ = await following.result
        try await contract.stop()
    }

    @Test(
        "reads the answers of a service-center 2.1",
        arguments: [
            (
                #"{"services":{"failed":[{"indexes":[1],"error":{"errorCode":"400012","errorMessage":"Micro-service does not exist","detail":"…"}}],"updated":[{"index":0,"rev":"7c02266a09a9bdca6e5aeba7ae1a18bd6899ecfe","instances":[{"instanceId":"I1","serviceId":"S1","endpoints":["rest://127.0.0.1:38082?sslEnabled=false","grpc://127.0.0.1:38083"],"hostName":"h1","status":"UP","properties":{"nodeIP":"127.0.0.1"},"healthCheck":{"mode":"push","interval":30,"times":3},"timestamp":"1795457488","dataCenterInfo":{"name":"dc1","region":"dc1","availableZone":"az1"},"modTimestamp":"1795457488","version":"1.0.0"}]}]}}"#,
                updated: [0], unmodified: [], failed: [1]
            ),
            (#"{"services":{"notModified":[0]}}"#, updated: [], unmodified: [0], failed: []),
            (#"{"services":{}}"#, updated: [], unmodified: [], failed: []),
        ])
    func answers(text: String, updated: [Int], unmodified: [Int], failed: [Int]) throws {
        let lists = try #require(JSONDecoder().decode(FindBodies.Answer.self, from: Data(text.utf8)).services)
        #expect((lists.updated ?? []).compactMap(\.index) == updated)
        #expect((lists.notModified ?? []) == unmodified)
        #expect((lists.failed ?? []).flatMap { $0.indexes ?? [] } == failed)
        for instance in (lists.updated ?? []).flatMap({ $0.instances ?? [] }) {
            #expect(try instance.endpoints?.map { try Endpoint($0).port } == [38082, 38083])
        }
    }

    /// Each was sent by a service-center 2.1; ids are shortened.
    @Test("reads everything else that a service-center 2.1 says")
    func captured() throws {
        func read<Body: Decodable>(_ type: Body.Type, _ text: String) throws -> Body {
            try JSONDecoder().decode(type, from: Data(text.utf8))
        }
        let health = try read(
            InstanceBodies.Many.self,
            #"{"instances":[{"instanceId":"2d6b719e2d0c4c84880d025adf7a9ed7","serviceId":"b87ed41a0690049986ba8983b16a2f6c17a1d63f","endpoints":["rest://127.0.0.1:30100/"],"hostName":"vm","status":"UP","healthCheck":{"mode":"push","interval":30,"times":3},"timestamp":"1795457188","modTimestamp":"1795457188","version":"2.1.0"}]}"#
        )
        let member = try #require(health.instances?.first?.endpoints?.first)
        #expect(try Endpoint(member).port == 30100)
        #expect(try Endpoint("rest://127.0.0.1:30130/?sslEnabled=true").usesTLS)
        #expect(try read(ServiceBodies.Identity.self, #"{"serviceId":"S1"}"#).serviceId == "S1")
        #expect(try read(InstanceBodies.Identity.self, #"{"instanceId":"I1"}"#).instanceId == "I1")
        let service = try read(
            ServiceBodies.One.self,
            #"{"service":{"appId":"default","serviceName":"helloprov","version":"0.0.1","status":"UP","properties":{"allowCrossApp":"true"},"alias":"default:helloprov","registerBy":"SIDECAR","framework":{"name":"Mesher","version":"latest"}}}"#
        )
        #expect(service.service?.properties == ["allowCrossApp": "true"])
        let beats = try read(
            InstanceBodies.Heartbeats.self,
            #"{"instances":[{"serviceId":"S1","instanceId":"I1"},{"serviceId":"S1","instanceId":"nosuch","errMessage":"Instance does not exist(leaseId not exist, instance not exist)"}]}"#
        )
        #expect(beats.instances?.map { $0.errMessage == nil } == [true, false])
        // Empty collections are left out.
        #expect(try read(ServiceBodies.Many.self, "{}").services == nil)
        #expect(try read(InstanceBodies.Many.self, "{}").instances == nil)
        #expect(try read(ServiceBodies.Everything.self, "{}").allServicesDetail == nil)
        for action in ["CREATE", "UPDATE", "DELETE"] {
            let event = try read(
                WatchEvent.self,
                #"{"action":"\#(action)","key":{"tenant":"default/default","appId":"default","serviceName":"wprov","version":"1.0.0"},"instance":{"instanceId":"w-2","serviceId":"S2","endpoints":["rest://127.0.0.1:41002"],"hostName":"h1","status":"UP","healthCheck":{"mode":"push","interval":5,"times":3},"timestamp":"1795457557","modTimestamp":"1795457557","version":"1.0.0"}}"#
            )
            #expect(event.action == action && event.key?.serviceName == "wprov")
            #expect(event.instance?.healthCheck?.interval == 5)
        }
    }

    /// The wrapped one was sent by a service-center 2.2 in a batch answer.
    @Test(
        "reads the errors of a service-center, and whom they are about",
        arguments: [
            (
                #"{"errorCode":"400012","errorMessage":"Micro-service does not exist","detail":"/default/helloprov/0.0.1 does not exist."}"#,
                isAbout: false, text: "400012 Micro-service does not exist: /default/helloprov/0.0.1 does not exist."
            ),
            (
                #"{"errorCode":"400012","errorMessage":"Micro-service does not exist","detail":"Consumer[C1] does not exist."}"#,
                isAbout: true, text: "400012 Micro-service does not exist: Consumer[C1] does not exist."
            ),
            (
                #"{"errorCode":"400012","errorMessage":"Micro-service does not exist","detail":"Micro-service does not exist(Consumer[C1] does not exist.)"}"#,
                isAbout: true,
                text: "400012 Micro-service does not exist: Micro-service does not exist(Consumer[C1] does not exist.)"
            ),
            (
                #"{"errorCode":"400012","errorMessage":"Micro-service does not exist","detail":"Consumer[C1][/default/web/1.0.0] find provider[/default/nosuch/0+] failed."}"#,
                isAbout: false,
                text:
                    "400012 Micro-service does not exist: Consumer[C1][/default/web/1.0.0] find provider[/default/nosuch/0+] failed."
            ),
            (#"{"errorCode":"500003"}"#, isAbout: false, text: "500003"),
            ("{}", isAbout: false, text: "an error without a word"),
        ])
    func errors(json: String, isAbout: Bool, text: String) throws {
        let error = try JSONDecoder().decode(ServiceCenterError.self, from: Data(json.utf8))
        #expect(error.isAbout(consumer: "C1") == isAbout)
        #expect(!error.isAbout(consumer: "C2") && !error.isAbout(consumer: nil))
        #expect("\(error)" == text)
    }
}

@Suite struct DiscoveryStateTests {
    private static let cart = ServiceDemand(app: "shop", name: "cart")
    private static let nosuch = ServiceDemand(app: "shop", name: "nosuch")

    private let start = ContinuousClock.now
    /// When an empty answer that came at the start is believed.
    private var confirmed: ContinuousClock.Instant { self.start + DiscoveryState.confirmation }

    private func instances(_ ids: [String], status: String = "UP") -> [InstanceEntity] {
        ids.map { InstanceEntity(instanceId: $0, endpoints: ["rest://10.0.0.1:80"], status: status, version: "1.0.0") }
    }

    private func state(_ ids: [String]) -> DiscoveryState {
        var state = DiscoveryState()
        _ = state.apply([(Self.cart, .found(self.instances(ids), revision: "r1"))], at: self.start)
        _ = state.takeChanges()
        return state
    }

    private func ids(_ state: DiscoveryState) -> [String] {
        (state.entries[Self.cart]?.instances ?? []).compactMap(\.instanceId).sorted()
    }

    @Test("only what has changed is published anew")
    func changes() {
        var state = self.state(["a", "b"])
        #expect(state.apply([(Self.cart, .unchanged)], at: self.start) == [])
        _ = state.apply([(Self.cart, .found(self.instances(["a", "b"]), revision: "r2"))], at: self.start)
        #expect(state.takeChanges() == [])
        #expect(state.entries[Self.cart]?.revision == "r2")
        _ = state.apply([(Self.cart, .found(self.instances(["a"]), revision: "r3"))], at: self.start)
        #expect(state.takeChanges() == [Self.cart])
        #expect(self.ids(state) == ["a"])
    }

    @Test("failures remove nothing and mark what is known as stale; a service that is gone goes")
    func failures() {
        var state = self.state(["a", "b"])
        #expect(state.apply([(Self.cart, .failed)], at: self.start) == [])
        #expect(self.ids(state) == ["a", "b"] && state.staleServices == 1)
        _ = state.apply([(Self.cart, .unchanged)], at: self.start)
        #expect(state.staleServices == 0)
        #expect(state.apply([(Self.cart, .unknown), (Self.nosuch, .unknown)], at: self.start) == [Self.nosuch])
        #expect(state.apply([(Self.cart, .unknown)], at: self.confirmed) == [Self.cart])
        #expect(state.entries.isEmpty && state.takeChanges() == [Self.cart])
    }

    @Test("most of more than five instances do not vanish at once, unless the registry insists for five minutes")
    func hold() {
        let six = ["a", "b", "c", "d", "e", "f"]
        var state = self.state(six)
        let gone = [(Self.cart, DiscoveryState.Answer.found(self.instances(["a"]), revision: "r2"))]
        _ = state.apply(gone, at: self.start)
        #expect(self.ids(state) == six && state.heldInstances == 5)
        #expect(state.entries[Self.cart]?.revision == nil)
        _ = state.apply(gone, at: self.start + .seconds(299))
        #expect(self.ids(state) == six)
        _ = state.apply(gone, at: self.start + .seconds(300))
        #expect(self.ids(state) == ["a"] && state.heldInstances == 0)

        // A registry that has lost something else is believed nothing of the kind.
        state = self.state(["a"])
        #expect(state.apply([(Self.cart, .unknown)], isDoubtful: true, at: self.start) == [])
        #expect(self.ids(state) == ["a"] && state.heldInstances == 1)
        #expect(state.apply([(Self.cart, .unknown)], at: self.start + .seconds(121)) == [Self.cart])

        // Half of them may go, few may go, and those that others replace are not missed.
        state = self.state(six)
        _ = state.apply([(Self.cart, .found(self.instances(["a", "b", "c"]), revision: nil))], at: self.start)
        #expect(self.ids(state) == ["a", "b", "c"])
        _ = state.apply([(Self.cart, .unknown)], at: self.start)
        _ = state.apply([(Self.cart, .unknown)], at: self.confirmed)
        #expect(state.entries.isEmpty)
        state = self.state(six)
        let others = ["u", "v", "w", "x", "y", "z"]
        _ = state.apply([(Self.cart, .found(self.instances(others), revision: nil))], at: self.start)
        #expect(self.ids(state) == others)
    }

    @Test("the last usable instances are held on demand, until they are released or five minutes are over")
    func last() {
        var state = DiscoveryState(holdsLast: true)
        _ = state.apply([(Self.cart, .found(self.instances(["a", "b"]), revision: "r1"))], at: self.start)
        _ = state.apply([(Self.cart, .found(self.instances(["b"]), revision: "r2"))], at: self.start)
        #expect(self.ids(state) == ["b"] && state.heldInstances == 0)
        let down = self.instances(["c"], status: "DOWN")
        _ = state.apply([(Self.cart, .found(down, revision: "r3"))], at: self.start)
        #expect(self.ids(state) == ["b", "c"] && state.held.map(\.instance.instanceId) == ["b"])
        state.release("c", of: Self.cart)
        #expect(self.ids(state) == ["b", "c"])
        state.release("b", of: Self.cart)
        #expect(self.ids(state) == ["c"] && state.heldInstances == 0)
        _ = state.apply([(Self.cart, .found(self.instances(["d"]), revision: "r4"))], at: self.start)
        #expect(state.apply([(Self.cart, .unknown)], at: self.start + .seconds(10)) == [])
        #expect(self.ids(state) == ["d"])
        #expect(state.apply([(Self.cart, .unknown)], at: self.start + .seconds(310)) == [Self.cart])
    }

    @Test("events are obeyed at once, whatever they take away")
    func events() throws {
        var state = self.state(["a", "b", "c", "d", "e", "f"])
        func event(_ action: String, _ instance: InstanceEntity?, app: String = "shop") -> WatchEvent {
            WatchEvent(
                action: action,
                key: .init(
                    tenant: "default/default", environment: nil, appId: app, serviceName: "cart", alias: nil,
                    version: "1.0.0"),
                instance: instance)
        }
        for id in ["a", "b", "c", "d", "e"] {
            #expect(state.apply(event("DELETE", InstanceEntity(instanceId: id))) == .publish)
        }
        #expect(self.ids(state) == ["f"] && state.heldInstances == 0)
        #expect(state.apply(event("UPDATE", self.instances(["f"], status: "DOWN").first)) == .publish)
        #expect(state.entries[Self.cart]?.instances.map(\.status) == ["DOWN"])
        var bare = InstanceEntity(instanceId: "g", endpoints: ["rest://10.0.0.1:81"])
        bare.status = "UP"
        #expect(state.apply(event("CREATE", bare)) == .publish)
        #expect(state.entries[Self.cart]?.instances.last?.version == "1.0.0")
        #expect(state.apply(event("CREATE", bare, app: "other")) == .nothing)
        // Without an instance, or with a word that nobody knows, everything is asked for.
        #expect(state.apply(event("EXPIRE", nil)) == .ask)
        #expect(state.entries[Self.cart]?.revision == nil)
        #expect(state.apply(event("SOMETHING", bare)) == .ask)
        let text = #"{"action":"ERROR"}"#
        #expect(state.apply(try JSONDecoder().decode(WatchEvent.self, from: Data(text.utf8))) == .ask)
    }

    @Test("a service that nobody has used for ten minutes is forgotten")
    func idle() {
        var state = self.state(["a"])
        state.use(["cart", "nosuch"], at: self.start + .seconds(100))
        state.forgetUnused(at: self.start + .seconds(700))
        #expect(self.ids(state) == ["a"])
        state.forgetUnused(at: self.start + .seconds(701))
        #expect(state.entries.isEmpty && state.takeChanges() == [Self.cart])
    }

    @Test("an answer without instances is believed when it is given again", arguments: [true, false])
    func empties(isKnown: Bool) {
        let empty: [DiscoveryState.Answered] = [(Self.cart, isKnown ? .found([], revision: "r2") : .unknown)]
        var state = self.state(["a", "b"])
        _ = state.apply(empty, at: self.start)
        #expect(self.ids(state) == ["a", "b"] && state.takeChanges().isEmpty)
        // Whole, so that the next answer is not "nothing new".
        #expect(state.entries[Self.cart]?.revision == nil)
        #expect(state.nextConfirmation == self.confirmed && state.unconfirmed(at: self.start).isEmpty)
        #expect(state.unconfirmed(at: self.confirmed) == [Self.cart])
        // At the same moment it is the same answer.
        _ = state.apply(empty, at: self.start + .milliseconds(10))
        #expect(self.ids(state) == ["a", "b"])
        _ = state.apply(empty, at: self.confirmed)
        #expect(self.ids(state).isEmpty && state.takeChanges() == [Self.cart] && state.nextConfirmation == nil)

        // Another answer, or none, is no confirmation.
        for other in [DiscoveryState.Answer.found(self.instances(["a"]), revision: "r3"), .failed] {
            state = self.state(["a"])
            _ = state.apply(empty, at: self.start)
            _ = state.apply([(Self.cart, other)], at: self.confirmed)
            #expect(self.ids(state) == ["a"] && state.nextConfirmation == nil)
            _ = state.apply(empty, at: self.start + .seconds(30))
            #expect(self.ids(state) == ["a"])
        }
        state = self.state(["a"])
        _ = state.apply(empty, at: self.start)
        state.markStale()
        #expect(state.nextConfirmation == nil)
    }

    @Test("a refused name is unknown, and takes nothing away")
    func refused() {
        var state = self.state(["a"])
        #expect(state.apply([(Self.cart, .refused), (Self.nosuch, .refused)], at: self.start) == [Self.nosuch])
        #expect(self.ids(state) == ["a"] && state.staleServices == 1)
    }

    @Test("services of one name in two applications are two")
    func applications() {
        let other = ServiceDemand(app: "other", name: "cart")
        var state = self.state(["a"])
        _ = state.apply([(other, .found(self.instances(["b"]), revision: "r1"))], at: self.start)
        #expect(self.ids(state) == ["a"] && state.entries[other]?.instances.count == 1)
        #expect(state.takeChanges() == [other])
        state.use(["cart"], at: self.start + .seconds(600))
        state.forgetUnused(at: self.start + .seconds(1_000))
        #expect(state.entries.count == 2)
    }

    @Test("instances that refuse have the registry asked at once, then less and less often until something changes")
    func refusals() {
        var state = self.state(["a"])
        func mayAsk(_ demand: ServiceDemand, _ seconds: Double) -> Bool {
            state.mayAsk(demand, at: self.start + .seconds(seconds))
        }
        #expect(!mayAsk(Self.nosuch, 0))
        for (seconds, may) in [
            (0.0, true), (0.9, false), (1, true), (2.9, false), (3, true), (7, true), (15, true), (30, false),
            (31, true),
            (46, false), (47, true),
        ] {
            #expect(mayAsk(Self.cart, seconds) == may, "after \(seconds) s")
        }
        _ = state.apply([(Self.cart, .found(self.instances(["b"]), revision: "r2"))], at: self.start)
        #expect(mayAsk(Self.cart, 63))
        #expect(mayAsk(Self.cart, 64))
    }
}

@Suite struct RegistryLoginTests {
    private let start = ContinuousClock.now
    private let wall = Date(timeIntervalSince1970: 1_795_457_188)

    /// A token as the registry makes them; the signature is its own business.
    private func token(endingIn seconds: Double) -> String {
        let claims = "{\"account\":\"dev\",\"exp\":\(1_795_457_188 + Int(seconds)),\"roles\":[\"developer\"]}"
        let text = Data(claims.utf8).base64EncodedString()
        return "e30.\(text.replacing("=", with: "").replacing("+", with: "-").replacing("/", with: "_")).c2ln"
    }

    private func login() -> RegistryLogin {
        RegistryLogin(.init(name: "dev", password: "secret"))
    }

    @Test("a token is renewed after four fifths of its life, ten minutes before its end at the latest")
    func renewal() {
        for (life, renewal) in [(1_000.0, 400), (2_000.0, 1_400), (3_600.0, 2_880)] as [(Double, Int)] {
            var login = self.login()
            #expect(login.isDue(at: self.start))
            login.succeeded(self.token(endingIn: life), at: self.start, wall: self.wall)
            #expect(!login.isDue(at: self.start + .seconds(renewal - 1)))
            #expect(login.isDue(at: self.start + .seconds(renewal + 1)))
        }
    }

    @Test(
        "what is no token of this kind is believed to live half a day", arguments: ["opaque", "a.b.c", "..", "a.%.c"])
    func opaque(token: String) {
        var login = self.login()
        login.succeeded(token, at: self.start, wall: self.wall)
        #expect(login.token == token)
        #expect(!login.isDue(at: self.start + .seconds(30_000)))
        #expect(login.isDue(at: self.start + .seconds(12 * 3600)))
    }

    @Test("a refused token is replaced at once, a refused account left alone for minutes")
    func refusals() {
        var login = self.login()
        login.succeeded(self.token(endingIn: 3_600), at: self.start, wall: self.wall)
        for code in [ServiceCenterError.Code.tokenUnusable, .tokenAbsent, .tokenExpired, .tokenRefused] {
            guard case .renew = login.refused(code) else {
                Issue.record("\(code) does not renew")
                continue
            }
            #expect(login.token == nil && login.isDue(at: self.start + .seconds(1)))
        }
        if case .renew = login.refused(nil) { Issue.record("an unknown code renews") }
        login.failed(.passwordWrong, at: self.start)
        #expect(!login.isDue(at: self.start + .seconds(299)) && login.isDue(at: self.start + .seconds(300)))
        login.failed(.accountBlocked, at: self.start)
        #expect(!login.isDue(at: self.start + .seconds(899)) && login.isDue(at: self.start + .seconds(900)))
        login.isNotNeeded(at: self.start)
        #expect(login.token == nil)
    }
}
