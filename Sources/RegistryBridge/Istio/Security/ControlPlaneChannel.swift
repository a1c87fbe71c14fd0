// SPDX-License-Identifier: Apache-2.0

import Common
import GRPCCore
import GRPCNIOTransportHTTP2Posix
import NIOCore

/// A connection to Istio's control plane for the length of one call.
///
/// - Source: gRPC keeps a connection alive by pings; 30 s and 10 s are what Istio's servers allow.
struct ControlPlaneChannel: Sendable {
    private static let keepalive = HTTP2ClientTransport.Config.Keepalive(
        time: .seconds(30), timeout: .seconds(10), allowWithoutCalls: true)

    /// Where, and by which name it is called there.
    let server: ServerAddress
    /// An address without brackets.
    let address: String
    let access: ControlPlaneAccess
    let loops: any EventLoopGroup

    /// Opens it for `body`, which is given what a call has to say to show who calls.
    ///
    /// - Throws: An ``UnusableFile`` before anything is sent, else what `body` throws.
    func withClient<Value: Sendable>(
        _ body: (GRPCClient<HTTP2ClientTransport.Posix>, Metadata) async throws -> Value
    ) async throws -> Value {
        let (metadata, tls) = (try self.access.metadata(for: self.server), try self.access.security(of: self.server))
        let transport = try HTTP2ClientTransport.Posix(
            target: self.target, transportSecurity: tls == nil ? .plaintext : .customSecure,
            config: .defaults {
                $0.connection.keepalive = Self.keepalive
                $0.http2.authority = "\(self.name):\(self.server.port)"
                guard let tls else { return }
                $0.channelDebuggingCallbacks.onCreateTCPConnection = { channel in
                    channel.eventLoop.makeCompletedFuture { try tls.add(to: channel) }
                }
            }, eventLoopGroup: self.loops)
        return try await withGRPCClient(transport: transport) { try await body($0, metadata) }
    }

    private var name: String {
        self.server.isSecure ? self.access.config.serverName(of: self.server) : self.server.host.asHost
    }

    private var target: any ResolvableTarget {
        self.address.contains(":")
            ? .ipv6(address: self.address, port: self.server.port)
            : .ipv4(address: self.address, port: self.server.port)
    }
}
