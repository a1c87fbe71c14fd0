// SPDX-License-Identifier: Apache-2.0

import Common

/// What is wrong with a message head.
package enum HeadViolation: Sendable, Equatable, CaseIterable {
    /// A line ends in a bare LF, or a CR stands alone.
    case lineEnd
    /// More empty lines before a request than any client sends.
    case emptyLines
    /// The start line does not have its three parts, or the method is no token.
    case startLine
    /// The version is not HTTP/1.x.
    case version
    /// The target is malformed, has a fragment, user information, dot segments, or bytes beyond ASCII.
    case target
    /// The target is a URL of another scheme than `http`, or of `ws` without asking for a WebSocket.
    case scheme
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
    /// A field is longer than allowed.
    case fieldTooLong
    /// There are more fields than allowed.
    case tooManyFields
    /// The whole head is longer than allowed.
    case tooLarge
}

/// Whose head it is, which decides what its parts and its limits are called.
package enum HeadKind: Sendable {
    case request
    case response
}

extension HeadViolation {
    /// What the client is told, in a few words.
    package var text: String { self.text(of: .request) }

    /// The same of either kind of head, with the key of the limit that was met.
    ///
    /// - Parameter limits: Those that held, so that the figure can be told as well.
    package func text(of kind: HeadKind, limits: HeadLimits? = nil) -> String {
        let isRequest = kind == .request
        let what = isRequest ? "request" : "response"
        return switch self {
        case .lineEnd: "a line of the head does not end in CRLF"
        case .emptyLines: "too many empty lines before a request"
        case .startLine: isRequest ? "malformed request line" : "malformed status line"
        case .version: "HTTP version not supported"
        case .target: "malformed request target"
        case .scheme: "the scheme of the request target is not http"
        case .fieldName: "malformed header field"
        case .fieldValue: "control character in a header field"
        case .host: "Host is missing, repeated or malformed"
        case .contentLength: "malformed or repeated Content-Length"
        case .transferEncoding: "transfer coding not supported, or ambiguous body length"
        case .status: "malformed status"
        case .startLineTooLong:
            (isRequest ? "request line too long" : "status line too long")
                + Self.limit("requestLine", "more than", limits?.startLine, "bytes")
        case .fieldTooLong:
            "\(what) header too large" + Self.limit("headerField", "a field of more than", limits?.field, "bytes")
        case .tooManyFields:
            "\(what) header too large" + Self.limit("\(what)Headers", "more than", limits?.fields, "fields")
        case .tooLarge:
            "\(what) header too large" + Self.limit("headerSection", "more than", limits?.section, "bytes")
        }
    }

    private static func limit(_ key: String, _ than: String, _ figure: Int?, _ unit: String) -> String {
        "\(figure.map { ": \(than) \($0) \(unit)" } ?? "") (mesher.limits.\(key))"
    }
}

extension HeadScanner {
    /// What is wrong with the head that this scanner has just refused: the text of the violation, and what can be named
    /// of the head itself, a field or a scheme.
    ///
    /// Of a field only the name is told, never a part of its value: 64 characters of it at most.
    ///
    /// - Parameter input: The bytes that the scanner was given.
    /// - Parameter limits: Those that it was given.
    package func explain(
        _ violation: HeadViolation, _ input: RawSpan, limits: HeadLimits, of kind: HeadKind
    ) -> String {
        let text = violation.text(of: kind, limits: limits)
        switch violation {
        case .fieldName, .fieldValue, .fieldTooLong, .lineEnd:
            guard let start = self.lineStart, start < input.byteCount else { return text }
            guard let name = Self.name(input, from: start) else {
                let first = input.byte(at: start)
                guard violation == .fieldName else { return text }
                return first == .space || first == .tab ? "\(text): a line begins with a blank" : "\(text): no name"
            }
            return "\(text): \(name)"
        case .scheme:
            var start = 0
            while start < input.byteCount, input.byte(at: start) != .space { start += 1 }
            guard start + 1 < input.byteCount, let scheme = Self.name(input, from: start + 1) else { return text }
            return "\(text): \(scheme)\(scheme.lowercased() == "ws" ? " is for websocket upgrades only" : "")"
        case .emptyLines, .startLine, .version, .target, .host, .contentLength, .transferEncoding, .status,
            .startLineTooLong, .tooManyFields, .tooLarge:
            return text
        }
    }

    /// The name of the field that begins at `start`, mistakes such as a blank in it included as long as there is a colon
    /// behind it: what follows no colon may be a part of a value, so it ends with its first such character.
    ///
    /// - Returns: `nil` when there is none, or when the line is the continuation of another one.
    private static func name(_ input: RawSpan, from start: Int) -> String? {
        var token = start
        while token < input.byteCount, input.byte(at: token).isToken { token += 1 }
        guard token > start else { return nil }
        var end = token
        while end < input.byteCount, (0x20..<0x7f).contains(input.byte(at: end)), input.byte(at: end) != .colon {
            end += 1
        }
        if end == input.byteCount || input.byte(at: end) != .colon { end = token }
        while input.byte(at: end - 1) == .space { end -= 1 }
        return end - start <= 64 ? input.string(in: start..<end) : input.string(in: start..<start + 64) + "…"
    }
}
