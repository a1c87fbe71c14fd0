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
            state.take(
                clusters: [try Self.cluster("outbound|8080||\(Self.cart)")], removed: [], isWhole: true, at: self.start)
                == [])
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
        _ = state.take(clusters: clusters, removed: [], isWhole: true, at: self.start)
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
        _ = state.take(clusters: [try Self.cluster(name)], removed: [], isWhole: true, at: self.start)
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
        _ = state.take(clusters: [try Self.cluster(name)], removed: [], isWhole: true, at: self.start)
        state.want(ServiceDemand(app: "default", name: name), at: self.start)
        #expect(state.take(assignments: [], removed: [name, "nobody asked"]) == [])
        #expect(state.assignments == [name: .empty])
        guard case .known(.empty?)? = state.usedClusters(at: self.start).first?.members else {
            Issue.record("it is still awaited")
            return
        }
    }

    private static func endpoints(_ name: String, _ addresses: [String]) throws -> ResourceUpdate.Resource {
        var message = XDSClusterLoadAssignment()
        message.clusterName = name
        message.endpoints = [
            .with {
                $0.lbEndpoints = addresses.map { address in
                    .with {
                        $0.endpoint.address.socketAddress.address = address
                        $0.endpoint.address.socketAddress.portValue = 80
                    }
                }
            }
        ]
        return try Self.resource(message, .endpoints)
    }

    /// The addresses of a used cluster; `nil` while they are awaited.
    private func places(_ state: IstioState, after time: TimeAmount) -> [String]? {
        guard case .known(let members)? = state.usedClusters(at: self.start + time).first?.members else { return nil }
        return members?.members.map(\.place) ?? []
    }

    @Test("the members of a cluster serve until those in their place are there, or nobody says them for 15 seconds")
    func warmsAnew() throws {
        var state = self.state()
        let name = "outbound|8080||\(Self.cart)"
        _ = state.take(clusters: [try Self.cluster(name)], removed: [], isWhole: true, at: self.start)
        state.want(ServiceDemand(app: "default", name: name), at: self.start)
        _ = state.take(assignments: [try Self.endpoints(name, ["10.0.0.1"])], removed: [])
        let later = TimeAmount.minutes(1)
        let moved = try Self.cluster(name) { $0.edsClusterConfig.serviceName = "other" }
        _ = state.take(clusters: [moved], removed: [], isWhole: true, at: self.start + later)
        #expect(state.wantedEndpoints == ["other"])
        state.forget(at: self.start + later + .seconds(14))
        #expect(self.places(state, after: later) == ["10.0.0.1:80"])
        var given = state
        _ = given.take(assignments: [try Self.endpoints("other", ["10.0.0.2"])], removed: [])
        #expect(self.places(given, after: later) == ["10.0.0.2:80"])
        #expect(given.outgoing(name) == nil)
        state.forget(at: self.start + later + .seconds(15))
        #expect(self.places(state, after: later + .seconds(15)) == [])
    }

    @Test("members that were names are looked up as long as they serve for others")
    func warmsNames() throws {
        var state = self.state()
        func cluster(_ host: String) throws -> ResourceUpdate.Resource {
            try Self.cluster("c") {
                $0.type = .strictDns
                $0.loadAssignment.endpoints = [
                    .with {
                        $0.lbEndpoints = [
                            .with {
                                $0.endpoint.address.socketAddress.address = host
                                $0.endpoint.address.socketAddress.portValue = 80
                            }
                        ]
                    }
                ]
            }
        }
        _ = state.take(clusters: [try cluster("a.test")], removed: [], isWhole: true, at: self.start)
        state.want(ServiceDemand(app: "default", name: "c"), at: self.start)
        #expect(state.wantedNames == ["a.test"] && state.outgoing("c") == nil)
        _ = state.take(clusters: [try cluster("b.test")], removed: [], isWhole: true, at: self.start)
        #expect(state.wantedNames == ["a.test", "b.test"])
        #expect(state.outgoing("c")?.members.map(\.name) == ["a.test"])
        state.forget(at: self.start + .seconds(15))
        #expect(state.wantedNames == ["b.test"])
    }

    @Test("what comes back is waited for, however long ago it was asked for first")
    func comesBack() throws {
        var state = self.state()
        let name = "outbound|8080||\(Self.cart)"
        let (cluster, later) = (try Self.cluster(name), TimeAmount.minutes(1))
        _ = state.take(clusters: [cluster], removed: [], isWhole: true, at: self.start)
        state.want(ControlPlaneRoutes.demand(for: 8080, app: "default"), at: self.start)
        state.want(ServiceDemand(app: "default", name: name), at: self.start)
        #expect(state.knownPorts(at: self.start + later) == [8080])
        _ = state.take(clusters: [], removed: [], isWhole: true, at: self.start)
        _ = state.take(clusters: [cluster], removed: [], isWhole: true, at: self.start + later)
        #expect(state.knownPorts(at: self.start + later).isEmpty)
        #expect(self.places(state, after: later) == nil)
        #expect(self.places(state, after: later + .seconds(15)) == [])
    }

    @Test("endpoints and tables that are known stay when they are said to be removed")
    func removals() throws {
        var state = self.state()
        let name = "outbound|8080||\(Self.cart)"
        _ = state.take(clusters: [try Self.cluster(name)], removed: [], isWhole: true, at: self.start)
        state.want(ControlPlaneRoutes.demand(for: 8080, app: "default"), at: self.start)
        state.want(ServiceDemand(app: "default", name: name), at: self.start)
        _ = state.take(tables: [try Self.table("8080", ["\(Self.cart):8080": [Self.cart]])], removed: [])
        _ = state.take(assignments: [try Self.endpoints(name, ["10.0.0.1"])], removed: [])
        #expect(state.take(assignments: [], removed: [name]) == [])
        #expect(state.take(tables: [], removed: ["8080"]) == [])
        #expect(state.assignments[name]?.members.count == 1)
        #expect(state.tables["8080"]?.hosts.count == 1)
    }

    @Test("a port whose table says nothing is one of the control plane's all the same")
    func emptyTable() throws {
        var state = self.state()
        var maker = HostMaker(app: "default")
        let cluster = try Self.cluster("outbound|8080||\(Self.cart)")
        _ = state.take(clusters: [cluster], removed: [], isWhole: true, at: self.start)
        state.want(ControlPlaneRoutes.demand(for: 8080, app: "default"), at: self.start)
        _ = state.take(tables: [try Self.table("8080", [:])], removed: [])
        #expect(maker.make(state, ports: [8080, 9999]).servedPorts == [8080])
    }

    @Test("a cluster that is there and removed in one response stays as it was")
    func contradiction() throws {
        var state = self.state()
        _ = state.take(clusters: [try Self.cluster("c")], removed: [], isWhole: false, at: self.start)
        let other = try Self.cluster("c") { $0.connectTimeout.seconds = 3 }
        let refusals = state.take(clusters: [other], removed: ["c"], isWhole: false, at: self.start)
        #expect(refusals.map(\.name) == ["c"])
        #expect(state.clusters["c"]?.settings.connectTimeout == .seconds(5))
    }

    @Test(
        "what would end a line of a head refuses its table",
        arguments: [
            {
                $0.route = .with {
                    $0.cluster = "c"; $0.prefixRewrite = "/a\r\nx: y"
                }
            },
            {
                $0.route = .with {
                    $0.cluster = "c"; $0.hostRewriteLiteral = "a\nx: y"
                }
            },
            {
                $0.route = .with {
                    $0.weightedClusters.clusters = [
                        .with {
                            $0.name = "c"; $0.weight.value = 1; $0.hostRewriteLiteral = "a\0"
                        }
                    ]
                }
            },
            { $0.redirect.hostRedirect = "a\r\nx: y" }, { $0.redirect.pathRedirect = "/a\r\nx: y" },
            { $0.redirect.prefixRewrite = "/a\nx: y" }, { $0.redirect.schemeRedirect = "a\nx: y" },
        ] as [@Sendable (inout XDSRoute) -> Void])
    func lines(edit: @Sendable (inout XDSRoute) -> Void) throws {
        var state = self.state()
        var table = XDSRouteConfiguration()
        table.name = "80"
        table.virtualHosts = [
            .with { host in
                host.name = "a:80"
                host.domains = ["a"]
                host.routes = [
                    .with {
                        $0.match.prefix = "/"
                        edit(&$0)
                    }
                ]
            }
        ]
        let refusals = state.take(tables: [try Self.resource(table, .route)], removed: [])
        #expect(refusals.first?.reason.contains("would end a line") == true, "\(refusals)")
    }

    @Test("the name of a resource is read of broken bytes", arguments: [1, 127, 128, 300, 16_383])
    func names(length: Int) throws {
        var state = self.state()
        let name = String(repeating: "n", count: length)
        let wrong = try Self.cluster(name) { $0.connectTimeout.seconds = -1 }
        #expect(state.take(clusters: [wrong], removed: [], isWhole: true, at: self.start).map(\.name) == [name])
        let broken = ResourceUpdate.Resource(
            name: nil, version: "", typeURL: ResourceKind.cluster.typeURL, bytes: wrong.bytes.dropLast())
        #expect(state.take(clusters: [broken], removed: [], isWhole: true, at: self.start).map(\.name) == [name])
    }

    @Test("numbers that are no shares are refused", arguments: [Double.nan, .infinity, -1, 101, 1e300])
    func panicThreshold(value: Double) throws {
        var state = self.state()
        let cluster = try Self.cluster("c") { $0.commonLbConfig.healthyPanicThreshold.value = value }
        #expect(state.take(clusters: [cluster], removed: [], isWhole: true, at: self.start).map(\.name) == ["c"])
    }

    @Test("good resources are taken beside wrong ones, of which the last good state stays")
    func refusals() throws {
        var state = self.state()
        let good = try Self.cluster("outbound|80||a") { $0.connectTimeout.seconds = 3 }
        _ = state.take(clusters: [good], removed: [], isWhole: true, at: self.start)
        let wrong = try Self.cluster("outbound|80||a") { $0.connectTimeout.seconds = -1 }
        let broken = ResourceUpdate.Resource(
            name: nil, version: "", typeURL: ResourceKind.cluster.typeURL,
            bytes: Data([0x0A, 1, 0x63, 0x0A, 0xFF, 0xFF]))
        let refusals = state.take(
            clusters: [wrong, broken, try Self.cluster("outbound|80||b")], removed: [], isWhole: true, at: self.start)
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
        _ = state.take(clusters: [try Self.cluster("outbound|80||x")], removed: [], isWhole: true, at: self.start)
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
        _ = state.take(
            clusters: [try Self.cluster("outbound|8080||\(Self.cart)")], removed: [], isWhole: true, at: self.start)
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
        _ = state.take(clusters: [limited], removed: [], isWhole: true, at: self.start)
        #expect(maker.make(state, ports: [8080]).hosts[one] !== first.hosts[one], "its cluster is another one")
    }

    private static func assignment(_ name: String, _ members: [(host: String, version: String)]) throws
        -> ResourceUpdate.Resource
    {
        var assignment = XDSClusterLoadAssignment()
        assignment.clusterName = name
        var group = XDSLocalityLbEndpoints()
        group.lbEndpoints = members.map { host, version in
            var endpoint = XDSLbEndpoint()
            endpoint.endpoint.address.socketAddress.address = host
            endpoint.endpoint.address.socketAddress.portValue = 9080
            endpoint.metadata.filterMetadata["istio"] = Google_Protobuf_Struct(
                fields: ["workload": .init(stringValue: "cart;shop;cart;\(version);Kubernetes")])
            return endpoint
        }
        assignment.endpoints = [group]
        return try Self.resource(assignment, .endpoints)
    }

    @Test("where rules come from files, a service is asked for by name, with its subsets, at port 80 or the lowest")
    func services() throws {
        var state = IstioState(self.place, app: "default", use: .services)
        let names = ["9080||", "9080|v1|", "9080|v2|", "15000||"].map { "outbound|\($0)\(Self.cart)" }
        #expect(
            state.take(clusters: try names.map { try Self.cluster($0) }, removed: [], isWhole: true, at: self.start)
                == []
        )
        state.want(ServiceDemand(app: "default", name: "cart"), at: self.start)
        state.want(ServiceDemand(app: "default", name: "nobody"), at: self.start)
        #expect(state.wantedEndpoints == Set(names.prefix(3)) && state.wantedTables.isEmpty)
        #expect(state.absences(at: self.start).keys.map(\.name) == ["nobody"])
        #expect(state.foundServices(at: self.start).isEmpty)

        let all = [("10.0.0.1", "one"), ("10.0.0.2", ""), ("10.0.0.3", "")]
        let said = [
            try Self.assignment(names[0], all), try Self.assignment(names[1], [all[0]]),
            try Self.assignment(names[2], [all[1]]),
        ]
        #expect(state.take(assignments: said, removed: []) == [])
        let found = try #require(state.foundServices(at: self.start).first)
        #expect(found.name == "cart" && found.members.members.map(\.version) == ["one", nil, nil])
        #expect(found.subsets == ["10.0.0.1:9080": "v1", "10.0.0.2:9080": "v2"])

        // A subset that comes later is asked for as long as the service is.
        let third = try Self.cluster("outbound|9080|v3|\(Self.cart)")
        #expect(state.take(clusters: [third], removed: [], isWhole: false, at: self.start) == [])
        #expect(state.wantedEndpoints.count == 4)
        state.forget(at: self.start + .minutes(11))
        #expect(state.wantedEndpoints.isEmpty && state.foundServices(at: self.start + .minutes(11)).isEmpty)
    }

    @Test("where services come from elsewhere, all tables are asked for, and routes are those of services")
    func routes() throws {
        var state = IstioState(self.place, app: "default", use: .routes)
        let clusters = ["outbound|8080||\(Self.cart)", "outbound|8080|v1|\(Self.cart)"]
        #expect(
            state.take(clusters: try clusters.map { try Self.cluster($0) }, removed: [], isWhole: true, at: self.start)
                == [])
        state.forget(at: self.start + .minutes(60))
        #expect(state.wantedTables == ["8080"])
        #expect(state.wantedEndpoints == [clusters[1]], "they say which version the subset is")

        var table = XDSRouteConfiguration()
        table.name = "8080"
        var (host, route) = (XDSVirtualHost(), XDSRoute())
        host.name = "\(Self.cart):8080"
        host.domains = [Self.cart]
        route.match.prefix = "/"
        route.route.weightedClusters.clusters = [(clusters[0], UInt32(1)), (clusters[1], 3)].map { name, weight in
            var target = XDSWeightedCluster.ClusterWeight()
            target.name = name
            target.weight.value = weight
            return target
        }
        host.routes = [route]
        table.virtualHosts = [host]
        #expect(state.take(tables: [try Self.resource(table, .route)], removed: []) == [])
        var maker = HostMaker(app: "default")
        let made = maker.makeForServices(state)
        #expect(made.isOfServices && made.services.keys.sorted() == ["cart"])
        let cart = try #require(made.services["cart"])
        #expect(cart.clusters.map(\.members) == [.own(InstanceTags(version: "")), .own(InstanceTags(version: "v1"))])
        #expect(cart.routes.first?.targets.map(\.weight) == [1, 3])
        // Nothing is made anew for endpoints.
        #expect(maker.makeForServices(state) === made)

        // A subset is the version of its endpoints, if they have one, and what it selects by, if that is known.
        func subset() -> Cluster.Members? { maker.makeForServices(state).services["cart"]?.clusters.last?.members }
        func take(_ versions: [String]) throws {
            let members = versions.enumerated().map { (host: "10.0.0.\($0 + 1)", version: $1) }
            #expect(state.take(assignments: [try Self.assignment(clusters[1], members)], removed: []) == [])
        }
        try take(["2.0", "2.0"])
        #expect(subset() == .own(InstanceTags(version: "2.0")))
        try take(["2.0", "2.1"])
        #expect(subset() == .own(InstanceTags(version: "v1")))
        #expect(state.subsetKeys.map(\.subset) == ["v1"])
        var labels = SubsetTable()
        labels.add(
            DestinationRules(items: [
                .init(
                    metadata: .init(name: "cart", creationTimestamp: nil),
                    spec: .init(host: "cart", subsets: [.init(name: "v1", labels: ["version": "3", "track": "a"])]))
            ]), namespace: "shop", domain: "cluster.local")
        state.take(labels: labels)
        #expect(subset() == .own(InstanceTags(version: "3", properties: ["track": "a"])))
        #expect(state.wantedEndpoints.isEmpty, "what is known is not asked of endpoints")
    }
}
