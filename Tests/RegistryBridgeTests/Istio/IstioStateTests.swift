// SPDX-License-Identifier: Apache-2.0

import Common
import FoundationEssentials
import IstioMessages
import NIOCore
@testable import RegistryBridge
import SwiftProtobuf
import Testing

/// What is held of the control plane's resources, and what is asked for.
struct IstioStateTests {
    private let place = MeshPlace(namespace: "shop", domain: "cluster.local")
    private let start = NIODeadline.uptimeNanoseconds(1_000_000_000_000)

    private func state() -> IstioState { IstioState(self.place, app: "default") }

    private static func resource(_ message: some SwiftProtobuf.Message, _ kind: ResourceKind) throws
        -> ResourceUpdate.Resource
    {
        ResourceUpdate.Resource(
            name: nil, version: "", typeURL: kind.typeURL, bytes: try message.serializedData())
    }

    private static func cluster(_ name: String, _ edit: (inout XDSCluster) -> Void = { _ in }) throws
        -> ResourceUpdate.Resource
    {
        var cluster = XDSCluster()
        cluster.name = name
        cluster.type = .eds
        cluster.edsClusterConfig = XDSCluster.EdsClusterConfig()
        edit(&cluster)
        return try Self.resource(cluster, .cluster)
    }

    private static func table(_ name: String, _ hosts: [String: [String]]) throws -> ResourceUpdate.Resource {
        var table = XDSRouteConfiguration()
        table.name = name
        table.ignorePortInHostMatching = true
        table.virtualHosts = hosts.sorted { $0.key < $1.key }.map { name, domains in
            var host = XDSVirtualHost()
            host.name = name
            host.domains = domains
            var route = XDSRoute()
            route.match.prefix = "/"
            route.route.cluster = "outbound|8080||\(domains[0])"
            host.routes = [route]
            return host
        }
        return try Self.resource(table, .route)
    }

    private static let cart = "cart.shop.svc.cluster.local"

    @Test(
        "a table is asked for as soon as a request names a port that a service has, until ten minutes after the last one"
    )
    func ports() throws {
        var state = self.state()
        state.want(ControlPlaneRoutes.demand(for: 8080, app: "default"), at: self.start)
        #expect(state.knownPorts(at: self.start).isEmpty, "nobody has said yet which services there are")
        #expect(
            state.take(clusters: [try Self.cluster("outbound|8080||\(Self.cart)")], removed: [], isWhole: true) == [])
        #expect(state.wantedTables == ["8080"])
        #expect(state.knownPorts(at: self.start).isEmpty)
        state.want(ControlPlaneRoutes.demand(for: 9999, app: "default"), at: self.start)
        #expect(state.knownPorts(at: self.start) == [9999], "no service has it")

        #expect(state.take(tables: [try Self.table("8080", ["\(Self.cart):8080": [Self.cart]])], removed: []) == [])
        #expect(state.knownPorts(at: self.start) == [8080, 9999])
        state.note(hosts: ["\(Self.cart):8080"], clusters: [], at: self.start + .minutes(5))
        #expect(state.wantedEndpoints == ["outbound|8080||\(Self.cart)"])
        state.forget(at: self.start + .minutes(14))
        #expect(state.wantedTables == ["8080"])
        state.forget(at: self.start + .minutes(15))
        #expect(state.wantedTables.isEmpty && state.tables.isEmpty && state.wantedEndpoints.isEmpty)
    }

    @Test("a service whose protocol nobody has said has a table of its own")
    func sniffed() throws {
        var state = self.state()
        let other = "stock.shop.svc.cluster.local"
        let clusters = try [Self.cluster("outbound|8080||\(Self.cart)"), Self.cluster("outbound|8080||\(other)")]
        _ = state.take(clusters: clusters, removed: [], isWhole: true)
        state.want(ControlPlaneRoutes.demand(for: 8080, app: "default"), at: self.start)
        _ = state.take(tables: [try Self.table("8080", ["\(Self.cart):8080": [Self.cart]])], removed: [])
        #expect(state.wantedTables == ["8080", "\(other):8080"])
        _ = state.take(tables: [try Self.table("\(other):8080", ["\(other):8080": ["*"]])], removed: [])
        let host = try #require(state.tables["\(other):8080"]?.hosts["\(other):8080"])
        #expect(host.domains == [other, "stock.shop.svc", "stock.shop", "stock"])
        #expect(host.label == "stock")
    }

    @Test("endpoints are awaited for 15 seconds, then the cluster counts as empty")
    func warming() throws {
        var state = self.state()
        let name = "outbound|8080||\(Self.cart)"
        _ = state.take(clusters: [try Self.cluster(name)], removed: [], isWhole: true)
        state.want(ServiceDemand(app: "default", name: name), at: self.start)
        guard case .pending? = state.usedClusters(at: self.start + .seconds(14)).first?.members else {
            Issue.record("it is not awaited")
            return
        }
        guard case .known(nil)? = state.usedClusters(at: self.start + .seconds(15)).first?.members else {
            Issue.record("it is awaited for ever")
            return
        }
    }

    @Test("endpoints that the control plane does not have are none, at once")
    func missing() throws {
        var state = self.state()
        let name = "outbound|8080||\(Self.cart)"
        _ = state.take(clusters: [try Self.cluster(name)], removed: [], isWhole: true)
        state.want(ServiceDemand(app: "default", name: name), at: self.start)
        #expect(state.take(assignments: [], removed: [name, "nobody asked"]) == [])
        #expect(state.assignments == [name: .empty])
        guard case .known(.empty?)? = state.usedClusters(at: self.start).first?.members else {
            Issue.record("it is still awaited")
            return
        }
    }

    @Test("numbers that are no shares are refused", arguments: [Double.nan, .infinity, -1, 101, 1e300])
    func panicThreshold(value: Double) throws {
        var state = self.state()
        let cluster = try Self.cluster("c") { $0.commonLbConfig.healthyPanicThreshold.value = value }
        #expect(state.take(clusters: [cluster], removed: [], isWhole: true).map(\.name) == ["c"])
    }

    @Test("good resources are taken beside wrong ones, of which the last good state stays")
    func refusals() throws {
        var state = self.state()
        let good = try Self.cluster("outbound|80||a") { $0.connectTimeout.seconds = 3 }
        _ = state.take(clusters: [good], removed: [], isWhole: true)
        let wrong = try Self.cluster("outbound|80||a") { $0.connectTimeout.seconds = -1 }
        let broken = ResourceUpdate.Resource(
            name: nil, version: "", typeURL: ResourceKind.cluster.typeURL,
            bytes: Data([0x0A, 1, 0x63, 0x0A, 0xFF, 0xFF]))
        let refusals = state.take(
            clusters: [wrong, broken, try Self.cluster("outbound|80||b")], removed: [], isWhole: true)
        #expect(refusals.map(\.name) == ["outbound|80||a", "c"])
        #expect(refusals.first?.reason.contains("connect_timeout") == true)
        #expect(state.clusters["outbound|80||a"]?.settings.connectTimeout == .seconds(3))
        #expect(state.clusters["outbound|80||b"] != nil)
    }

    @Test(
        "what refuses a table",
        arguments: [
            (["a:80": ["x"], "b:80": ["X"]], "belongs to"), (["a:80": [""]], "empty domain"),
        ])
    func tables(hosts: [String: [String]], words: String) throws {
        var state = self.state()
        _ = state.take(clusters: [try Self.cluster("outbound|80||x")], removed: [], isWhole: true)
        state.want(ControlPlaneRoutes.demand(for: 80, app: "default"), at: self.start)
        let refusals = state.take(tables: [try Self.table("80", hosts)], removed: [])
        #expect(refusals.map(\.name) == ["80"])
        #expect(refusals.first?.reason.contains(words) == true, "\(refusals)")
        #expect(state.tables.isEmpty)
    }

    @Test("what is the same is the same object, whatever else is said")
    func identity() throws {
        var state = self.state()
        var maker = HostMaker(app: "default")
        _ = state.take(clusters: [try Self.cluster("outbound|8080||\(Self.cart)")], removed: [], isWhole: true)
        state.want(ControlPlaneRoutes.demand(for: 8080, app: "default"), at: self.start)
        let one = "\(Self.cart):8080"
        _ = state.take(tables: [try Self.table("8080", [one: [Self.cart], "z:8080": ["z"]])], removed: [])
        let first = maker.make(state, ports: [8080])
        _ = state.take(tables: [try Self.table("8080", [one: [Self.cart], "z:8080": ["z", "y"]])], removed: [])
        let second = maker.make(state, ports: [8080])
        #expect(first.hosts[one] === second.hosts[one])
        #expect(first.hosts["z:8080"] !== second.hosts["z:8080"])
        #expect(maker.make(state, ports: [8080]) === second, "nothing has changed")
        _ = state.take(tables: [try Self.table("8080", [one: [Self.cart], "z:8080": ["z", "y"]])], removed: [])
        #expect(maker.make(state, ports: [8080]) === second, "the same was said again")
        let limited = try Self.cluster("outbound|8080||\(Self.cart)") { $0.connectTimeout.seconds = 1 }
        _ = state.take(clusters: [limited], removed: [], isWhole: true)
        #expect(maker.make(state, ports: [8080]).hosts[one] !== first.hosts[one], "its cluster is another one")
    }
}
