// SPDX-License-Identifier: Apache-2.0

package import NIOCore

/// Limits and timeouts of the request path.
///
/// All of them are on by default.
///
/// - Source: limits L1–L5 and L9 and the timer decisions of the reliability promises.
package struct ProxySettings: Sendable, Equatable {
    /// Request line or status line, in bytes.
    package var maxStartLine: Int
    /// One header field line, in bytes.
    package var maxHeaderField: Int
    /// All header fields of a message together, and all trailers, in bytes.
    package var maxHeaderSection: Int
    /// Header fields of a request.
    package var maxRequestHeaders: Int
    /// Header fields of a response.
    package var maxResponseHeaders: Int
    /// Bytes that may wait on one side of an exchange before reading from the other side stops.
    package var buffer: Int
    /// Client connections of one listener.
    package var maxConnections: Int
    /// Idle upstream connections of the process.
    package var maxIdleUpstream: Int
    /// Memory of the process, in bytes; 0 stands for the limit that the system sets.
    package var maxMemory: Int
    /// Interim (1xx) answers of one exchange.
    package var maxInterimResponses: Int
    /// Requests at a time on one HTTP/2 connection.
    package var http2Streams: Int
    /// Bytes that may be on their way to mesher on one HTTP/2 stream.
    package var http2StreamWindow: Int
    /// The same on one HTTP/2 connection.
    package var http2ConnectionWindow: Int
    /// From the first byte of a request head to its last one.
    package var requestHead: TimeAmount
    /// A client connection between two requests.
    package var keepAlive: TimeAmount
    /// A request body that does not go on.
    package var requestBody: TimeAmount
    /// A response that does not go on, on either side.
    package var stream: TimeAmount
    /// Connecting to an upstream.
    package var connect: TimeAmount
    /// From the last byte of the request to the head of the response.
    package var firstByte: TimeAmount
    /// An upstream connection that waits to be used again.
    package var upstreamIdle: TimeAmount
    /// An HTTP/2 connection to an upstream that is silent while calls are under way, before it is asked for a sign of life.
    package var http2Ping: TimeAmount
    /// A tunnel (WebSocket) in which nothing moves.
    package var tunnel: TimeAmount
    /// How long a client that has closed its sending side is waited for, when its answer has not begun.
    package var halfClosed: TimeAmount
    /// How long a connection that is closed for an error still reads, so that the client sees the answer.
    package var linger: TimeAmount
    /// How long a graceful stop waits for requests in flight.
    package var drain: TimeAmount
    /// How long incoming requests are taken as before when the stop begins, as a part of `drain`.
    package var notice: TimeAmount
    /// How long the sidecar is not ready for want of the registry's first answer; zero: as long as it takes.
    package var ready: TimeAmount

    /// The defaults.
    package init() {
        var reader = ConfigReader(ConfigStore([]))
        self.init(&reader)
    }

    /// Reads `mesher.limits.*` and `mesher.timeouts.*`.
    package init(_ reader: inout ConfigReader) {
        self.maxStartLine = reader.read(Keys.requestLine)
        self.maxHeaderField = reader.read(Keys.headerField)
        self.maxHeaderSection = reader.read(Keys.headerSection)
        self.maxRequestHeaders = reader.read(Keys.requestHeaders)
        self.maxResponseHeaders = reader.read(Keys.responseHeaders)
        self.buffer = reader.read(Keys.buffer)
        self.maxConnections = reader.read(Keys.connections)
        self.maxIdleUpstream = reader.read(Keys.idleUpstream)
        self.maxMemory = reader.read(Keys.memory)
        self.maxInterimResponses = reader.read(Keys.interimResponses)
        self.http2Streams = reader.read(Keys.http2Streams)
        self.http2StreamWindow = reader.read(Keys.http2StreamWindow)
        self.http2ConnectionWindow = reader.read(Keys.http2ConnectionWindow)
        self.requestHead = TimeAmount(reader.read(Keys.requestHead))
        self.keepAlive = TimeAmount(reader.read(Keys.keepAlive))
        self.requestBody = TimeAmount(reader.read(Keys.requestBody))
        self.stream = TimeAmount(reader.read(Keys.stream))
        self.connect = TimeAmount(reader.read(Keys.connect))
        self.firstByte = TimeAmount(reader.read(Keys.firstByte))
        self.upstreamIdle = TimeAmount(reader.read(Keys.upstreamIdle))
        self.http2Ping = TimeAmount(reader.read(Keys.http2Ping))
        self.tunnel = TimeAmount(reader.read(Keys.tunnel))
        self.halfClosed = TimeAmount(reader.read(Keys.halfClosed))
        self.linger = TimeAmount(reader.read(Keys.linger))
        self.drain = TimeAmount(reader.read(Keys.drain))
        self.notice = TimeAmount(reader.read(Keys.notice))
        self.ready = TimeAmount(reader.read(Keys.ready))
    }

    /// The keys of ``ProxySettings``.
    package enum Keys {
        private static let times = Duration.milliseconds(1)...Duration.seconds(24 * 3600)

        static let requestLine = ConfigKey(
            "mesher.limits.requestLine", .bytes(256...1 << 20), default: 16 << 10, reload: .live,
            "Longest request line; a longer one is answered 414. Also the longest status line of an upstream.")
        static let headerField = ConfigKey(
            "mesher.limits.headerField", .bytes(256...65_535), default: 32 << 10, reload: .live,
            "Longest header field line; a longer one is answered 431.")
        static let headerSection = ConfigKey(
            "mesher.limits.headerSection", .bytes(1024...16 << 20), default: 60 << 10, reload: .live,
            "Largest header section, and largest trailer section; a larger one is answered 431.")
        static let requestHeaders = ConfigKey(
            "mesher.limits.requestHeaders", .integer(8...10_000), default: 100, reload: .live,
            "Most header fields of a request; more are answered 431.")
        static let responseHeaders = ConfigKey(
            "mesher.limits.responseHeaders", .integer(8...10_000), default: 200, reload: .live,
            "Most header fields of a response; more are answered 502.")
        static let buffer = ConfigKey(
            "mesher.limits.buffer", .bytes(4096...16 << 20), default: 64 << 10, reload: .live,
            "Bytes that may wait on one side of an exchange before reading from the other side stops.")
        static let connections = ConfigKey(
            "mesher.limits.connections", .integer(1...1_000_000), default: 10_000, reload: .live,
            "Client connections of one listener; further ones wait until one is closed.")
        static let idleUpstream = ConfigKey(
            "mesher.limits.idleUpstreamConnections", .integer(0...100_000), default: 512, reload: .live,
            "Idle upstream connections kept for later requests, shared out evenly to the event loops.")
        static let memory = ConfigKey(
            "mesher.limits.memory", .bytes(0...1 << 44), default: 0, reload: .live,
            "Memory of the process; 0: the limit of its control group, if there is one. From 85 % of it on connections end with the answer in flight, from 95 % on requests are answered 503 and no connection is accepted."
        )
        static let interimResponses = ConfigKey(
            "mesher.limits.interimResponses", .integer(1...10_000), default: 100, reload: .live,
            "Most interim (1xx) responses of an exchange; more are answered 502.")
        static let http2Streams = ConfigKey(
            "mesher.limits.http2Streams", .integer(1...10_000), default: 100, reload: .live,
            "Requests at a time on one HTTP/2 connection, of clients and to upstreams; further ones of a client are refused."
        )
        static let http2StreamWindow = ConfigKey(
            "mesher.limits.http2StreamWindow", .bytes(1024...16 << 20), default: 64 << 10, reload: .live,
            "Bytes that may be on their way to mesher on one HTTP/2 stream; holds for new connections.")
        static let http2ConnectionWindow = ConfigKey(
            "mesher.limits.http2ConnectionWindow", .bytes(65_535...64 << 20), default: 1 << 20, reload: .live,
            "The same for all streams of an HTTP/2 connection together.")
        static let requestHead = ConfigKey(
            "mesher.timeouts.requestHead", .duration(Self.times), default: .seconds(10), reload: .live,
            "Time for a complete request head, from its first byte; answered 408.")
        static let keepAlive = ConfigKey(
            "mesher.timeouts.keepAlive", .duration(Self.times), default: .seconds(60), reload: .live,
            "How long a client connection may be idle between two requests.")
        static let requestBody = ConfigKey(
            "mesher.timeouts.requestBody", .duration(Self.times), default: .seconds(30), reload: .live,
            "How long a request body may be silent; answered 408.")
        static let stream = ConfigKey(
            "mesher.timeouts.stream", .duration(Self.times), default: .seconds(300), reload: .live,
            "How long a response may stand still, because its upstream sends nothing or its client takes nothing.")
        static let connect = ConfigKey(
            "mesher.timeouts.connect", .duration(Self.times), default: .seconds(1), reload: .live,
            "Time to connect to an upstream; answered 502.")
        static let firstByte = ConfigKey(
            "mesher.timeouts.firstByte", .duration(Self.times), default: .seconds(30), reload: .live,
            "Time from the last byte of a request to the head of its response; answered 504.")
        static let upstreamIdle = ConfigKey(
            "mesher.timeouts.upstreamIdle", .duration(Self.times), default: .seconds(15), reload: .live,
            "How long an upstream connection is kept for later requests.")
        static let http2Ping = ConfigKey(
            "mesher.timeouts.http2Ping", .duration(Self.times), default: .seconds(360), reload: .live,
            "How long an HTTP/2 connection to an upstream may be silent while calls are under way before it is sent a PING, which it has to answer within 10 s, or as long where that is less; holds for new connections. Servers of gRPC take a PING every 5 minutes for the most that is polite."
        )
        static let tunnel = ConfigKey(
            "mesher.timeouts.tunnel", .duration(Self.times), default: .seconds(3600), reload: .live,
            "How long a tunnel (WebSocket) may be silent.")
        static let halfClosed = ConfigKey(
            "mesher.timeouts.halfClosed", .duration(Self.times), default: .seconds(5), reload: .live,
            "How long an answer may take to begin once its client has closed its sending side.")
        static let linger = ConfigKey(
            "mesher.timeouts.linger", .duration(Self.times), default: .seconds(2), reload: .live,
            "How long a connection is read from after an error was answered, so that the client sees the answer.")
        static let drain = ConfigKey(
            "mesher.timeouts.drain", .duration(Self.times), default: .seconds(30),
            "How long a graceful stop waits for requests in flight before it cuts them; in a pod 25s.")
        static let notice = ConfigKey(
            "mesher.timeouts.notice", .duration(.zero...(.seconds(60))), default: .zero,
            "How long others are served as before when a graceful stop begins, half of `drain` at most, since they learn of it with a delay; in a pod 5s. Only where there are `servicePorts`."
        )
        static let ready = ConfigKey(
            "mesher.timeouts.ready", .duration(.zero...(.seconds(3600))), default: .zero,
            "How long `/readyz` waits for the first answer of the registry; 0s: as long as it takes; in a pod 10s.")

        /// The limits, in the order of the reference.
        package static let limits: [any AnyConfigKey] = [
            Self.requestLine, Self.headerField, Self.headerSection, Self.requestHeaders, Self.responseHeaders,
            Self.buffer, Self.connections, Self.idleUpstream, Self.http2Streams, Self.http2StreamWindow,
            Self.http2ConnectionWindow, Self.interimResponses, Self.memory,
        ]

        /// The timeouts, in the order of the reference.
        package static let timeouts: [any AnyConfigKey] = [
            Self.requestHead, Self.keepAlive, Self.requestBody, Self.connect, Self.firstByte, Self.stream,
            Self.upstreamIdle, Self.http2Ping, Self.tunnel, Self.halfClosed, Self.linger, Self.drain,
            Self.notice, Self.ready,
        ]
    }
}
