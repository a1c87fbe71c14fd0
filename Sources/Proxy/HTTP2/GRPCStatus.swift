// SPDX-License-Identifier: Apache-2.0
// request path

import Common
import NIOCore

/// The statuses of gRPC, and what they have to do with those of HTTP.
///
/// - Source: the gRPC protocol over HTTP/2; doc/http-grpc-status-mapping.md of gRPC.
enum GRPCStatus {
    static var unavailable: Int { 14 }
    /// The highest code that there is: UNAUTHENTICATED.
    static var last: Int { 16 }

    /// The code for an answer of mesher's that has no reason of its own, such as an injected fault.
    static func code(ofHTTP status: Int) -> Int {
        switch status {
        // No answer without a message is a success of a unary call.
        case 200: Self.unavailable
        case 400: 13
        case 401: 16
        case 403: 7
        case 404: 12
        case 429, 502, 503, 504: Self.unavailable
        default: 2
        }
    }

    /// The same as Envoy has it, which takes 200 for any other.
    static func envoyCode(ofHTTP status: Int) -> Int { status == 200 ? 2 : Self.code(ofHTTP: status) }

    /// The HTTP status that says the same, by which rules about failures count a code.
    static func http(ofCode code: Int) -> Int {
        switch code {
        case 0: 200
        case 1: 499
        case 3, 9, 11: 400
        case 4: 504
        case 5: 404
        case 6, 10: 409
        case 7: 403
        case 8: 429
        case 12: 501
        case 14: 503
        case 16: 401
        default: 500
        }
    }

    /// The HTTP status under which the original's families count a code: a success, or a failure of either side.
    static func counted(ofCode code: Int) -> Int {
        switch code {
        case 0: 200
        case 2, 4, 13, 14, 15: 500
        default: 400
        }
    }

    /// A text as `grpc-message` carries it: percent-encoded UTF-8.
    static func encode(_ text: String) -> String {
        var result: [UInt8] = []
        let digits = Array("0123456789ABCDEF".utf8)
        for byte in text.utf8 {
            if byte >= 0x20, byte <= 0x7e, byte != .percent {
                result.append(byte)
            } else {
                result += [.percent, digits[Int(byte >> 4)], digits[Int(byte & 15)]]
            }
        }
        return String(decoding: result, as: UTF8.self)
    }

    /// The number in `grpc-status`; `nil` when it is none.
    static func code(_ bytes: RawSpan) -> Int? {
        bytes.byteCount <= 2 ? UInt16(decimal: bytes).map { Int($0) } : nil
    }

    /// The time in `grpc-timeout`: up to eight digits and a unit; `nil` when it is malformed.
    ///
    /// - Source: the gRPC protocol over HTTP/2, "Timeout".
    static func timeout(_ bytes: RawSpan) -> TimeAmount? {
        let digits = bytes.byteCount - 1
        guard (1...8).contains(digits) else { return nil }
        var value: Int64 = 0
        for index in 0..<digits {
            let byte = bytes.byte(at: index)
            guard byte.isDigit else { return nil }
            value = value * 10 + Int64(byte - 0x30)
        }
        switch bytes.byte(at: digits) {
        case UInt8(ascii: "H"): return .hours(value)
        case UInt8(ascii: "M"): return .minutes(value)
        case UInt8(ascii: "S"): return .seconds(value)
        case UInt8(ascii: "m"): return .milliseconds(value)
        case UInt8(ascii: "u"): return .microseconds(value)
        case UInt8(ascii: "n"): return .nanoseconds(value)
        default: return nil
        }
    }
}
