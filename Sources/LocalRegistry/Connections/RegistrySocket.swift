// SPDX-License-Identifier: Apache-2.0

import Common
import FoundationEssentials
import NIOCore
import NIOWebSocket
import Synchronization

/// A WebSocket of the registry.
///
/// - Source: service-center 2.2: its rhythm, its limits and how it ends connections.
struct RegistrySocket: Sendable {
    /// What has been heard of the client.
    private final class Hearing: Sendable {
        private struct State {
            var last = ContinuousClock.now
            var sendsPings = false
        }

        private let state = Mutex(State())

        func note(ping: Bool) {
            self.state.withLock { state in
                state.last = .now
                if ping { state.sendsPings = true }
            }
        }

        /// Whoever sends pings itself gets none.
        var sendsPings: Bool { self.state.withLock { $0.sendsPings } }
        var isOver: Bool { self.state.withLock { $0.last.duration(to: .now) > RegistrySocket.silence } }
    }

    private typealias Writer = NIOAsyncChannelOutboundWriter<WebSocketFrame>

    private static let pingInterval = Duration.seconds(30)
    /// The connection ends when nothing is heard for so long.
    private static let silence = Duration.seconds(120)
    /// Octets of a message that a client may send: it has nothing to say.
    private static let longest = 64
    private static let instanceMissing = "heartbeat reporting failed because the instance does not exist"

    let channel: NIOAsyncChannel<WebSocketFrame, WebSocketFrame>
    let path: SocketPath
    /// The tenant's name, if the client has sent one.
    let domain: String?
    let store: RegistryStore

    func serve() async throws {
        switch self.path {
        case .watcher(let project, let consumer):
            try await self.watch(RegistryCall.tenant(self.domain, project), consumer)
        case .heartbeat(let project, let service, let instance):
            try await self.beat(RegistryCall.tenant(self.domain, project), service, instance)
        }
    }

    private func watch(_ tenant: String, _ consumer: String) async throws {
        try await self.channel.executeThenClose { inbound, outbound in
            guard let (events, id) = await self.store.watch(tenant, consumer: consumer) else {
                // Bare words and the end of the connection, as the real one does.
                try await outbound.write(Self.text(Data("service does not exist".utf8)))
                return
            }
            let hearing = Hearing()
            await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask {
                    for await event in events { try await outbound.write(Self.text(JSONEncoder().encode(event))) }
                }
                group.addTask {
                    try await Self.ping(outbound, hearing) {
                        let exists = await self.store.has(tenant, service: consumer)
                        return exists && !hearing.sendsPings
                    }
                }
                group.addTask { try await Self.read(inbound, outbound, hearing, pong: { _ in ByteBuffer() }) }
                _ = try? await group.next()
                group.cancelAll()
            }
            await self.store.unwatch(tenant, consumer: consumer, id: id)
        }
    }

    private func beat(_ tenant: String, _ service: String, _ instance: String) async throws {
        try await self.channel.executeThenClose { inbound, outbound in
            let hearing = Hearing()
            guard await self.store.has(tenant, service: service, instance: instance) else {
                return try await Self.close(outbound, 4001, Self.instanceMissing)
            }
            await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await Self.ping(outbound, hearing) { true } }
                group.addTask {
                    try await Self.read(inbound, outbound, hearing, pong: { $0 }) {
                        do {
                            try await self.store.update(tenant) { world, now in
                                try world.renew(instance, of: service, at: now)
                            }
                            return true
                        } catch {
                            try await Self.close(outbound, 4001, Self.instanceMissing)
                            return false
                        }
                    }
                }
                _ = try? await group.next()
                group.cancelAll()
            }
        }
    }

    private static func ping(
        _ outbound: Writer, _ hearing: Hearing, while isWanted: @Sendable () async -> Bool
    ) async throws {
        while !hearing.isOver {
            try await Task.sleep(for: Self.pingInterval)
            guard await isWanted() else { continue }
            try await outbound.write(WebSocketFrame(fin: true, opcode: .ping, data: ByteBuffer()))
        }
    }

    /// Reads until the client closes or says too much.
    ///
    /// - Parameter pong: What answers a ping carries, given what the ping carried.
    /// - Parameter onPong: Whether to go on after a pong.
    private static func read(
        _ inbound: NIOAsyncChannelInboundStream<WebSocketFrame>, _ outbound: Writer, _ hearing: Hearing,
        pong: (ByteBuffer) -> ByteBuffer, onPong: () async throws -> Bool = { true }
    ) async throws {
        for try await frame in inbound {
            switch frame.opcode {
            case .ping:
                hearing.note(ping: true)
                try await outbound.write(WebSocketFrame(fin: true, opcode: .pong, data: pong(frame.unmaskedData)))
            case .pong:
                hearing.note(ping: false)
                guard try await onPong() else { return }
            case .connectionClose:
                return try await outbound.write(
                    WebSocketFrame(fin: true, opcode: .connectionClose, data: frame.unmaskedData))
            default:
                guard frame.length > Self.longest else { continue }
                return try await Self.close(outbound, 1009, "")
            }
        }
    }

    private static func close(_ outbound: Writer, _ code: UInt16, _ reason: String) async throws {
        var data = ByteBuffer(integer: code)
        data.writeString(reason)
        try await outbound.write(WebSocketFrame(fin: true, opcode: .connectionClose, data: data))
    }

    private static func text(_ data: Data) -> WebSocketFrame {
        WebSocketFrame(fin: true, opcode: .text, data: ByteBuffer(bytes: data))
    }
}
