// SPDX-License-Identifier: Apache-2.0

import Common
import NIOCore
import NIOPosix
import Synchronization
import TestSupport
import Testing

@testable import RegistryBridge

private func directory(_ names: [String], known: [String]? = nil, absent: [String] = []) -> ServiceDirectory {
    func demand(_ name: String) -> ServiceDemand { ServiceDemand(app: "shop", name: name) }
    let absences = absent.map { (demand($0), ServiceDirectory.Absence(.unknown, until: .distantFuture)) }
    return ServiceDirectory(
        names.map { Service(name: $0, instances: [], ownApp: "shop") }, isSynced: true, isComplete: known == nil,
        ownApp: "shop", known: known.map { Set($0.map(demand)) },
        absences: Dictionary(absences) { first, _ in first })
}

@Suite struct PartHoldTests {
    private let start = ContinuousClock.now

    private func names(_ directory: ServiceDirectory) -> [String] { directory.all.map(\.name) }

    @Test("a name is shown when the source before has answered about it, or has had its time")
    func shown() {
        var hold = PartHold(shown: nil)
        let file = directory(["b", "c"])
        let nothing = directory([], known: [])
        #expect(self.names(hold.show(file, after: [nothing], app: "shop", at: self.start)) == [])
        #expect(hold.deadline == self.start + PartHold.limit)
        let absent = directory([], known: [], absent: ["b"])
        #expect(self.names(hold.show(file, after: [absent], app: "shop", at: self.start)) == ["b"])
        // An answer holds for as long as the name is there, whatever becomes of the answer.
        #expect(self.names(hold.show(file, after: [nothing], app: "shop", at: self.start)) == ["b"])
        let late = self.start + PartHold.limit
        #expect(hold.show(file, after: [nothing], app: "shop", at: late) === file)
        #expect(hold.deadline == nil)
        // What comes later has its own time.
        let more = directory(["b", "c", "d"])
        #expect(self.names(hold.show(more, after: [nothing], app: "shop", at: late)) == ["b", "c"])
        let known = directory(["d"], known: ["d"])
        #expect(hold.show(more, after: [known], app: "shop", at: late) === more)
    }

    @Test("what was shown before is not held again after a restart")
    func restart() {
        let file = directory(["b", "c"])
        var hold = PartHold(shown: directory(["b"]))
        #expect(self.names(hold.show(file, after: [directory([], known: [])], app: "shop", at: self.start)) == ["b"])
    }
}

@Suite struct MeshComponentTests {
    private let inbox = Mailbox<MeshMessage>("mesh", capacity: 2, whenFull: .dropNewest)
    private let log = TestLog()

    @Test("what the sources say becomes one value, and a name that several have is told once")
    func merges() async throws {
        let sources = ["servicecenter", "file"].enumerated().map { place, name in
            let part = ServiceDirectory([], isSynced: false, isComplete: place == 1)
            return MeshSource(name, place: place, part: part, inbox: self.inbox)
        }
        let mesh = Snapshot(
            Mesh(.merging(sources.map(\.part), upon: nil), .plain, sources: sources.map(\.name)),
            on: MultiThreadedEventLoopGroup.singleton)
        let asked = Mutex<[Set<String>]>([])
        let synced = Mutex<Set<Int>>([])
        let component = MeshComponent(
            sources, mesh: mesh, inbox: self.inbox, app: "shop",
            asks: [0: { names in asked.withLock { $0.append(names) } }], patience: .seconds(600),
            onSync: { place in _ = synced.withLock { $0.insert(place) } }, logger: self.log.logger)
        try await whileRunning({ try await component.run() }) {
            sources[1].publish(directory(["b", "c"]))
            // The service-center is asked first, and has both names until it has answered.
            #expect(await eventually { asked.withLock { $0 } == [["b", "c"]] })
            #expect(mesh.current.services.all.isEmpty)
            #expect(synced.withLock { $0 } == [1])
            sources[0].publish(directory(["c"], known: ["c"], absent: ["b"]))
            #expect(await eventually { mesh.current.services.all.count == 2 })
            #expect(mesh.current.services.part(with: "c") == 0 && mesh.current.services.part(with: "b") == 1)
            #expect(synced.withLock { $0 } == [0, 1])
            let generation = mesh.generation
            for _ in 0..<20 { sources[0].publish(directory(["c", "d"], known: ["c", "d"], absent: ["b"])) }
            #expect(await eventually { mesh.current.services["d"] != nil })
            #expect(mesh.generation > generation && mesh.generation <= generation + 20)
            #expect(self.inbox.dropped == 0)
            // It goes on with the second one when the first one loses it.
            sources[0].publish(directory([], known: [], absent: ["b", "c"]))
            #expect(await eventually { mesh.current.services.part(with: "c") == 1 })
            #expect(asked.withLock { $0 }.count == 1)
        }
        #expect(self.log.lines.count { $0.contains("a service is in several registries") } == 1)
    }

    @Test("rules and services are one value; what a configuration leaves as it was is the same objects")
    func rules() async throws {
        func config(_ weight: Int) throws -> MesherConfig {
            try TestSidecar.config([
                "servicecomb.routeRule.cart": "- {precedence: 1, route: [{tags: {version: 1.0}, weight: \(weight)}]}",
                "servicecomb.routeRule.stock": "- {precedence: 1, route: [{tags: {version: 1.0}, weight: 100}]}",
            ])
        }
        let first = MeshRules(try config(100))
        let services = directory(["cart"])
        let source = MeshSource("file", place: 0, part: services, inbox: self.inbox)
        let mesh = Snapshot(
            Mesh(.merging([services], upon: nil), first, sources: ["file"]), on: MultiThreadedEventLoopGroup.singleton)
        let component = MeshComponent(
            [source], mesh: mesh, inbox: self.inbox, app: "shop", onSync: { _ in }, logger: self.log.logger)
        try await whileRunning({ try await component.run() }) {
            self.inbox.send(.configurationChanged(try config(90)))
            #expect(await eventually { mesh.current.rules !== first })
            let second = mesh.current
            #expect(second.services["cart"] === services["cart"])
            #expect(second.rules.routes["stock"] === first.routes["stock"])
            #expect(second.rules.routes["cart"]?.routes.first?.targets.map(\.weight) == [90, 10])
            source.publish(directory(["cart", "stock"]))
            #expect(await eventually { mesh.current.services["stock"] != nil })
            #expect(mesh.current.rules === second.rules)
        }
    }

    @Test("without a registry rules are published all the same")
    func noRegistry() async throws {
        let mesh = Snapshot(
            Mesh(ServiceDirectory([], isSynced: true), .plain), on: MultiThreadedEventLoopGroup.singleton)
        let component = MeshComponent(
            [], mesh: mesh, inbox: self.inbox, app: "shop", onSync: { _ in }, logger: self.log.logger)
        try await whileRunning({ try await component.run() }) {
            self.inbox.send(.configurationChanged(try TestSidecar.config([:])))
            #expect(await eventually { mesh.current.rules !== MeshRules.plain })
            #expect(mesh.current.services.isSynced)
        }
    }
}
