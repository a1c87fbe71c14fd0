// SPDX-License-Identifier: Apache-2.0

package import Common
import Foundation
package import Logging
package import Mesher
import NIOCore
import NIOPosix
import Proxy
import ServiceLifecycle
import Synchronization

/// A whole sidecar inside the test's process, on free ports: what `mesher run` puts together.
package struct TestSidecar: Sendable {
    /// The assembled program.
    package let sidecar: Assembly.Sidecar
    private let running: Task<Void, any Error>
    private let directory: String
    private let values: [String: String]

    /// Starts a sidecar and waits until it is ready.
    ///
    /// - Parameter services: Ports of 127.0.0.1 by service name: its file registry.
    /// - Parameter applicationPort: The local application's.
    /// - Parameter logger: For what the sidecar says; nobody's by default.
    /// - Parameter memory: What the sidecar takes for the memory of its process.
    package static func start(
        services: [String: [Int]], applicationPort: Int? = nil, _ values: [String: String] = [:],
        logger: Logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }, memory: ProcessMemory = .system
    ) async throws -> TestSidecar {
        let directory = FileManager.default.temporaryDirectory.appendingPathComponent("mesher-\(UUID().uuidString)")
            .path
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        try Self.registry(services).write(toFile: "\(directory)/services.yaml", atomically: true, encoding: .utf8)
        var values = [
            "service_description.name": "web", "cse.service.registry.type": "file",
            "cse.service.registry.address": "services.yaml", "cse.protocols.http.listenAddress": "127.0.0.2:0",
            "mesher.workers": "2",
        ].merging(values) { $1 }
        if let applicationPort { values["mesher.servicePorts"] = "rest:\(applicationPort)" }
        let surroundings = Assembly.Surroundings(
            configDirectory: directory, build: BuildInfo(executableDirectory: directory), logger: logger, memory: memory
        )
        let sidecar = try await Assembly(Self.config(values), surroundings).make()
        let running = Task { try await sidecar.run() }
        await sidecar.readiness.wait(for: .registry)
        await sidecar.readiness.wait(for: .listeners)
        return TestSidecar(sidecar: sidecar, running: running, directory: directory, values: values)
    }

    /// The configuration that these values stand for.
    package static func config(_ values: [String: String]) throws -> MesherConfig {
        var source = ConfigSource(.memory)
        for (key, value) in values { source.add(key, .text(value, ConfigLocation("test"))) }
        source.add("service_description.name", .text("web", ConfigLocation("test")))
        var reader = ConfigReader(ConfigStore([source]))
        let config = MesherConfig(&reader)
        guard reader.problems.isEmpty else { throw MesherError.configuration(reader.problems) }
        return config
    }

    /// Tells the components of traffic that these values hold besides those it was started with, and waits until new
    /// requests see them.
    package func change(_ values: [String: String]) async throws {
        let config = try Self.config(self.values.merging(values) { $1 })
        let before = self.generations
        self.sidecar.adopt(config)
        while zip(self.generations, before).contains(where: { $0 == $1 }) { await Task.yield() }
        try await self.settle()
    }

    private var generations: [Int] { self.sidecar.plans.map(\.generation) + [self.sidecar.mesh.generation] }

    /// Returns when each event loop has what was published before.
    package func settle() async throws { _ = try await self.sidecar.workers.gather { $0.pool.idleCount } }

    private static let nextPort = Atomic<Int>(Int(ProcessInfo.processInfo.processIdentifier) % 8_000)

    /// A port of 127.0.0.1 that was free a moment ago: below those that the kernel gives to clients, so that no
    /// connection of another test takes it meanwhile, and never the same twice.
    package static func freePort() async throws -> Int {
        while true {
            let port = 20_000 + self.nextPort.wrappingAdd(1, ordering: .relaxed).newValue % 10_000
            let channel = try? await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
                .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
                .bind(host: "127.0.0.1", port: port).get()
            guard let channel else { continue }
            try await channel.close().get()
            return port
        }
    }

    /// Writes another registry file; the sidecar finds it within half a second.
    package func setServices(_ services: [String: [Int]]) throws { try self.setRegistry(Self.registry(services)) }

    /// The same with the text of the file.
    package func setRegistry(_ text: String) throws {
        try text.write(toFile: "\(self.directory)/services.yaml", atomically: true, encoding: .utf8)
    }

    /// Returns when the directory is as `condition` wants it, on every event loop; throws when that takes too long.
    package func waitForDirectory(_ condition: (ServiceDirectory) -> Bool) async throws {
        guard await eventually({ condition(self.sidecar.mesh.current.services) }) else { throw DirectoryIsLate() }
        try await self.settle()
    }

    /// A new connection to the outgoing listener.
    package func connectOutgoing() async throws -> TestConnection { try await .open(self.sidecar.outgoing) }

    /// A new connection to the incoming listener.
    package func connectIncoming() async throws -> TestConnection {
        guard let address = self.sidecar.incoming else { preconditionFailure("the sidecar has no incoming listener") }
        return try await .open(address)
    }

    /// Stops as on SIGTERM, and waits for the end.
    package func stop() async throws {
        await self.sidecar.group.triggerGracefulShutdown()
        try await self.running.value
        try? FileManager.default.removeItem(atPath: self.directory)
    }

    /// The directory did not become what a test waits for.
    private struct DirectoryIsLate: Error {}

    private static func registry(_ services: [String: [Int]]) -> String {
        let entries = services.map { name, ports in
            "{name: \(name), instance: [\(ports.map { "\"rest://127.0.0.1:\($0)\"" }.joined(separator: ", "))]}"
        }
        return "service: [\(entries.joined(separator: ", "))]\n"
    }
}
