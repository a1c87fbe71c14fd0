// SPDX-License-Identifier: Apache-2.0

import NIOCore
import TestSupport
import Testing

@testable import Common

/// A directory that is large enough for its size to be felt.
private struct LargeMesh {
    static let count = 1_000
    static let instances = 20

    static func instance(
        _ builder: inout ServiceDirectoryBuilder, _ service: Int, _ instance: Int, port: Int = 8080
    ) throws -> Instance {
        let endpoint = try builder.endpoint("rest://10.\(service / 250).\(service % 250).\(instance):\(port)")
        return Instance(
            id: "\(service)-\(instance)", version: "1.0.0", app: "shop", status: .up, properties: [:],
            endpoints: [endpoint])
    }

    static func directory() throws -> ServiceDirectory {
        var builder = ServiceDirectoryBuilder(upon: .empty, ownApp: "shop")
        for service in 0..<Self.count {
            builder.add(
                "service-\(service)", try (0..<Self.instances).map { try Self.instance(&builder, service, $0) })
        }
        return builder.build()
    }

    /// The same with another port of one instance of one service.
    static func changed(_ service: Int, port: Int, upon old: ServiceDirectory) throws -> ServiceDirectory {
        var builder = ServiceDirectoryBuilder(upon: old, ownApp: "shop")
        builder.keepsOthers = true
        builder.add(
            "service-\(service)",
            try (0..<Self.instances).map { try Self.instance(&builder, service, $0, port: $0 == 7 ? port : 8080) })
        return builder.build()
    }
}

/// How many shards of a table have been made anew.
private func renewedShards<Key>(_ old: ResidentTable<Key>, _ new: ResidentTable<Key>) -> Int {
    zip(old.shards, new.shards).count { $0 !== $1 }
}

@Suite struct ServiceDirectoryDifferenceTests {
    /// The shards of `old` that `new` has made anew.
    private func renewed(_ old: ServiceDirectory, _ new: ServiceDirectory) -> Int {
        zip(old.names.shards, new.names.shards).count { $0 !== $1 }
    }

    @Test("one instance that changes renews one service, one shard of names, and its own addresses")
    func oneChange() throws {
        let first = try LargeMesh.directory()
        let next = try LargeMesh.changed(123, port: 9090, upon: first)
        #expect(self.renewed(first, next) == 1)
        #expect(first.all.count == LargeMesh.count && next.all.count == LargeMesh.count)
        #expect(zip(first.all, next.all).count { $0 !== $1 } == 1)
        #expect(renewedShards(first.addresses.owners, next.addresses.owners) <= LargeMesh.instances)
        #expect(renewedShards(first.addresses.places, next.addresses.places) <= LargeMesh.instances + 1)
        let (old, new) = (first["service-123"], next["service-123"])
        #expect(old !== new && old?.use === new?.use)
        let kept = zip(old?.instances ?? [], new?.instances ?? []).filter { $0.endpoints[0] === $1.endpoints[0] }
        #expect(kept.count == LargeMesh.instances - 1)
        // Addresses are found as in a directory that was made at once.
        let moved = try #require(new?.instances[7].endpoints[0])
        let gone = try #require(old?.instances[7].endpoints[0])
        #expect(next.service(at: moved.ip, port: 9090) === new)
        #expect(next.service(at: gone.ip, port: 8080) == nil)
        guard case .one(let owner, _) = next.owner(of: moved.ip) else {
            Issue.record("nobody is at the address")
            return
        }
        #expect(owner === new)
    }

    @Test("what is added at once and what is added one after the other is the same, and nothing stays of what goes")
    func removal() throws {
        let first = try LargeMesh.directory()
        var builder = ServiceDirectoryBuilder(upon: first, ownApp: "shop")
        builder.keepsOthers = true
        builder.remove("service-5")
        builder.remove("nosuch")
        let next = builder.build()
        #expect(next["service-5"] == nil && next.all.count == LargeMesh.count - 1)
        #expect(self.renewed(first, next) == 1)
        let place = try #require(first["service-5"]?.instances[0].endpoints[0])
        #expect(next.owner(of: place.ip) == nil && next.service(at: place.ip, port: place.port) == nil)
        var again = ServiceDirectoryBuilder(upon: next, ownApp: "shop")
        for service in next.all { _ = again.keep(service.name) }
        #expect(self.renewed(next, again.build()) == 0)
    }

    @Test("of services that are found by their addresses only, one that changes renews its own addresses")
    func oneIndexedChange() throws {
        let all = try LargeMesh.directory()
        let changed = try LargeMesh.changed(123, port: 9090, upon: all)
        func directory(_ indexed: [Service], named: [Service], upon old: ServiceDirectory) -> ServiceDirectory {
            var builder = ServiceDirectoryBuilder(upon: old, ownApp: "shop")
            builder.indexed = indexed
            for service in named { builder.add(service.name, service.instances) }
            return builder.build()
        }
        func owner(_ service: Int, in directory: ServiceDirectory, index: Int = 7) -> Service? {
            guard let endpoint = all["service-\(service)"]?.instances[index].endpoints[0],
                case .one(let owner, _)? = directory.owner(of: endpoint.ip)
            else { return nil }
            return owner
        }
        let first = directory(all.all, named: [], upon: .empty)
        let next = directory(changed.all, named: [], upon: first)
        #expect(owner(123, in: first) === all["service-123"] && owner(123, in: next) === changed["service-123"])
        #expect(owner(124, in: next) === all["service-124"])
        #expect(renewedShards(first.addresses.owners, next.addresses.owners) <= LargeMesh.instances)
        // One that goes is nowhere; one that has become a service is found as that, and as before when it is none again.
        let fewer = changed.all.filter { $0.name != "service-5" }
        let gone = directory(fewer, named: [], upon: next)
        #expect(owner(5, in: gone) == nil)
        let called = directory(fewer, named: fewer.filter { $0.name == "service-123" }, upon: gone)
        #expect(owner(123, in: called) === called["service-123"])
        let both = directory(all.all, named: fewer.filter { $0.name == "service-123" }, upon: called)
        #expect(owner(123, in: both) === both["service-123"] && owner(5, in: both) === all["service-5"])
        let last = directory(all.all, named: [], upon: both)
        #expect(owner(123, in: last) === all["service-123"])
        // As in a directory that was made at once.
        let whole = directory(all.all, named: [], upon: .empty)
        for service in stride(from: 0, to: LargeMesh.count, by: 37) {
            #expect(owner(service, in: last) === owner(service, in: whole))
        }
    }

    @Test("a shared address is one service's again when the others have gone; the first by name has a shared port")
    func sharedAddress() throws {
        func directory(_ services: [String], upon old: ServiceDirectory) throws -> ServiceDirectory {
            var builder = ServiceDirectoryBuilder(upon: old, ownApp: "shop")
            for name in services {
                let endpoint = try builder.endpoint("rest://10.0.0.1:80")
                builder.add(
                    name,
                    [
                        Instance(
                            id: name, version: "", app: "", status: .up, properties: [:], endpoints: [endpoint])
                    ])
            }
            return builder.build()
        }
        var last = ServiceDirectory.empty
        for names in [["b"], ["b", "a"], ["a", "b", "c"], ["c", "b"], ["c"]] {
            last = try directory(names, upon: last)
            let address = try #require(last[names[0]]?.instances[0].endpoints[0].ip)
            #expect(last.service(at: address, port: 80)?.name == names.min())
            switch last.owner(of: address) {
            case .one(let service, _): #expect(names == [service.name])
            case .several: #expect(names.count > 1)
            case nil: Issue.record("nobody is at the address")
            }
            // The endpoint is one object, whoever names it.
            #expect(Set(last.all.map { ObjectIdentifier($0.instances[0].endpoints[0]) }).count == 1)
        }
    }

    @Test("a change in a large mesh takes no longer than a fraction of what making it takes")
    func duration() throws {
        let clock = ContinuousClock()
        var last = ServiceDirectory.empty
        let whole = try clock.measure { last = try LargeMesh.directory() }
        let other = try LargeMesh.directory()
        var merged = ServiceDirectory.merging([last, other], upon: nil)
        var (building, merging) = (Duration.zero, Duration.zero)
        let rounds = 50
        for round in 0..<rounds {
            building += try clock.measure { last = try LargeMesh.changed(round, port: 9000 + round, upon: last) }
            merging += clock.measure { merged = ServiceDirectory.merging([last, other], upon: merged) }
        }
        print("directory: whole \(whole), change \(building / rounds), merging \(merging / rounds)")
        #expect(building / rounds < whole / 20)
        #expect(merging / rounds < whole / 20)
    }
}

@Suite struct MergedDirectoryTests {
    private func directory(
        _ services: [String: String], upon old: ServiceDirectory = .empty, isSynced: Bool = true,
        known: [String]? = nil, absent: [String] = []
    ) throws -> ServiceDirectory {
        var builder = ServiceDirectoryBuilder(upon: old, ownApp: "shop")
        builder.isSynced = isSynced
        for (name, endpoint) in services {
            builder.add(
                name,
                [
                    Instance(
                        id: endpoint, version: "", app: "", status: .up, properties: [:],
                        endpoints: [try builder.endpoint(endpoint)])
                ])
        }
        if let known {
            builder.isComplete = false
            builder.known = Set(known.map { ServiceDemand(app: "shop", name: $0) })
            let absences = absent.map {
                (ServiceDemand(app: "shop", name: $0), ServiceDirectory.Absence(.unknown, until: .distantFuture))
            }
            builder.absences = Dictionary(absences) { first, _ in first }
        }
        return builder.build()
    }

    private func absence(_ name: String, of directory: ServiceDirectory) -> ServiceDirectory.Absence.Reason? {
        directory.absence(of: ServiceDemand(app: "shop", name: name), at: .now())
    }

    private func url(_ name: String, in directory: ServiceDirectory) -> String? {
        directory[name]?.instances.first?.endpoints.first?.url
    }

    @Test("a name is the first part's that has it, as a whole")
    func first() throws {
        let center = try self.directory(["a": "rest://10.0.0.1:1", "c": "rest://10.0.0.3:1"], known: ["a", "c"])
        let file = try self.directory(["b": "rest://10.0.1.2:1", "c": "rest://10.0.1.3:1"])
        let merged = ServiceDirectory.merging([center, file], upon: nil)
        #expect(merged.all.map(\.name) == ["a", "b", "c"])
        #expect(self.url("c", in: merged) == "rest://10.0.0.3:1")
        #expect(merged["c"] === center["c"] && merged["b"] === file["b"])
        #expect(merged.shared == ["c"])
        let other = ServiceDirectory.merging([file, center], upon: nil)
        #expect(other["c"] === file["c"])
        let mesh = Mesh(merged, .plain, sources: ["servicecenter", "file"])
        #expect(mesh.shares.map(\.services) == [["a", "c"], ["b"]])
        #expect(mesh.shares.map(\.hidden) == [[], ["c"]])
        // Addresses of what nobody uses are nobody's.
        let unused = try #require(file["c"]?.instances[0].endpoints[0])
        #expect(merged.owner(of: unused.ip) == nil)
    }

    @Test("one part alone is the directory")
    func alone() throws {
        let file = try self.directory(["b": "rest://10.0.1.2:1"])
        #expect(ServiceDirectory.merging([file], upon: nil) === file)
    }

    @Test("a part that changes renews the shards in which it has something")
    func difference() throws {
        let names = (0..<500).map { "s\($0)" }
        let center = try self.directory(["a": "rest://10.0.0.1:1"], known: ["a"])
        let file = try self.directory(Dictionary(uniqueKeysWithValues: names.map { ($0, "rest://10.0.1.2:1") }))
        let before = ServiceDirectory.merging([center, file], upon: nil)
        let next = try self.directory(["a": "rest://10.0.0.1:2"], upon: center, known: ["a"])
        let after = ServiceDirectory.merging([next, file], upon: before)
        #expect(zip(before.names.shards, after.names.shards).count { $0 !== $1 } == 1)
        #expect(self.url("a", in: after) == "rest://10.0.0.1:2")
        let gone = try self.directory([:], upon: next, known: [])
        #expect(ServiceDirectory.merging([gone, file], upon: after)["a"] == nil)
    }

    @Test("whoever has a name answers for it; of others all have to know that there is nothing")
    func absences() throws {
        let center = try self.directory(["a": "rest://10.0.0.1:1"], known: ["a"], absent: ["x"])
        let file = try self.directory(["b": "rest://10.0.1.2:1"])
        let away = try self.directory([:], isSynced: false)
        for parts in [[center, file], [file, center]] {
            let merged = ServiceDirectory.merging(parts, upon: nil)
            #expect(merged.isSynced && !merged.isComplete)
            #expect(self.absence("x", of: merged) == .unknown)
            // The file is complete, the service-center has to be asked.
            #expect(self.absence("y", of: merged) == nil)
            #expect(self.absence("b", of: merged) == .unknown)
            #expect(merged.settles(ServiceDemand(app: "shop", name: "b"), at: .now()))
            #expect(merged.settles(ServiceDemand(app: "other", name: "b"), at: .now()))
            #expect(merged.settles(ServiceDemand(app: "shop", name: "a"), at: .now()))
            #expect(!merged.settles(ServiceDemand(app: "other", name: "a"), at: .now()))
            #expect(!merged.settles(ServiceDemand(app: "shop", name: "y"), at: .now()))
        }
        let unread = ServiceDirectory.merging([center, away], upon: nil)
        #expect(!unread.isSynced && self.absence("x", of: unread) == .unreachable)
    }
}
