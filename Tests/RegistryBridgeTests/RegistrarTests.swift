// SPDX-License-Identifier: Apache-2.0

import Common
import Foundation
import Logging
import NIOPosix
import Synchronization
import TestSupport
import Testing

@testable import RegistryBridge

/// A registrar beside a service-center that a test scripts.
private final class Member: Sendable {
    let center: ScriptedCenter
    let client: ServiceCenterClient
    let state = RegistrationState()
    let health = LocalHealth()
    let inbox = Mailbox<RegistrarMessage>("registrar", capacity: 4, whenFull: .dropOldest)
    let registrar: RegistrarComponent

    /// What a sidecar with these settings registers.
    static func registration(_ settings: [String: String] = [:]) -> Registration {
        var source = ConfigSource(.files)
        let fixed = [
            "APPLICATION_ID": "shop", "service_description.name": "cart", "service_description.version": "2.0.0",
            "mesher.timeouts.farewell": "0s", "cse.protocols.http.listenAddress": "127.0.0.1:30101",
        ]
        for (key, value) in fixed.merging(settings, uniquingKeysWith: { $1 }) {
            source.add(key, .text(value, ConfigLocation("f")))
        }
        var reader = ConfigReader(ConfigStore([source]))
        return Registration(MesherConfig(&reader), version: "1")
    }

    init(_ center: ScriptedCenter, interval: Duration = .milliseconds(30), readiness: Readiness = Readiness([])) {
        self.center = center
        var registration = Self.registration()
        registration.interval = interval
        let quiet = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        self.client = ServiceCenterClient(
            addresses: [center.address], project: "default", tenant: "default",
            loops: MultiThreadedEventLoopGroup.singleton, logger: quiet)
        self.registrar = RegistrarComponent(
            registration, client: self.client, state: self.state, health: self.health, inbox: self.inbox,
            registry: Mailbox("registry", capacity: 4, whenFull: .dropOldest), readiness: readiness,
            logger: quiet)
    }

    /// The local application becomes well or ill.
    func set(isHealthy: Bool) {
        _ = self.health.set(.init(name: "tcp:1", isHealthy: isHealthy), at: 0)
        self.inbox.send(.localHealthChanged)
    }

    /// Runs the registrar as long as `body` runs.
    func run(_ body: () async throws -> Void) async throws {
        try await whileRunning({ [registrar] in try await registrar.run() }, body)
        await self.client.close()
        await self.center.stop()
    }
}

/// What a service-center that has this service answers, but for its instance.
private func usual(_ question: ScriptedCenter.Question) -> ScriptedCenter.Answer {
    switch (question.method, question.path) {
    case ("GET", let path) where path.contains("/existence"): (200, #"{"serviceId":"S1"}"#)
    case ("GET", let path) where path.hasSuffix("/microservices/S1"):
        (200, #"{"service":{"properties":{"allowCrossApp":"false"}}}"#)
    default: (200, "")
    }
}

@Suite(.timeLimit(.minutes(1))) struct RegistrarTests {
    @Test(
        "a version that the registry has not seen yet is registered, whatever it calls that",
        arguments: ["400012", "400026"])
    func versions(code: String) async throws {
        let center = try await ScriptedCenter.start { question in
            if question.path.contains("/existence") {
                return (400, #"{"errorCode":"\#(code)","errorMessage":"Micro-service version does not exist"}"#)
            }
            return question.method == "POST" && question.path.hasSuffix("/microservices")
                ? (200, #"{"serviceId":"S2"}"#) : (200, "")
        }
        let member = Member(center)
        try await member.run {
            #expect(await eventually { member.state.isRegistered })
            #expect(center.questions("POST", "/microservices").first?.body.contains(#""version":"2.0.0""#) == true)
            #expect(center.questions("POST", "/microservices/S2/instances").count == 1)
        }
    }

    @Test(
        "after a registration whose answer was lost, the registry's status is looked at, since it keeps the first one")
    func lostAnswer() async throws {
        let posts = Mutex(0)
        let status = Mutex("")
        let center = try await ScriptedCenter.start { question in
            switch question.method {
            case "POST" where question.path.hasSuffix("/instances"):
                // Taken, and the answer is lost; the next one is a heartbeat, whose body counts for nothing.
                let isFirst = posts.withLock {
                    $0 += 1
                    return $0 == 1
                }
                guard isFirst else { return (200, #"{"instanceId":"I1"}"#) }
                status.withLock { $0 = question.body.contains(#""status":"DOWN""#) ? "DOWN" : "UP" }
                return nil
            case "GET" where question.path.contains("/instances/"):
                return (200, "{\"instance\":{\"status\":\"\(status.withLock { $0 })\"}}")
            case "PUT" where question.path.contains("/status?"):
                status.withLock { $0 = String(question.path.split(separator: "=").last ?? "") }
                return (200, "")
            default: return usual(question)
            }
        }
        let member = Member(center)
        member.set(isHealthy: false)
        try await member.run {
            #expect(await eventually { posts.withLock { $0 } == 1 })
            #expect(status.withLock { $0 } == "DOWN")
            member.set(isHealthy: true)
            #expect(await eventually { member.state.isRegistered })
            #expect(await eventually { status.withLock { $0 } == "UP" }, "\(center.questions)")
        }
    }

    @Test("a status that somebody else has set outlasts the instance, until they take it back")
    func operators() async throws {
        let status = Mutex("UP")
        let isLost = Mutex(false)
        let center = try await ScriptedCenter.start { question in
            switch question.method {
            case "PUT" where question.path.hasSuffix("/heartbeat") && isLost.withLock({ $0 }):
                return (400, #"{"errorCode":"400017","errorMessage":"Instance does not exist"}"#)
            case "POST" where question.path.hasSuffix("/instances"):
                isLost.withLock { $0 = false }
                let statuses = ["UP", "DOWN", "OUTOFSERVICE"]
                let sent = statuses.first { question.body.contains("\"status\":\"\($0)\"") }
                status.withLock { $0 = sent ?? "none" }
                return (200, #"{"instanceId":"I1"}"#)
            case "GET" where question.path.contains("/instances/"):
                return (200, "{\"instance\":{\"status\":\"\(status.withLock { $0 })\"}}")
            case "PUT" where question.path.contains("/status?"):
                status.withLock { $0 = String(question.path.split(separator: "=").last ?? "") }
                return (200, "")
            default: return usual(question)
            }
        }
        let member = Member(center)
        func lose(_ count: Int) async {
            isLost.withLock { $0 = true }
            #expect(await eventually { center.questions("POST", "/instances").count == count })
            #expect(await eventually { member.state.isRegistered })
        }
        try await member.run {
            #expect(await eventually { member.state.isRegistered })
            await lose(2)
            #expect(status.withLock { $0 } == "UP")
            status.withLock { $0 = "OUTOFSERVICE" }
            #expect(await eventually { member.state.current.decided == .outOfService })
            await lose(3)
            #expect(status.withLock { $0 } == "OUTOFSERVICE")
            // The application falls ill meanwhile; whoever takes the decision back gets the truth.
            member.set(isHealthy: false)
            await lose(4)
            #expect(await eventually { member.state.current.decided == .outOfService })
            #expect(status.withLock { $0 } == "OUTOFSERVICE")
            status.withLock { $0 = "UP" }
            #expect(await eventually { status.withLock { $0 } == "DOWN" })
            #expect(await eventually { member.state.current.decided == nil })
        }
    }

    @Test("a registry that wants to be left alone for longer than a lease lives is told that the instance lives")
    func pauses() async throws {
        let isBusy = Mutex(false)
        let center = try await ScriptedCenter.start { question in
            if isBusy.withLock({ $0 }) { return (429, "") }
            return usual(question)
        }
        let member = Member(center)
        try await member.run {
            #expect(await eventually { member.state.isRegistered })
            center.retryAfter.withLock { $0 = 60 }
            isBusy.withLock { $0 = true }
            #expect(await eventually { await member.client.pause > .seconds(30) })
            let beats = center.questions("PUT", "/heartbeat").count
            #expect(await eventually { center.questions("PUT", "/heartbeat").count > beats + 3 })
            // Nobody else may call meanwhile.
            let lists = center.questions("GET", "/microservices").count
            await #expect(throws: ServiceCenterClient.Failure.self) { _ = try await member.client.services() }
            #expect(center.questions("GET", "/microservices").count == lists)
        }
    }

    @Test("a registry that has come back without the instance has it again at once, not with the next heartbeat")
    func wiped() async throws {
        let isWiped = Mutex(false)
        let center = try await ScriptedCenter.start { question in
            if question.method == "POST" { isWiped.withLock { $0 = false } }
            guard question.path.hasSuffix("/heartbeat"), isWiped.withLock({ $0 }) else { return usual(question) }
            return (400, #"{"errorCode":"400017","errorMessage":"Instance does not exist"}"#)
        }
        let member = Member(center, interval: .seconds(3_000))
        try await member.run {
            #expect(
                await eventually { center.questions.contains { $0.method == "GET" && $0.path.contains("/instances/") } }
            )
            isWiped.withLock { $0 = true }
            member.inbox.send(.registryReturned)
            #expect(await eventually { center.questions("POST", "/instances").count == 2 })
        }
    }

    @Test("a stop during the registration ends it after its answer, so that nothing is left behind")
    func stopWhileRegistering() async throws {
        let gate = Gate()
        let isThere = Mutex(false)
        let center = try await ScriptedCenter.start { question in
            switch question.method {
            case "POST" where question.path.hasSuffix("/instances"):
                await gate.pass()
                isThere.withLock { $0 = true }
                return (200, #"{"instanceId":"I1"}"#)
            case "DELETE":
                let was = isThere.withLock { isThere in
                    defer { isThere = false }
                    return isThere
                }
                return was ? (200, "") : (400, #"{"errorCode":"400017","errorMessage":"Instance does not exist"}"#)
            default: return usual(question)
            }
        }
        let member = Member(center)
        try await member.run {
            #expect(await eventually { gate.arrived == 1 })
            let draining = Task { [registrar = member.registrar] in await registrar.drain() }
            #expect(await eventually { member.state.current.isLeaving })
            gate.open()
            await draining.value
            #expect(!isThere.withLock { $0 }, "\(center.questions)")
            #expect(center.questions.filter { $0.method == "DELETE" }.count == 1)
            #expect(!member.state.isRegistered)
        }
    }

    @Test("an end that has found nothing is repeated when the registration had no answer, until it finds something")
    func lateRegistration() async throws {
        let ends = Mutex(0)
        let center = try await ScriptedCenter.start { question in
            guard question.method == "DELETE" else { return usual(question) }
            let number = ends.withLock { value in
                value += 1
                return value
            }
            if number == 1 { return (400, #"{"errorCode":"400017","errorMessage":"Instance does not exist"}"#) }
            return (200, "")
        }
        let member = Member(center)
        member.state.update {
            $0.serviceID = "S1"
            $0.mayBeRegistered = true
        }
        await member.registrar.drain()
        #expect(ends.withLock { $0 } == 2 && !member.state.current.mayBeRegistered)
        await member.client.close()
        await center.stop()
    }

    @Test("taken out of service, it leaves the registry before the process stops, and the stop does it no second time")
    func leaves() async throws {
        let ends = Mutex(0)
        let center = try await ScriptedCenter.start { question in
            guard question.method == "DELETE" else { return usual(question) }
            // Away at first: it is asked again until it has answered.
            let isFirst = ends.withLock { count in
                count += 1
                return count == 1
            }
            return isFirst ? (500, "") : (200, "")
        }
        let readiness = Readiness([])
        let member = Member(center, readiness: readiness)
        try await member.run {
            #expect(await eventually { member.state.isRegistered })
            readiness.beginDraining()
            #expect(await eventually { ends.withLock { $0 } == 2 && !member.state.current.mayBeRegistered })
            // It goes on as a consumer, and does not come back.
            member.set(isHealthy: false)
            let posts = center.questions("POST", "/instances").count
            await member.registrar.drain()
            #expect(ends.withLock { $0 } == 2 && !member.state.isRegistered)
            #expect(center.questions("POST", "/instances").count == posts && member.state.current.serviceID == "S1")
        }
    }

    @Test("what is registered is what the registry takes")
    func registration() {
        #expect(Member.registration().service.alias == "shop:cart")
        #expect(Member.registration().instance.dataCenterInfo == nil)
        for (length, alias) in [(120, 128), (121, nil)] as [(Int, Int?)] {
            let name = String(repeating: "a", count: length)
            let settings = ["APPLICATION_ID": "default", "service_description.name": name]
            #expect(Member.registration(settings).service.alias?.utf8.count == alias)
        }
        // The scope decides who may call, whatever a property says.
        for (scope, property, allows) in [("full", "false", "true"), ("app", "true", "false")] {
            let settings = [
                "cse.service.registry.scope": scope, "service_description.properties.allowCrossApp": property,
            ]
            #expect(Member.registration(settings).service.properties?["allowCrossApp"] == allows)
        }
        // All of the place, or nothing.
        #expect(Member.registration(["region.name": "east"]).instance.dataCenterInfo == nil)
        let place = Member.registration(["region.name": "east", "region.availableZone": "e1"]).instance.dataCenterInfo
        #expect(place?.name == "east" && place?.region == "east" && place?.availableZone == "e1")
    }
}
