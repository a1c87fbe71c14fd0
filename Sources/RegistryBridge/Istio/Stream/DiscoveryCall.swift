// SPDX-License-Identifier: Apache-2.0

import Common
import GRPCCore
import GRPCNIOTransportHTTP2Posix
import NIOCore

/// One call of the control plane's discovery, on a connection of its own.
///
/// - Source: gRPC keeps a connection alive by pings; 30 s and 10 s are what Istio's servers allow. A response with all
///   clusters of a large mesh is tens of MiB, while gRPC takes 4 unless told otherwise.
struct DiscoveryCall: Sendable {
    private static let service = "envoy.service.discovery.v3.AggregatedDiscoveryService"
    private static let keepalive = HTTP2ClientTransport.Config.Keepalive(
        time: .seconds(30), timeout: .seconds(10), allowWithoutCalls: true)
    private static let largestResponse = 256 << 20

    /// Where, and by which name it is called there.
    let server: ServerAddress
    /// An address without brackets.
    let address: String
    let method: String
    let loops: any EventLoopGroup

    /// Sends requests as they come, and hands over responses one after the other, until the call ends.
    ///
    /// - Throws: An `RPCError` unless the server has ended the call in order, or what `receive` throws.
    func run(
        sending requests: AsyncStream<[UInt8]>, receive: @escaping @Sendable ([UInt8]) async throws -> Void
    ) async throws {
        let transport = try HTTP2ClientTransport.Posix(
            target: self.target, transportSecurity: .plaintext,
            config: .defaults {
                $0.connection.keepalive = Self.keepalive
                $0.http2.authority = "\(self.server.host.asHost):\(self.server.port)"
            }, eventLoopGroup: self.loops)
        var options = CallOptions.defaults
        options.waitForReady = false
        options.maxResponseMessageBytes = Self.largestResponse
        // Version 2.9 of the transport reads this one instead.
        options.maxRequestMessageBytes = Self.largestResponse
        let request = StreamingClientRequest<[UInt8]> { writer in
            for await request in requests { try await writer.write(request) }
        }
        try await withGRPCClient(transport: transport) { client in
            try await client.bidirectionalStreaming(
                request: request,
                descriptor: MethodDescriptor(fullyQualifiedService: Self.service, method: self.method),
                serializer: WholeBytes(), deserializer: WholeBytes(), options: options
            ) { response in
                for try await message in response.messages { try await receive(message) }
            }
        }
    }

    private var target: any ResolvableTarget {
        self.address.contains(":")
            ? .ipv6(address: self.address, port: self.server.port)
            : .ipv4(address: self.address, port: self.server.port)
    }
}

/// Messages as they are: whoever is called reads them.
struct WholeBytes: MessageSerializer, MessageDeserializer {
    func serialize<Bytes: GRPCContiguousBytes>(_ message: [UInt8]) throws -> Bytes { Bytes(message) }

    func deserialize<Bytes: GRPCContiguousBytes>(_ serializedMessageBytes: Bytes) throws -> [UInt8] {
        unsafe serializedMessageBytes.withUnsafeBytes { unsafe [UInt8]($0) }
    }
}
