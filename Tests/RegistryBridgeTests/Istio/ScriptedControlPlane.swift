// SPDX-License-Identifier: Apache-2.0

import GRPCCore
import GRPCNIOTransportHTTP2Posix
import IstioMessages
import SwiftProtobuf
import Synchronization

@testable import RegistryBridge

/// A control plane that answers requests as a test says, in one form of the protocol or in both.
final class ScriptedControlPlane: RegistrableRPCService {
    /// What becomes of a request.
    enum Reply<Response: Sendable>: Sendable {
        case nothing
        case send(Response)
        case end
    }

    private let service: String
    /// Every request of state of the world so far.
    let world = Mutex<[XDSDiscoveryRequest]>([])
    /// Every delta request so far.
    let delta = Mutex<[XDSDeltaDiscoveryRequest]>([])
    private let onWorld: (@Sendable (XDSDiscoveryRequest) -> Reply<XDSDiscoveryResponse>)?
    private let onDelta: (@Sendable (XDSDeltaDiscoveryRequest) -> Reply<XDSDeltaDiscoveryResponse>)?

    /// - Parameter version: Which version of xDS it speaks, and no other.
    init(
        version: String = "v3",
        world: (@Sendable (XDSDiscoveryRequest) -> Reply<XDSDiscoveryResponse>)? = nil,
        delta: (@Sendable (XDSDeltaDiscoveryRequest) -> Reply<XDSDeltaDiscoveryResponse>)? = nil
    ) {
        self.service = "envoy.service.discovery.\(version).AggregatedDiscoveryService"
        self.onWorld = world
        self.onDelta = delta
    }

    func registerMethods<Transport: ServerTransport>(with router: inout RPCRouter<Transport>) {
        if let answer = self.onWorld {
            self.register(WorldStream.method, with: &router) { (request: XDSDiscoveryRequest) in
                self.world.withLock { $0.append(request) }
                return answer(request)
            }
        }
        if let answer = self.onDelta {
            self.register(DeltaStream.method, with: &router) { (request: XDSDeltaDiscoveryRequest) in
                self.delta.withLock { $0.append(request) }
                return answer(request)
            }
        }
    }

    private func register<Transport: ServerTransport, Request: Message, Response: Message>(
        _ method: String, with router: inout RPCRouter<Transport>,
        answer: @escaping @Sendable (Request) -> Reply<Response>
    ) {
        router.registerHandler(
            forMethod: MethodDescriptor(fullyQualifiedService: self.service, method: method),
            deserializer: WholeBytes(), serializer: WholeBytes()
        ) { request, _ in
            StreamingServerResponse<[UInt8]> { writer in
                for try await bytes in request.messages {
                    switch answer(try Request(serializedBytes: bytes)) {
                    case .nothing: break
                    case .send(let response): try await writer.write(response.serializedBytes())
                    case .end: return [:]
                    }
                }
                return [:]
            }
        }
    }

    /// Serves on a port of its own while `body` runs.
    func serving(_ body: (_ port: Int) async throws -> Void) async throws {
        let transport = HTTP2ServerTransport.Posix(
            address: .ipv4(host: "127.0.0.1", port: 0), transportSecurity: .plaintext)
        try await withGRPCServer(transport: transport, services: [self]) { _ in
            try await body(transport.listeningAddress.ipv4?.port ?? 0)
        }
    }
}
