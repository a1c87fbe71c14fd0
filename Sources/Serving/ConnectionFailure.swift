// SPDX-License-Identifier: Apache-2.0

import AsyncHTTPClient
import Common
import NIOCore
import NIOHTTP1
import NIOHTTPCompression
import NIOPosix
import NIOSSL

#if canImport(Glibc)
    import Glibc
#endif

/// Why a server of the control plane could not be asked, in the words of people: libraries' errors are dumps of their
/// values, and those of TLS hold paths of the machine that built them.
package enum ConnectionFailure {
    /// The words for an error of a client, of its connection or of TLS.
    ///
    /// - Parameter limit: How long the answer was waited for.
    package static func text(_ error: any Error, within limit: Duration) -> String {
        switch error {
        case let error as HTTPClientError: self.text(error, limit)
        case let error as NIOConnectionError:
            error.connectionErrors.first.map { self.text($0.error, within: limit) }
                ?? (error.dnsAError ?? error.dnsAAAAError).map { _ in "no address is known of this host" }
                ?? "no connection"
        case let error as IOError: self.text(errno: error.errnoCode)
        case let error as ChannelError: self.text(error)
        case let error as NIOSSLError: self.text(tls: "\(error)")
        case let error as BoringSSLError: self.text(tls: "\(error)")
        case let error as NIOSSLExtraError where error == .failedToValidateHostname:
            "the certificate does not name this host"
        case let error as NIOSSLExtraError: self.text(tls: "\(error)")
        case is HTTPParserError: "the answer is no HTTP"
        case is NIOHTTPDecompression.DecompressionError: "the answer cannot be unpacked"
        case is SocketAddressError: "no address is known of this host"
        case is CancellationError: "the question was given up"
        default: "the connection failed (\(type(of: error)))"
        }
    }

    private static func text(_ error: HTTPClientError, _ limit: Duration) -> String {
        switch error {
        case .connectTimeout: "no connection in time"
        case .deadlineExceeded: "no whole answer within \(DurationText.write(limit))"
        case .readTimeout, .writeTimeout: "the answer stopped coming"
        case .remoteConnectionClosed: "the connection was closed before the answer"
        case .tlsHandshakeTimeout: "no TLS handshake in time"
        case .invalidURL, .emptyHost, .emptyScheme: "the address makes no sense"
        case .cancelled, .alreadyShutdown, .shutdownUnsupported: "the question was given up"
        default: "\(error.shortDescription)"
        }
    }

    private static func text(_ error: ChannelError) -> String {
        switch error {
        case .connectTimeout: "no connection in time"
        default: "the connection was closed"
        }
    }

    private static func text(errno: CInt) -> String {
        switch errno {
        case ENETUNREACH: "the network cannot be reached"
        case ECONNABORTED, ECONNRESET, EPIPE: "the connection was reset"
        case ETIMEDOUT: "no connection in time"
        case ECONNREFUSED: "connection refused"
        case EHOSTUNREACH: "the host cannot be reached"
        case EMFILE, ENFILE: "no more files can be opened"
        case EADDRNOTAVAIL: "no local address is free"
        default: "the connection failed (error \(errno))"
        }
    }

    /// The library's own words, which begin with its place in the sources; the reason stands in capitals.
    private static func text(tls: String) -> String {
        let known = [
            ("CERTIFICATE_VERIFY_FAILED", "the certificate is not vouched for by anybody in caFile"),
            ("CERTIFICATE_REQUIRED", "the server wants a certificate: write certFile and keyFile"),
            (
                "HANDSHAKE_FAILURE",
                "the server refuses the TLS handshake: it may want a certificate (certFile, keyFile)"
            ),
            ("UNKNOWN_CA", "the server does not know who vouches for the certificate of certFile"),
            ("BAD_CERTIFICATE", "the server refuses the certificate of certFile"),
            ("WRONG_VERSION_NUMBER", "no TLS is spoken there: write http:// before the address"),
            ("HTTP_REQUEST", "no TLS is spoken there: write http:// before the address"),
            ("PROTOCOL_VERSION", "no version of TLS is spoken on both sides"),
            ("UNSUPPORTED_PROTOCOL", "no version of TLS is spoken on both sides"),
            ("uncleanShutdown", "the connection was closed before the answer"),
        ]
        if let reason = known.first(where: { tls.contains($0.0) }) { return reason.1 }
        let words = tls.split { !($0.isUppercase || $0 == "_") }
        let reason = words.filter { $0.contains("_") }.max { $0.count < $1.count }
        return "TLS failed" + (reason.map { " (\($0.lowercased().replacing("_", with: " ")))" } ?? "")
    }
}
