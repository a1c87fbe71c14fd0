// SPDX-License-Identifier: Apache-2.0
// request path

/// Why a stream or a connection ends.
///
/// - Source: RFC 9113 §7.
package enum HTTP2ErrorCode: UInt32, Sendable {
    case noError = 0
    case protocolError = 1
    case internalError = 2
    case flowControlError = 3
    case settingsTimeout = 4
    case streamClosed = 5
    case frameSizeError = 6
    case refusedStream = 7
    case cancel = 8
    case compressionError = 9
    case connectError = 10
    case enhanceYourCalm = 11
    case inadequateSecurity = 12
    case http11Required = 13
}

/// What a frame is.
///
/// - Source: RFC 9113 §6.
package enum HTTP2FrameType: UInt8, Sendable {
    case data = 0
    case headers = 1
    case priority = 2
    case resetStream = 3
    case settings = 4
    case pushPromise = 5
    case ping = 6
    case goAway = 7
    case windowUpdate = 8
    case continuation = 9
}

/// The flags of frames.
package enum HTTP2Flags {
    /// Of SETTINGS and PING.
    package static var ack: UInt8 { 0x1 }
    /// Of DATA and HEADERS.
    package static var endStream: UInt8 { 0x1 }
    /// Of HEADERS and CONTINUATION.
    package static var endHeaders: UInt8 { 0x4 }
    /// Of DATA and HEADERS.
    package static var padded: UInt8 { 0x8 }
    /// Of HEADERS.
    package static var priority: UInt8 { 0x20 }
}

/// The parameters of SETTINGS that mesher knows.
///
/// - Source: RFC 9113 §6.5.2.
package enum HTTP2Setting: UInt16, Sendable {
    case headerTableSize = 1
    case enablePush = 2
    case maxConcurrentStreams = 3
    case initialWindowSize = 4
    case maxFrameSize = 5
    case maxHeaderListSize = 6
}

/// Figures that RFC 9113 fixes.
package enum HTTP2 {
    /// Bytes before the payload of a frame.
    package static var frameHeaderLength: Int { 9 }
    /// The largest payload that mesher takes, and sends: the default, which nobody may refuse.
    package static var maxFrameSize: Int { 16 * 1024 }
    /// The largest flow-control window.
    package static var maxWindow: Int { 0x7fff_ffff }
    /// A window before anybody has said anything.
    package static var initialWindow: Int { 65_535 }
    /// What a client sends first.
    package static var preface: StaticString { "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" }
    /// The largest stream identifier.
    package static var maxStreamID: UInt32 { 0x7fff_ffff }
}
