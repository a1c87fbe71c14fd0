// SPDX-License-Identifier: Apache-2.0

/// How large a message head may be.
///
/// Sizes are bytes.
///
/// - Source: promise L1; Envoy's defaults of 60 KiB and 100 fields.
package struct HeadLimits: Sendable, Equatable {
    /// The request line or status line, without its CRLF.
    package var startLine: Int
    /// One field line, without its CRLF.
    package var field: Int
    /// The whole head, or a whole trailer section.
    ///
    /// At most 1 GiB, so that offsets fit in 32 bits.
    package var section: Int
    /// How many fields.
    package var fields: Int

    /// Limits for requests, unless told otherwise.
    package init(startLine: Int = 16 * 1024, field: Int = 32 * 1024, section: Int = 60 * 1024, fields: Int = 100) {
        self.startLine = startLine
        self.field = min(field, Int(UInt16.max))
        self.section = min(section, 1 << 30)
        self.fields = fields
    }

    /// Limits for responses: more fields are allowed, since the answer is the service's own.
    package static var response: Self { Self(fields: 200) }
}

/// What is wrong with a message head.
package enum HeadViolation: Sendable, Equatable, CaseIterable {
    /// A line ends in a bare LF, or a CR stands alone.
    case lineEnd
    /// The start line does not have its three parts, or the method is no token.
    case startLine
    /// The version is not HTTP/1.x.
    case version
    /// The target is malformed, has a fragment, user information, or dot segments.
    case target
    /// A field has no name, a name that is no token, blanks before the colon, or is folded.
    case fieldName
    /// A value holds a control character.
    case fieldValue
    /// `Host` is missing, repeated or malformed.
    case host
    /// `Content-Length` is repeated or not a number.
    case contentLength
    /// `Transfer-Encoding` is anything but `chunked` once, or comes with `Content-Length` or HTTP/1.0.
    case transferEncoding
    /// A status that is no number of three digits from 100 on.
    case status
    /// The start line is longer than allowed.
    case startLineTooLong
    /// A field or the whole head is longer than allowed, or there are too many fields.
    case tooLarge
}

extension HeadViolation {
    /// What the client is told, in a few words.
    var text: String {
        switch self {
        case .lineEnd: "a line of the head does not end in CRLF"
        case .startLine: "malformed request line"
        case .version: "HTTP version not supported"
        case .target: "malformed request target"
        case .fieldName: "malformed header field"
        case .fieldValue: "control character in a header field"
        case .host: "Host is missing, repeated or malformed"
        case .contentLength: "malformed or repeated Content-Length"
        case .transferEncoding: "transfer coding not supported, or ambiguous body length"
        case .status: "malformed status"
        case .startLineTooLong: "request line too long"
        case .tooLarge: "request header too large"
        }
    }
}
