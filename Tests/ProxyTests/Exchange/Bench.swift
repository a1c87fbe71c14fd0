// SPDX-License-Identifier: Apache-2.0

import Common
import Logging
import NIOCore
import NIOEmbedded
import TestSupport
import Testing

@testable import Proxy

/// A driver between a client and upstreams that are none, in virtual time.
final class Bench {
    let loop = EmbeddedEventLoop()
    let connector = FakeConnector()
    let metrics = MetricsRegistry(startTime: 0, own: MetricLabels())
    let worker: Worker
    let plan: TrafficPlan
    let stage: ScriptedStage
    /// Where copies of requests go.
    let mirrorStage: ScriptedStage

    /// - Parameter values: Configuration.
    /// - Parameter endpoints: Where each try goes.
    /// - Parameter waits: How long to wait before each further try; none when it is empty.
    /// - Parameter failures: Statuses that count as failures.
    /// - Parameter verdict: What another stage says to each try, from 1 on.
    init(
        _ values: [String: String] = [:], _ direction: Direction = .outgoing,
        endpoints: [String] = ["rest://10.0.0.1:80"], waits: [Duration] = [], failures: Set<Int> = [],
        verdict: @escaping @Sendable (Int) -> Verdict = { _ in .proceed }
    ) throws {
        // A clock that stands at its beginning would hide times that nobody has set.
        self.loop.advanceTime(by: .seconds(1000))
        let config = try TestSidecar.config(values)
        let service = Service(name: "cart", instances: [], ownApp: "default")
        self.worker = Worker(
            eventLoop: self.loop, loopCount: 1,
            mesh: Snapshot(Mesh(ServiceDirectory([service], isSynced: true), MeshRules(config)), on: self.loop),
            metrics: self.metrics,
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }, overload: Overload(),
            connector: self.connector)
        self.stage = ScriptedStage(
            ScriptedStage.State(endpoints: try endpoints.map { try Endpoint($0) }, waits: waits), service: service)
        self.mirrorStage = ScriptedStage(
            ScriptedStage.State(endpoints: [try Endpoint("rest://10.0.0.9:80")], waits: waits))
        self.plan = TrafficPlan(
            direction: direction, chain: StageChain([self.stage, GateStage(verdict)]), settings: config.proxy,
            failureStatuses: failures, mirrors: StageChain([self.mirrorStage]))
    }

    /// A request begins.
    ///
    /// - Parameter head: Lines without their ends, first the request line.
    /// - Parameter action: What its route does.
    /// - Parameter mirrors: Copies that others get.
    @discardableResult
    func begin(
        _ head: [String] = ["GET /a HTTP/1.1"], body: String? = nil, isComplete: Bool = true,
        by action: RouteAction? = nil, mirrors: [MirrorEffect] = []
    ) -> FakeClient {
        let driver = self.worker.takeDriver()
        let client = FakeClient(driver)
        self.worker.event {
            var scanner = HeadScanner()
            let bytes = Array((head + ["Host: cart", "", ""]).joined(separator: "\r\n").utf8)
            let result = driver.exchange.scanRequest(bytes.rawSpan, &scanner, limits: HeadLimits())
            precondition(result == .complete(length: bytes.count), "malformed request of a test")
            // The scanner of HTTP/1.1 does not look for it: gRPC is HTTP/2.
            if head.contains("Content-Type: application/grpc") { driver.exchange.request.flags.insert(.grpc) }
            driver.exchange.effect = action.map { RouteEffect($0, mirrors: mirrors) }
            driver.begin(
                client, plan: self.plan, body: body.map { ByteBuffer(string: $0) }, isComplete: isComplete)
        }
        return client
    }

    /// What was dialled last, or as the number says, is connected.
    @discardableResult
    func connect(_ index: Int? = nil) -> FakeUpstream {
        let dial = self.dial(index)
        let upstream = FakeUpstream(self.worker, dial.group)
        dial.then(.success(.single(upstream)))
        return upstream
    }

    /// The same for a connection that is shared.
    @discardableResult
    func connectShared(_ index: Int? = nil, _ change: (FakeShared) -> Void = { _ in }) -> FakeShared {
        let dial = self.dial(index)
        let shared = FakeShared(self.worker, dial.group)
        change(shared)
        dial.then(.success(.shared(shared)))
        return shared
    }

    /// What was dialled is not connected.
    func refuse(_ index: Int? = nil) { self.dial(index).then(.failure(ChannelError.eof)) }

    private func dial(_ index: Int?) -> FakeConnector.Dial {
        let index = index ?? self.connector.dials.count - 1
        if self.connector.dials.indices.contains(index) { return self.connector.dials[index] }
        Issue.record("nothing was dialled")
        guard let last = self.connector.dials.last else { preconditionFailure("nothing was dialled") }
        return FakeConnector.Dial(group: last.group, kind: last.kind) { _ in }
    }

    /// Lets time pass.
    func pass(_ amount: TimeAmount) { self.loop.advanceTime(by: amount) }

    /// Lets `limit` pass but for a moment, and then so much that it is noticed.
    ///
    /// - Returns: Whether `condition` held before.
    func passes(_ limit: TimeAmount, _ condition: () -> Bool) -> Bool {
        self.pass(limit - .milliseconds(1))
        let isEarly = condition()
        self.pass(.milliseconds(501))
        return isEarly
    }

    /// How often a limit was met.
    func hits(_ limit: Limit) -> Int { self.metrics.hits(limit) }

    /// What a series counts; 0 while there is none.
    func count(_ name: String, _ labels: [String: String] = [:]) -> Int { self.metrics.count(name, labels) }

    /// How the tries ended.
    var outcomes: [Outcome] { self.stage.seen.outcomes }

    /// What their instances were told of it.
    var healths: [String?] {
        self.outcomes.map { outcome in
            switch outcome.health {
            case .succeeded: "succeeded"
            case .failed(.connect): "connect"
            case .failed(.response): "response"
            case nil: nil
            }
        }
    }
}

extension FakeClient {
    /// More of the request's body.
    func send(_ text: String?, trailers: [String: String] = [:], isComplete: Bool = false) {
        self.event { driver in
            if !trailers.isEmpty {
                var block = HeaderBlock()
                for (name, value) in trailers.sorted(by: { $0.key < $1.key }) { block.append(HeaderLine(name, value)) }
                driver.exchange.requestTrailers = consume block
            }
            driver.requestBody(text.map { ByteBuffer(string: $0) }, isComplete: isComplete)
        }
    }
}

extension MetricsRegistry {
    /// How often a limit was met.
    func hits(_ limit: Limit) -> Int { self.count("mesher_limit_hits", ["limit": limit.rawValue]) }

    /// What a series counts; 0 while there is none.
    func count(_ name: String, _ labels: [String: String] = [:]) -> Int {
        let wanted = MetricLabels(labels).text
        let family = self.families().first { $0.name == "\(name)_total" }
        return Int(family?.samples.first { $0.labels.text == wanted }?.value ?? 0)
    }
}
