// SPDX-License-Identifier: Apache-2.0

import GRPCCore

/// One call of the control plane's discovery, on a connection of its own.
///
/// - Source: a response with all clusters of a large mesh is tens of MiB, while gRPC takes 4 unless told otherwise.
struct DiscoveryCall: Sendable {
    private static let largestResponse = 256 << 20

    let channel: ControlPlaneChannel
    let service: String
    let method: String

    /// Sends requests as they come, and hands over responses one after the other, until the call ends.
    ///
    /// - Throws: An `RPCError` unless the server has ended the call in order, what `receive` throws, or an ``UnusableFile``.
    func run(
        sending requests: AsyncStream<[UInt8]>, receive: @escaping @Sendable ([UInt8]) async throws -> Void
    ) async throws {
        var options = CallOptions.defaults
        options.waitForReady = false
        options.maxResponseMessageBytes = Self.largestResponse
        // Version 2.9 of the transport reads this one instead.
        options.maxRequestMessageBytes = Self.largestResponse
        try await self.channel.withClient { client, metadata in
            let request = StreamingClientRequest<[UInt8]>(metadata: metadata) { writer in
                for await request in requests { try await writer.write(request) }
            }
            try await client.bidirectionalStreaming(
                request: request,
                descriptor: MethodDescriptor(fullyQualifiedService: self.service, method: self.method),
                serializer: WholeBytes(), deserializer: WholeBytes(), options: options
            ) { response in
                for try await message in response.messages { try await receive(message) }
            }
        }
    }
}

/// Messages as they are: whoever is called reads them.
struct WholeBytes: MessageSerializer, MessageDeserializer {
    func serialize<Bytes: GRPCContiguousBytes>(_ message: [UInt8]) throws -> Bytes { Bytes(message) }

    func deserialize<Bytes: GRPCContiguousBytes>(_ serializedMessageBytes: Bytes) throws -> [UInt8] {
        unsafe serializedMessageBytes.withUnsafeBytes { unsafe [UInt8]($0) }
    }
}
