// SPDX-License-Identifier: Apache-2.0

import Common
import FoundationEssentials
import Logging
import NIOCore
import NIOSSL
import NIOTLS
import TLS

/// Watches one TLS handshake, and lets nothing happen before it is known who the other side is.
///
/// Then it leaves the pipeline to the codec: requests pay nothing for it.
///
/// - Source: promise T2.
final class TLSHandshake: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer

    /// How it ended.
    enum Result {
        /// With the protocol of ALPN; the handler of the protocol is to be added now.
        case completed(NegotiatedProtocol, ChannelHandlerContext)
        case failed
    }

    private let material: TLSMaterial
    private let service: String?
    private let serverName: String?
    private let names: [String]?
    private let metrics: TLSMetrics
    private let logger: Logger
    private let limit: TimeAmount
    private var budget: ConnectionBudget?
    private var timer: Scheduled<Void>?
    private var onResult: ((Result) -> Void)?

    /// - Parameter service: The called service; `nil` on the side of a server.
    /// - Parameter serverName: What the server is asked for where that is neither the service nor what the tag says.
    /// - Parameter names: What the server has to prove in place of these; see ``TLSMaterial/refusal(of:service:serverName:names:)``.
    /// - Parameter limit: How long the handshake may take.
    /// - Parameter budget: Where the connection has a place. It is given back here unless the handshake completes: then it
    ///   is for `onResult` to pass it on.
    init(
        _ material: TLSMaterial, service: String?, serverName: String? = nil, names: [String]? = nil,
        metrics: TLSMetrics, logger: Logger, limit: TimeAmount,
        budget: ConnectionBudget? = nil, onResult: @escaping (Result) -> Void
    ) {
        self.budget = budget
        self.material = material
        self.service = service
        self.serverName = serverName
        self.names = names
        self.metrics = metrics
        self.logger = logger
        self.limit = limit
        self.onResult = onResult
    }

    func handlerAdded(context: ChannelHandlerContext) {
        self.timer = context.eventLoop.assumeIsolated().scheduleTask(in: self.limit) {
            self.fail("timeout", context)
        }
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.timer?.cancel()
        self.budget.take()?.leave()
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        guard case .handshakeCompleted(let negotiated) = event as? TLSUserEvent, let onResult = self.onResult else {
            context.fireUserInboundEventTriggered(event)
            return
        }
        let certificate = try? context.pipeline.syncOperations.nioSSL_peerCertificate()
        if self.material.tag.verifiesPeer,
            let reason = self.material.refusal(
                of: certificate, service: self.service, serverName: self.serverName, names: self.names)
        {
            return self.fail(reason, context)
        }
        // A session that is resumed has not been looked at again: its certificate may have ended meanwhile.
        if self.material.tag.verifiesPeer, let certificate {
            let now = Int(Date().timeIntervalSince1970)
            if Int(certificate.notValidAfter) <= now { return self.fail("expired", context) }
            if Int(certificate.notValidBefore) > now { return self.fail("not_yet_valid", context) }
        }
        self.onResult = nil
        self.budget = nil
        onResult(.completed(NegotiatedProtocol(negotiated), context))
        context.pipeline.syncOperations.removeHandler(self, promise: nil)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        let certificate = try? context.pipeline.syncOperations.nioSSL_peerCertificate()
        self.fail(TLSFailure.reason(error, certificate, at: Date()), context)
    }

    func channelInactive(context: ChannelHandlerContext) {
        self.fail("closed", context)
        context.fireChannelInactive()
    }

    /// Says why, once, and ends the connection.
    private func fail(_ reason: String, _ context: ChannelHandlerContext) {
        self.timer?.cancel()
        guard let onResult = self.onResult.take() else { return }
        if let leftOut = self.metrics.failed(self.material.tag.side, reason, at: .now()) {
            self.report(reason, leftOut, context)
        }
        onResult(.failed)
        context.close(promise: nil)
    }

    private func report(_ reason: String, _ leftOut: Int, _ context: ChannelHandlerContext) {
        var metadata: Logger.Metadata = [
            "reason": "\(reason)", "tag": "\(self.material.tag.name)",
            "peer": "\(context.channel.remoteAddress?.ipAddress ?? "?")", "service": "\(self.service ?? "")",
        ]
        if leftOut > 0 { metadata["leftOut"] = "\(leftOut)" }
        self.logger.notice("TLS handshake failed", metadata: metadata)
    }
}

/// Why handshakes fail, as metrics and logs say it.
enum TLSFailure {
    /// - Parameter error: What the library says.
    /// - Parameter certificate: What the other side has shown, if anything.
    static func reason(_ error: any Error, _ certificate: NIOSSLCertificate?, at now: Date) -> String {
        if Self.isEnd(error) { return "closed" }
        let text = "\(error)"
        if text.contains("CERTIFICATE_VERIFY_FAILED") {
            guard let certificate else { return "unknown_authority" }
            let seconds = Int(now.timeIntervalSince1970)
            if Int(certificate.notValidAfter) <= seconds { return "expired" }
            if Int(certificate.notValidBefore) > seconds { return "not_yet_valid" }
            return "unknown_authority"
        }
        for (part, reason) in Self.reasons where text.contains(part) { return reason }
        return "other"
    }

    /// Whether the other side has just gone away, as who only looks whether a port is open does: with FIN, or with RST.
    private static func isEnd(_ error: any Error) -> Bool {
        switch error {
        case NIOSSLError.uncleanShutdown, is IOError: true
        case NIOSSLError.handshakeFailed(.sslError([.eofDuringHandshake])): true
        default: false
        }
    }

    private static let reasons: [(String, String)] = [
        ("PEER_DID_NOT_RETURN_A_CERTIFICATE", "no_certificate"), ("CERTIFICATE_REQUIRED", "no_certificate"),
        ("ALERT_CERTIFICATE_EXPIRED", "expired"), ("ALERT_UNKNOWN_CA", "unknown_authority"),
        ("HTTP_REQUEST", "plain_text"), ("WRONG_VERSION_NUMBER", "plain_text"), ("HTTPS_PROXY_REQUEST", "plain_text"),
        ("UNEXPECTED_MESSAGE", "plain_text"),
        ("UNSUPPORTED_PROTOCOL", "protocol"), ("PROTOCOL_VERSION", "protocol"), ("NO_SHARED_CIPHER", "protocol"),
        ("NO_APPLICATION_PROTOCOL", "protocol"), ("HANDSHAKE_FAILURE", "protocol"),
        ("BAD_CERTIFICATE", "refused"), ("CERTIFICATE_UNKNOWN", "refused"), ("ACCESS_DENIED", "refused"),
    ]
}
