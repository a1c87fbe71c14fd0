// SPDX-License-Identifier: Apache-2.0

import Common
import FoundationEssentials
import Logging
import NIOCore
import NIOHTTP1
import NIOWebSocket

/// Settings from config center: asked for at intervals and, when it pushes, at once after each push.
///
/// What a push says is not taken, as it may be about a part: it is the sign to ask for everything.
///
/// - Source: the calls of the original's client, versions 2 and 3.
actor ConfigCenterSource: ConfigServer {
    private enum Nudge: Sendable { case pushed }

    private enum End: Error {
        case refused
    }

    private let client: ConfigServerClient
    private let config: ConfigServerConfig
    private let path: String
    private let query: String
    private let loops: any EventLoopGroup
    private let logger: Logger
    private let nudges = Mailbox<Nudge>("config center", capacity: 1, whenFull: .dropNewest)

    private static let pingInterval = Duration.seconds(7.5)
    private static let silence = TimeAmount.seconds(15)
    private static let frameLimit = ConfigServerClient.bodyLimit
    /// The server takes no longer one.
    private static let dimensionLimit = 256

    init(
        _ config: ConfigServerConfig, scope: ConfigServerScope, client: ConfigServerClient,
        loops: any EventLoopGroup, logger: Logger
    ) {
        self.client = client
        self.config = config
        let project = ConfigServerClient.escaped(config.project)
        self.path = config.version == "v2" ? "/configuration/v2" : "/v3/\(project)/configuration"
        let dimension = "\(scope.service)@\(scope.app)#\(scope.version)"
        if dimension.count > Self.dimensionLimit {
            logger.warning(
                "config center takes no name of a service, its application and version of more than 256 characters in all",
                metadata: ["name": "\(dimension)"])
        }
        // Whole: a shorter name would be another service's.
        self.query = "?dimensionsInfo=\(ConfigServerClient.escaped(dimension))"
        self.loops = loops
        self.logger = logger
    }

    /// What every question says.
    static func headers(_ config: ConfigServerConfig, _ scope: ConfigServerScope) -> HTTPHeaders {
        var headers: HTTPHeaders = ["X-Tenant-Name": config.tenant]
        if !scope.environment.isEmpty { headers.add(name: "X-Environment", value: scope.environment) }
        return headers
    }

    func follow(_ report: @escaping @Sendable (ConfigServerReport) async -> Void) async {
        await withTaskGroup(of: Void.self) { group in
            if self.config.isPushing { group.addTask { await self.watch() } }
            group.addTask { await self.poll(report) }
        }
    }

    private func poll(_ report: @Sendable (ConfigServerReport) async -> Void) async {
        // Paces answers that make no sense: when the server is asked at all is the client's.
        var nonsense = Reconnect(self.client.pace)
        var known: [String: String]?
        var doubt = SettingsDoubt()
        while !Task.isCancelled {
            let next: ContinuousClock.Instant
            do throws(ConfigServerFailure) {
                let (settings, url) = try await self.ask()
                nonsense.answered(at: .now)
                if doubt.believes(settings, after: known, isCertain: true) {
                    known = settings
                    await report(.settings(settings, from: "config center \(url)"))
                    next = .now + self.config.interval * Double.random(in: 0.9...1.1)
                } else {
                    next = .now + SettingsDoubt.pause
                }
                if self.config.isFindingMembers { await self.findMembers() }
            } catch {
                if Task.isCancelled { return }
                await report(.failed(error.text))
                let left = await self.client.pause
                next = .now + min(left > .zero ? left : nonsense.failed(at: .now), self.config.interval)
            }
            _ = await self.nudges.receiveAll(until: next)
            // However fast it pushes.
            try? await Task.sleep(for: .milliseconds(50))
        }
    }

    private func ask() async throws(ConfigServerFailure) -> (settings: [String: String], url: String) {
        let answer = try await self.client.get("\(self.path)/items\(self.query)")
        guard answer.status == 200 else {
            throw ConfigServerFailure("\(answer.place): status \(answer.status)")
        }
        do {
            return (try ConfigCenterAnswer.settings(answer.body), answer.place.url)
        } catch {
            throw ConfigServerFailure("\(answer.place): \(error.text)")
        }
    }

    private func findMembers() async {
        guard let answer = try? await self.client.get("\(self.path)/members"), answer.status == 200,
            let members = try? JSONDecoder().decode(ConfigCenterAnswer.Members.self, from: answer.body).instances
        else { return }
        let scheme = self.config.tls == nil ? "http" : "https"
        let addresses = members.filter { $0.status == "UP" && ($0.isHttps ?? false) == (self.config.tls != nil) }
            .flatMap { $0.endpoints ?? [] }.compactMap { try? EndpointText($0) }
            .map { "\(scheme)://\($0.host.asHost):\($0.port)" }
        if !addresses.isEmpty { await self.client.setMembers(addresses) }
    }

    /// Keeps a socket open on which the server tells of changes, while it answers questions.
    private func watch() async {
        // Paces sockets, which are another port's, of which the client knows nothing.
        var reconnect = Reconnect(self.client.pace)
        while !Task.isCancelled {
            guard await self.client.isServing else {
                try? await Task.sleep(for: self.client.pace.first * 0.2)
                continue
            }
            do {
                try await self.watchOnce { reconnect.answered(at: .now) }
            } catch {
                if Task.isCancelled { return }
                self.logger.debug("watch of the configuration server ended", metadata: ["error": "\(error)"])
            }
            try? await Task.sleep(for: reconnect.failed(at: .now))
        }
    }

    private func watchOnce(onConnect: () -> Void) async throws {
        let target = try await self.target()
        let connected = try await PushSocket.connect(
            target, silence: Self.silence, frameLimit: Self.frameLimit, loops: self.loops)
        guard let socket = connected else { throw End.refused }
        try await withTaskCancellationHandler {
            try await socket.executeThenClose { inbound, outbound in
                onConnect()
                self.logger.info("watching the configuration server")
                // What has changed before it could tell.
                self.nudges.send(.pushed)
                let pings = Task {
                    while !Task.isCancelled {
                        try await Task.sleep(for: Self.pingInterval)
                        try await outbound.write(
                            WebSocketFrame(fin: true, opcode: .ping, maskKey: .random(), data: ByteBuffer()))
                    }
                }
                defer { pings.cancel() }
                for try await frame in inbound {
                    switch frame.opcode {
                    case .text, .binary: self.nudges.send(.pushed)
                    case .ping:
                        try await outbound.write(
                            WebSocketFrame(fin: true, opcode: .pong, maskKey: .random(), data: frame.unmaskedData))
                    case .connectionClose: return
                    default: break
                    }
                }
            }
        } onCancel: {
            socket.channel.close(promise: nil)
        }
    }

    private func target() async throws(End) -> PushSocket.Target {
        guard let place = await self.client.place(),
            let target = PushSocket.Target(
                place, port: self.config.pushPort, path: "\(self.path)/refresh/items\(self.query)",
                headers: await self.client.allHeaders(), tls: await self.client.currentTLS())
        else { throw .refused }
        return target
    }
}
