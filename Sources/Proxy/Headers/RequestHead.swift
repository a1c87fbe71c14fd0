// SPDX-License-Identifier: Apache-2.0
// request path

/// A request method.
///
/// Only those are told apart that change how a message is framed, retried or routed.
package enum HTTPMethod: UInt8, Sendable {
    case get, head, post, put, delete, options, patch, connect, trace
    /// Any other token; its bytes are at the start of the head.
    case other

    /// Whether repeating the request does no harm.
    ///
    /// - Source: RFC 9110 §9.2.2. TRACE is left out: it is never forwarded.
    package var isIdempotent: Bool {
        switch self {
        case .get, .head, .options, .put, .delete: true
        case .post, .patch, .connect, .trace, .other: false
        }
    }

    /// Whether requests usually have a body, so that its absence has to be said.
    ///
    /// - Source: RFC 9110 §8.6.
    var expectsBody: Bool {
        switch self {
        case .post, .put, .patch: true
        case .get, .head, .delete, .options, .connect, .trace, .other: false
        }
    }
}

/// The four forms of a request target.
///
/// - Source: RFC 9112 §3.2.
package enum TargetForm: UInt8, Sendable {
    /// `/path?query`: to an origin server or a reverse proxy.
    case origin
    /// `http://host/path?query`: to a proxy.
    case absolute
    /// `host:port`, of CONNECT only.
    case authority
    /// `*`, of OPTIONS only.
    case asterisk
}

/// Where a host and a port are in the bytes of a head.
package struct Authority: Sendable, Equatable {
    /// Host and port, as written; what a forwarded `Host` says.
    package var whole = ByteRange()
    /// The host, without the brackets of an IPv6 address, and without the dot that may end a name.
    package var host = ByteRange()
    /// The digits of the port; empty when none is written.
    package var portDigits = ByteRange()
    /// The port; 0 when none is written.
    package var port: UInt16 = 0

    /// No host.
    package init() {}
}

/// What the head of a request says beyond its header fields.
///
/// Offsets are into the bytes of its ``HeaderBlock``.
package struct RequestHead: Sendable {
    /// Facts about the connection and the body, found while scanning.
    package struct Flags: OptionSet, Sendable {
        package let rawValue: UInt16
        package init(rawValue: UInt16) { self.rawValue = rawValue }

        /// `Connection: close`.
        package static var close: Self { Self(rawValue: 1) }
        /// `Connection: keep-alive`, which matters to HTTP/1.0 only.
        package static var keepAlive: Self { Self(rawValue: 2) }
        /// `Connection` names `upgrade`.
        package static var connectionUpgrade: Self { Self(rawValue: 4) }
        /// `Upgrade: websocket` alone.
        package static var websocket: Self { Self(rawValue: 8) }
        /// `Expect: 100-continue`.
        package static var expectContinue: Self { Self(rawValue: 16) }
        /// `Expect` asks for something else.
        package static var unknownExpectation: Self { Self(rawValue: 32) }
        /// The body is chunked.
        package static var chunked: Self { Self(rawValue: 64) }
        /// A `Host` field is there.
        package static var host: Self { Self(rawValue: 128) }
        /// A `Content-Length` field is there.
        package static var contentLength: Self { Self(rawValue: 256) }
        /// The target names the authority itself, so `Host` does not count.
        package static var absoluteTarget: Self { Self(rawValue: 512) }
        /// The client takes trailers (`TE: trailers`).
        package static var acceptsTrailers: Self { Self(rawValue: 1024) }
        /// The body is of gRPC (`Content-Type: application/grpc`).
        package static var grpc: Self { Self(rawValue: 2048) }
        /// It came in HTTP/2.
        package static var http2: Self { Self(rawValue: 4096) }
        /// The target is a URL of the scheme `ws`.
        package static var websocketTarget: Self { Self(rawValue: 8192) }
        /// It was sent as to a server, and `Host` stands for a target that names the authority.
        package static var hostTarget: Self { Self(rawValue: 16_384) }
    }

    /// The method.
    package var method = HTTPMethod.other
    /// The method's bytes.
    package var methodName = ByteRange()
    /// The form of the target.
    package var form = TargetForm.origin
    /// Path and query as they came; empty or beginning with `?` when an absolute target has no path.
    package var path = ByteRange()
    /// Whom the request is for: the target's authority, or else the `Host` field.
    package var authority = Authority()
    /// The minor version: 0 or 1.
    package var minorVersion: UInt8 = 1
    /// See ``Flags``.
    package var flags: Flags = []
    /// The value of `Content-Length`; 0 when there is none.
    package var contentLength = 0

    /// A head to be scanned into.
    package init() {}

    /// Whether a body follows.
    package var hasBody: Bool { self.contentLength > 0 || self.flags.contains(.chunked) }

    /// Whether the client means to go on with this connection.
    ///
    /// - Source: RFC 9112 §9.3.
    package var wantsKeepAlive: Bool {
        if self.flags.contains(.close) { return false }
        return self.minorVersion >= 1 || self.flags.contains(.keepAlive)
    }

    /// Whether this is a request for a WebSocket that may be forwarded as such: GET, HTTP/1.1, without a body.
    package var isWebSocketUpgrade: Bool {
        self.flags.isSuperset(of: [.connectionUpgrade, .websocket]) && self.method == .get && self.minorVersion >= 1
            && !self.hasBody
    }
}

/// What the head of a response says beyond its header fields.
package struct ResponseHead: Sendable {
    /// Facts about the connection and the body, found while scanning.
    package struct Flags: OptionSet, Sendable {
        package let rawValue: UInt8
        package init(rawValue: UInt8) { self.rawValue = rawValue }

        /// `Connection: close`.
        package static var close: Self { Self(rawValue: 1) }
        /// `Connection: keep-alive`, which matters to HTTP/1.0 only.
        package static var keepAlive: Self { Self(rawValue: 2) }
        /// `Upgrade: websocket` alone.
        package static var websocket: Self { Self(rawValue: 4) }
        /// The body is chunked.
        package static var chunked: Self { Self(rawValue: 8) }
        /// A `Content-Length` field is there.
        package static var contentLength: Self { Self(rawValue: 16) }
        /// It came in HTTP/2, which has no reason phrase.
        package static var http2: Self { Self(rawValue: 32) }
    }

    /// 100…599.
    package var status = 0
    /// The reason phrase's bytes; may be empty.
    package var reason = ByteRange()
    /// The minor version: 0 or 1.
    package var minorVersion: UInt8 = 1
    /// See ``Flags``.
    package var flags: Flags = []
    /// The value of `Content-Length`; 0 when there is none.
    package var contentLength = 0

    /// A head to be scanned into.
    package init() {}

    /// Whether the upstream keeps this connection open.
    package var keepsAlive: Bool {
        if self.flags.contains(.close) { return false }
        return self.minorVersion >= 1 || self.flags.contains(.keepAlive)
    }
}
