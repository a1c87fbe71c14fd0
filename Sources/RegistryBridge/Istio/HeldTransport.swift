// SPDX-License-Identifier: Apache-2.0

import Common
import IstioMessages
import SwiftProtobuf

/// How the endpoints of a cluster want to be spoken to: each takes the first choice whose labels it has.
///
/// - Source: Envoy's `Cluster.transport_socket_matches`, which Istio uses for automatic mutual TLS.
struct HeldTransport: Sendable, Equatable {
    private struct Choice: Sendable, Equatable {
        /// What the endpoint has to say of itself.
        let labels: [String: String]
        /// `nil` for plain text.
        let tls: MeshTLS?
    }

    private let choices: [Choice]
    /// For endpoints that no choice is for; `nil` for plain text.
    private let usual: MeshTLS?
    /// What cannot be followed, as logs say it.
    let gaps: [String]

    /// TLS to the endpoints that want it; Istio has one form for all of a cluster.
    var tls: MeshTLS? { self.choices.lazy.compactMap(\.tls).first ?? self.usual }

    /// What an endpoint is spoken to in; `nil` for plain text.
    func tls(for labels: [String: String]) -> MeshTLS? {
        for choice in self.choices where choice.labels.allSatisfy({ labels[$0.key] == $0.value }) { return choice.tls }
        return self.usual
    }

    /// Reads those of a cluster.
    init(_ message: XDSCluster) throws(ResourceMistake) {
        var gaps: [String] = []
        let (options, host) = (XDSHttpProtocolOptions.of(message), ClusterName(message.name)?.host)
        var choices: [Choice] = []
        for match in message.transportSocketMatches {
            let labels = match.match.fields.mapValues { $0.stringValue }
            choices.append(Choice(labels: labels, tls: try Self.tls(match.transportSocket, options, host, &gaps)))
        }
        self.choices = choices
        if message.hasTransportSocket {
            self.usual = try Self.tls(message.transportSocket, options, host, &gaps)
        } else {
            self.usual = message.hasTlsContext ? try Self.tls(message.tlsContext, options, host, &gaps) : nil
        }
        if Set(choices.compactMap(\.tls) + [self.usual].compactMap(\.self)).count > 1 {
            gaps.append("endpoints want different forms of TLS: all get the first")
        }
        self.gaps = gaps
    }

    private static func tls(
        _ socket: XDSCluster.TransportSocket, _ options: XDSHttpProtocolOptions?, _ host: String?,
        _ gaps: inout [String]
    ) throws(ResourceMistake) -> MeshTLS? {
        guard let context = try Self.context(of: socket) else { return nil }
        return try Self.tls(context, options, host, &gaps)
    }

    /// What a socket says of TLS; `nil` for plain text.
    private static func context(
        of socket: XDSCluster.TransportSocket
    ) throws(ResourceMistake) -> XDSUpstreamTlsContext? {
        guard socket.hasTypedConfig else {
            // xDS v2 says it in JSON.
            guard socket.hasConfig, socket.name == "tls" || socket.name == "envoy.transport_sockets.tls" else {
                return nil
            }
            return try socket.config.read(XDSUpstreamTlsContext.self, of: "transport_socket")
        }
        let type = socket.typedConfig.typeURL
        guard type.hasSuffix(".tls.v3.UpstreamTlsContext") || type.hasSuffix(".api.v2.auth.UpstreamTlsContext") else {
            if !type.hasSuffix(".raw_buffer.v3.RawBuffer"), !type.hasSuffix(".raw_buffer.v2.RawBuffer") {
                throw ResourceMistake("transport_socket \(socket.name) is unknown")
            }
            return nil
        }
        do {
            return try XDSUpstreamTlsContext(serializedBytes: socket.typedConfig.value)
        } catch {
            throw ResourceMistake("the bytes of transport_socket are no UpstreamTlsContext")
        }
    }

    private static func tls(
        _ context: XDSUpstreamTlsContext, _ options: XDSHttpProtocolOptions?, _ host: String?,
        _ gaps: inout [String]
    ) throws(ResourceMistake) -> MeshTLS {
        let common = context.commonTlsContext
        let certificate = common.tlsCertificateSdsSecretConfigs.first?.name ?? ""
        var (authorities, names): (String, [String]) = ("", [])
        switch common.validationContextType {
        case .validationContextSdsSecretConfig(let secret): authorities = secret.name
        case .validationContext(let validation):
            authorities = validation.trustedCa.filename.isEmpty ? "" : "file-root:\(validation.trustedCa.filename)"
            names = Self.names(validation, &gaps)
        case .combinedValidationContext(let both):
            authorities = both.validationContextSdsSecretConfig.name
            names = Self.names(both.defaultValidationContext, &gaps)
        case nil: break
        }
        var serverName = context.sni
        if let automatic = options?.upstreamHTTPProtocolOptions {
            if serverName.isEmpty, automatic.autoSni { serverName = host ?? "" }
            if names.isEmpty, automatic.autoSanValidation, !serverName.isEmpty { names = [serverName] }
        }
        return MeshTLS(
            try Self.credentials(certificate, authorities, common.tlsCertificates.first, &gaps),
            serverName: serverName, names: names)
    }

    /// Istio names the secrets of its agent, and files.
    ///
    /// - Parameter written: A certificate that is named as such, as xDS v2 does it.
    private static func credentials(
        _ certificate: String, _ authorities: String, _ written: XDSTlsCertificate?, _ gaps: inout [String]
    ) throws(ResourceMistake) -> MeshTLS.Credentials {
        if certificate == "default" || authorities == "ROOTCA" { return .identity }
        var chain = written?.certificateChain.filename ?? ""
        var key = written?.privateKey.filename ?? ""
        if let files = Self.rest(of: certificate, after: "file-cert:") {
            let parts = files.split(separator: "~", omittingEmptySubsequences: false)
            guard parts.count == 2 else { throw ResourceMistake("\(certificate) names no two files") }
            (chain, key) = (String(parts[0]), String(parts[1]))
        } else if !certificate.isEmpty {
            gaps.append("the secret \(certificate) is not asked for: no certificate is shown")
        }
        let root = Self.rest(of: authorities, after: "file-root:")
        if root == nil, !authorities.isEmpty {
            throw ResourceMistake("the secret \(authorities) is not known, and nobody could be believed")
        }
        return .files(certificate: chain, key: key, authorities: root == "system" ? Self.system : root ?? "")
    }

    /// Where Debian, and images of it, have the authorities of the public.
    private static let system = "/etc/ssl/certs/ca-certificates.crt"

    private static func rest(of name: String, after prefix: String) -> String? {
        name.hasPrefix(prefix) ? String(name.dropFirst(prefix.count)) : nil
    }

    private static func names(_ validation: XDSCertificateValidationContext, _ gaps: inout [String]) -> [String] {
        let matchers = validation.matchSubjectAltNames + validation.matchTypedSubjectAltNames.map(\.matcher)
        let exact = matchers.compactMap { matcher -> String? in
            if case .exact(let name)? = matcher.matchPattern { name } else { nil }
        }
        guard exact.count < matchers.count else { return exact + validation.verifySubjectAltName }
        gaps.append("a name of certificates that is no whole name is not compared: it is nobody's")
        // Nothing that a certificate can have.
        return exact.isEmpty ? ["://"] : exact
    }
}

extension XDSHttpProtocolOptions {
    /// Those of a cluster; `nil` where it has none that can be read.
    static func of(_ cluster: XDSCluster) -> XDSHttpProtocolOptions? {
        cluster.typedExtensionProtocolOptions["envoy.extensions.upstreams.http.v3.HttpProtocolOptions"]
            .flatMap { try? XDSHttpProtocolOptions(serializedBytes: $0.value) }
    }
}
