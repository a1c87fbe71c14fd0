// SPDX-License-Identifier: Apache-2.0

package import Common
import Foundation
import Logging
package import Mesher
import NIOCore
import ServiceLifecycle

/// A whole sidecar inside the test's process, on free ports: what `mesher run` puts together.
package struct TestSidecar: Sendable {
    /// The assembled program.
    package let sidecar: Assembly.Sidecar
    private let running: Task<Void, any Error>
    private let directory: String

    /// Starts a sidecar and waits until it is ready.
    ///
    /// - Parameter services: Ports of 127.0.0.1 by service name: its file registry.
    /// - Parameter applicationPort: The local application's.
    package static func start(
        services: [String: [Int]], applicationPort: Int? = nil, _ values: [String: String] = [:]
    ) async throws -> TestSidecar {
        let directory = FileManager.default.temporaryDirectory.appendingPathComponent("mesher-\(UUID().uuidString)")
            .path
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        try Self.registry(services).write(toFile: "\(directory)/services.yaml", atomically: true, encoding: .utf8)
        var source = ConfigSource(.memory)
        let defaults = [
            "service_description.name": "web", "cse.service.registry.type": "file",
            "cse.service.registry.address": "services.yaml", "cse.protocols.http.listenAddress": "127.0.0.2:0",
            "mesher.workers": "2",
        ]
        for (key, value) in defaults.merging(values, uniquingKeysWith: { $1 }) {
            source.add(key, .text(value, ConfigLocation("test")))
        }
        if let applicationPort {
            source.add("mesher.servicePorts", .text("rest:\(applicationPort)", ConfigLocation("test")))
        }
        var reader = ConfigReader(ConfigStore([source]))
        let config = MesherConfig(&reader)
        guard reader.problems.isEmpty else { throw MesherError.configuration(reader.problems) }
        let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        let surroundings = Assembly.Surroundings(
            configDirectory: directory, build: BuildInfo(executableDirectory: directory), logger: logger)
        let sidecar = try await Assembly(config, surroundings).make()
        let running = Task { try await sidecar.run() }
        await sidecar.readiness.wait(for: .registry)
        await sidecar.readiness.wait(for: .listeners)
        return TestSidecar(sidecar: sidecar, running: running, directory: directory)
    }

    /// Writes another registry file; the sidecar finds it within half a second.
    package func setServices(_ services: [String: [Int]]) throws { try self.setRegistry(Self.registry(services)) }

    /// The same with the text of the file.
    package func setRegistry(_ text: String) throws {
        try text.write(toFile: "\(self.directory)/services.yaml", atomically: true, encoding: .utf8)
    }

    /// Returns when the directory is as `condition` wants it, on every event loop.
    package func waitForDirectory(_ condition: (ServiceDirectory) -> Bool) async throws {
        while !condition(self.sidecar.directory.current) { try await Task.sleep(for: .milliseconds(2)) }
        // What was published is in the queue of each loop by now, and behind it is this.
        for loop in self.sidecar.loops.makeIterator() { try await loop.submit {}.get() }
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

    private static func registry(_ services: [String: [Int]]) -> String {
        let entries = services.map { name, ports in
            "{name: \(name), instance: [\(ports.map { "\"rest://127.0.0.1:\($0)\"" }.joined(separator: ", "))]}"
        }
        return "service: [\(entries.joined(separator: ", "))]\n"
    }
}
