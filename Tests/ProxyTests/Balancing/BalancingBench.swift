// SPDX-License-Identifier: Apache-2.0

import Common
import Logging
import NIOCore
import NIOEmbedded
import TestSupport

@testable import Proxy

/// One event loop's state of services, as directories and configurations follow each other.
final class BalancingBench {
    let loop = EmbeddedEventLoop()
    let worker: Worker
    private let mesh: Snapshot<Mesh>

    /// - Parameter services: By name, the endpoints of their instances.
    /// - Parameter values: Configuration.
    init(_ services: [String: [String]], _ values: [String: String] = [:], loopCount: Int = 1) throws {
        // A clock that stands at its beginning would hide times that nobody has set.
        self.loop.advanceTime(by: .seconds(1000))
        self.mesh = Snapshot(Mesh(.empty, MeshRules(try TestSidecar.config(values))), on: self.loop)
        self.worker = Worker(
            eventLoop: self.loop, loopCount: loopCount, mesh: self.mesh,
            metrics: MetricsRegistry(startTime: 0, own: MetricLabels()),
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }, overload: Overload())
        try self.publish(services)
    }

    /// The next directory; what is the same as in the last one keeps its identity.
    func publish(_ services: [String: [String]]) throws {
        var builder = ServiceDirectoryBuilder(upon: self.worker.directory, ownApp: "default")
        for (name, endpoints) in services.sorted(by: { $0.key < $1.key }) {
            let instances = try endpoints.map { text in
                Instance(
                    id: text, version: "1.0", app: "default", status: .up, properties: [:],
                    endpoints: [try builder.endpoint(text)])
            }
            builder.add(name, instances)
        }
        self.mesh.publish(Mesh(builder.build(), self.worker.rules))
        self.loop.run()
    }

    /// A directory of one cluster that a control plane has named.
    func assign(_ entries: [ClusterEntry], weights: [LocalityWeight] = [], to name: String = "cart") throws {
        var builder = ServiceDirectoryBuilder(upon: self.worker.directory, ownApp: "default")
        builder.addCluster(name, entries, localityWeights: weights)
        self.mesh.publish(Mesh(builder.build(), self.worker.rules))
        self.loop.run()
    }

    /// Another configuration.
    func configure(_ values: [String: String]) throws {
        let rules = MeshRules(try TestSidecar.config(values), upon: self.worker.rules)
        self.mesh.publish(Mesh(self.worker.directory, rules))
        self.loop.run()
    }

    /// What the loop has of a service, by way of the newest directory.
    func state(_ name: String = "cart") throws -> ServiceState {
        guard let service = self.worker.directory[name] else { throw Unknown(name: name) }
        self.advance(.zero)
        return self.worker.state(of: service)
    }

    /// The default endpoints of a service.
    func balancer(_ name: String = "cart") throws -> ClusterBalancer {
        try self.state(name).cluster(0, isGRPC: false, self.worker)
    }

    /// Lets time pass.
    func advance(_ time: TimeAmount) {
        self.loop.advanceTime(by: time)
        self.worker.event {}
    }

    /// As many instances as text.
    static func endpoints(_ count: Int, from first: Int = 1) -> [String] {
        (first..<first + count).map { "rest://10.0.0.\($0):80" }
    }

    private struct Unknown: Error {
        let name: String
    }
}
