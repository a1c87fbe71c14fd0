// SPDX-License-Identifier: Apache-2.0

import Common
import FoundationEssentials
import Logging
import NIOCore
import NIOWebSocket

/// Has service-center push the changes of the services that this sidecar has looked up.
///
/// A connection that ends or falls silent is opened again after a second, then later and later, and not while the registry
/// does not answer calls either: where there is nobody to connect to, everything is asked for, which says when there is
/// again. Events between two connections are lost, so everything is asked for after each connect.
///
/// - Source: the traps of service-center 2.1's watcher: an unknown service is told in plain words after a good handshake, a
///   refused token is answered 200, and a dead connection may stay open for two minutes.
struct Watcher: Sendable {
    private enum End: Error {
        /// Anything but 101.
        case refused
        /// The registry does not know the service.
        case unknownService
    }

    /// The server pings every 30 seconds.
    private static let silence = TimeAmount.seconds(75)
    private static let eventLimit = 1 << 20

    let client: ServiceCenterClient
    let registration: RegistrationState
    let registrar: Mailbox<RegistrarMessage>
    let inbox: Mailbox<RegistryMessage>
    let status: RegistryStatus
    let loops: any EventLoopGroup
    let logger: Logger

    /// Watches until cancelled.
    func run() async {
        // Paces sockets at a registry that answers calls, which the client knows nothing of.
        var reconnect = Reconnect(self.client.pace)
        while !Task.isCancelled {
            guard let service = self.registration.current.serviceID, await self.client.isServing else {
                try? await Task.sleep(for: min(max(await self.client.pause, .milliseconds(200)), .seconds(1)))
                continue
            }
            do {
                try await self.watch(service) { reconnect.answered(at: .now) }
            } catch End.refused {
                await self.client.watchRefused()
            } catch End.unknownService {
                self.registration.lose(service)
                self.registrar.send(.registrationLost)
            } catch let error as PushSocket.NoConnection {
                self.status.update { $0.isWatching = false }
                self.inbox.send(.caughtUp)
                self.logger.debug("no connection for a watch", metadata: ["error": "\(error.cause)"])
                continue
            } catch {
                self.logger.debug("watch ended", metadata: ["error": "\(error)"])
            }
            self.status.update { $0.isWatching = false }
            try? await Task.sleep(for: reconnect.failed(at: .now))
        }
    }

    private func watch(_ service: String, onConnect: () -> Void) async throws {
        guard let target = await self.client.watchTarget(service) else { throw End.refused }
        let connected: PushSocket.Connection?
        do {
            connected = try await PushSocket.connect(
                target, silence: Self.silence, frameLimit: Self.eventLimit, loops: self.loops)
        } catch let error as PushSocket.NoConnection {
            await self.client.watchFailed(target, error)
            throw error
        }
        guard let socket = connected else { throw End.refused }
        try await withTaskCancellationHandler {
            try await socket.executeThenClose { inbound, outbound in
                onConnect()
                self.status.update { $0.isWatching = true }
                self.logger.info("watching the registry")
                self.inbox.send(.caughtUp)
                for try await frame in inbound {
                    switch frame.opcode {
                    case .text: try self.take(frame)
                    case .ping:
                        try await outbound.write(
                            WebSocketFrame(
                                fin: true, opcode: .pong, maskKey: .random(), data: frame.unmaskedData))
                    case .connectionClose: return
                    default: break
                    }
                }
            }
        } onCancel: {
            socket.channel.close(promise: nil)
        }
    }

    private func take(_ frame: WebSocketFrame) throws {
        let data = Data(frame.unmaskedData.readableBytesView)
        if let event = try? JSONDecoder().decode(WatchEvent.self, from: data) {
            // Events that there is no room for are made good by asking.
            if !self.inbox.send(.instanceChanged(event)) { throw ChannelError.inputClosed }
        } else if String(decoding: data, as: UTF8.self).contains("service does not exist") {
            throw End.unknownService
        } else {
            self.inbox.send(.caughtUp)
        }
    }
}
