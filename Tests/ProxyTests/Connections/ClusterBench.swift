// SPDX-License-Identifier: Apache-2.0

import Common
import Logging
import NIOCore
import NIOEmbedded
import TestSupport

@testable import Proxy

/// Event loops that share a cluster whose connections are limited, between clients and upstreams that are none.
final class ClusterBench {
    /// One event loop.
    final class Loop {
        let loop = EmbeddedEventLoop()
        let connector = FakeConnector()
        let worker: Worker
        private let metrics = MetricsRegistry(startTime: 0, own: MetricLabels())
        private let mesh: Snapshot<Mesh>

        init(_ index: Int, of count: Int, _ rules: MeshRules, _ governance: Governance) {
            self.mesh = Snapshot(Mesh(ServiceDirectory([], isSynced: true), rules), on: self.loop)
            self.loop.advanceTime(by: .seconds(1000))
            self.worker = Worker(
                eventLoop: self.loop, index: index, loopCount: count,
                mesh: self.mesh, governance: governance, metrics: self.metrics,
                logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }, overload: Overload(),
                connector: self.connector)
        }

        /// Other rules hold.
        func publish(_ rules: MeshRules) {
            self.mesh.publish(Mesh(self.worker.directory, rules))
            self.loop.run()
        }

        /// What was dialled under this number is connected.
        func connect(_ index: Int) -> FakeUpstream {
            let dial = self.connector.dials[index]
            let upstream = FakeUpstream(self.worker, dial.group)
            dial.then(.success(.single(upstream)))
            return upstream
        }

        func connectShared(_ index: Int, most: Int?) -> FakeShared {
            let dial = self.connector.dials[index]
            let shared = FakeShared(self.worker, dial.group)
            shared.most = most
            dial.then(.success(.shared(shared)))
            return shared
        }

        func refuse(_ index: Int) { self.connector.dials[index].then(.failure(ChannelError.eof)) }

        /// How often a limit was met.
        func hits(_ limit: Limit) -> Int { self.metrics.hits(limit) }

        /// Where each that was dialled leads to.
        var dialled: [String] { self.connector.dials.map(\.group.endpoint.host) }
    }

    /// Chooses the endpoint that the path says: `/1` is the first.
    private struct ChoiceStage: Stage {
        static let name = "choice"

        func onRequest(_ exchange: inout Exchange) -> Verdict {
            let host = exchange.requestHeaders.withBytes(in: exchange.request.authority.host) {
                exchange.worker.rules.hosts.find($0, port: 80)
            }
            guard let host else { return .reject(ProxyError(.internal, "no host")) }
            let path = exchange.requestHeaders.string(in: exchange.request.path)
            let target = exchange.worker.state(of: host)
            let balancer = target.cluster(1, isGRPC: false, exchange.worker)
            exchange.target = target
            exchange.balancing.balancer = balancer
            exchange.balancing.index = (path.dropFirst().prefix(1).first?.wholeNumberValue ?? 1) - 1
            exchange.endpoint = balancer.set.endpoints[exchange.balancing.index]
            return .proceed
        }
    }

    let loops: [Loop]
    let plan = TrafficPlan(
        direction: .outgoing, chain: StageChain([ChoiceStage()]), settings: ProxySettings())
    private let governance = Governance()
    private var rules: MeshRules

    /// - Parameter limits: Those of the cluster, as they are written.
    /// - Parameter more: Other keys of it.
    init(_ limits: String, loops: Int = 1, more: String = "") throws {
        let (rules, governance) = (try Self.rules(limits, more), self.governance)
        self.rules = rules
        self.loops = (0..<loops).map { Loop($0, of: loops, rules, governance) }
    }

    /// Other limits from the next request on.
    func configure(_ limits: String, more: String = "") throws {
        self.rules = try Self.rules(limits, more, upon: self.rules)
        for loop in self.loops { loop.publish(self.rules) }
    }

    private static func rules(_ limits: String, _ more: String, upon old: MeshRules? = nil) throws -> MeshRules {
        let endpoints = #"endpoints: ["10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"]"#
        let cluster = "{name: small, \(endpoints), limits: \(limits)\(more)}"
        var source = ConfigSource(.files)
        source.add(
            try ConfigTree(
                yaml: "mesh: {clusters: [\(cluster)], hosts: [{name: shop, routes: [{targets: [{cluster: small}]}]}]}",
                source: "f"))
        source.add("service_description.name", .text("web", ConfigLocation("f")))
        var reader = ConfigReader(ConfigStore([source]))
        let config = MesherConfig(&reader)
        precondition(!reader.problems.contains { $0.severity == .error }, "\(reader.problems)")
        return MeshRules(config, upon: old)
    }

    /// A request on a loop, for the endpoint that the first digit of its path says.
    @discardableResult
    func begin(_ path: String = "/1", on loop: Int = 0, isHTTP2: Bool = false) -> FakeClient {
        let worker = self.loops[loop].worker
        let driver = worker.takeDriver()
        let client = FakeClient(driver)
        worker.event {
            var scanner = HeadScanner()
            let bytes = Array("GET \(path) HTTP/1.1\r\nHost: shop\r\n\r\n".utf8)
            let result = driver.exchange.scanRequest(bytes.rawSpan, &scanner, limits: HeadLimits())
            precondition(result == .complete(length: bytes.count), "malformed request of a test")
            if isHTTP2 { driver.exchange.request.flags.insert(.http2) }
            driver.begin(client, plan: self.plan, body: nil, isComplete: true)
        }
        return client
    }

    /// Every loop does what others have asked it to do, until there is nothing more.
    func settle() {
        for _ in 0..<10 { for loop in self.loops { loop.loop.run() } }
    }

    var tickets: ClusterTickets? {
        self.governance.policy(for: "shop", .virtualHost, under: self.rules).tickets.first ?? nil
    }

    /// Connections, and requests that wait for one.
    var counts: [Int] { [self.tickets?.places.count ?? -1, self.tickets?.pendingCount ?? -1] }
}
