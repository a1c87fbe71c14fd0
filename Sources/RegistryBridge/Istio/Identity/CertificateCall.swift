// SPDX-License-Identifier: Apache-2.0

import GRPCCore
import IstioMessages
import SwiftProtobuf

/// One call of the mesh's certificate authority.
///
/// - Source: Istio's `ca.proto`; its own agents ask for a day, and name the cluster.
struct CertificateCall: Sendable {
    private static let method = MethodDescriptor(
        fullyQualifiedService: "istio.v1.auth.IstioCertificateService", method: "CreateCertificate")
    /// Seconds.
    private static let validity: Int64 = 86_400
    /// How long an answer is waited for.
    static let patience = Duration.seconds(10)

    let channel: ControlPlaneChannel
    /// What Istio calls the Kubernetes cluster.
    let cluster: String

    /// Has a request signed.
    ///
    /// - Returns: PEM, as it was sent.
    /// - Throws: An `RPCError`, or an ``UnusableFile``.
    func run(_ request: String) async throws -> [String] {
        var message = IstioCertificateRequest()
        message.csr = request
        message.validityDuration = Self.validity
        let bytes: [UInt8] = try message.serializedBytes()
        var options = CallOptions.defaults
        options.waitForReady = false
        options.timeout = Self.patience
        return try await self.channel.withClient { client, metadata in
            var metadata = metadata
            metadata.addString(self.cluster, forKey: "clusterid")
            return try await client.unary(
                request: ClientRequest(message: bytes, metadata: metadata), descriptor: Self.method,
                serializer: WholeBytes(), deserializer: WholeBytes(), options: options
            ) { try IstioCertificateResponse(serializedBytes: $0.message).certChain }
        }
    }
}
