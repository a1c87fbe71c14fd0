// SPDX-License-Identifier: Apache-2.0
// request path

import Common

/// The header fields that mesher itself knows, resolved once while a head is scanned, so that no stage compares text.
///
/// The order of the cases is free, but there may be 64 at most: ``HeaderBlock`` keeps one bit for each.
package enum HeaderName: UInt8, Sendable {
    /// Any other field; compare the name's bytes.
    case other
    case authorization
    /// One of ``claims`` written with underscores, as in `X_Forwarded_For`: to applications behind WSGI, CGI or PHP it is
    /// the same field.
    case aliasOfClaim
    case b3
    case b3Flags
    case b3ParentSpanID
    case b3Sampled
    case b3SpanID
    case b3TraceID
    case connection
    case contentLength
    case contentType
    case cookie
    case date
    case expect
    case forwarded
    case grpcMessage
    case grpcStatus
    case grpcTimeout
    case host
    case http2Settings
    case keepAlive
    case maxForwards
    case meshHop
    case proxyAuthenticate
    case proxyAuthorization
    case proxyConnection
    case setCookie
    case te
    case traceparent
    case tracestate
    case trailer
    case transferEncoding
    case upgrade
    case xCseContext
    case xCseSourceService
    case xForwardedFor
    case xForwardedHost
    case xForwardedPort
    case xForwardedProto
    case xMark
    case xMesherError
    case xMesherUnserved
    case xRealIP

    /// The bit of this name in a set of names.
    @inline(__always)
    var bit: UInt64 { 1 &<< UInt64(self.rawValue) }

    /// Whether fields of this name have one and the same name, which need not be compared any more.
    @inline(__always)
    var isOneName: Bool { self != .other && self != .aliasOfClaim }

    /// Finds the name of the `count` token characters from `offset` on, in any letter case.
    @inline(__always)
    init(_ span: RawSpan, at offset: Int, count: Int) {
        self = .other
        switch count {
        case 2:
            if span.matches("te", at: offset) {
                self = .te
            } else if span.matches("b3", at: offset) {
                self = .b3
            }
        case 4:
            if span.matches("host", at: offset) {
                self = .host
            } else if span.matches("date", at: offset) {
                self = .date
            }
        case 6:
            if span.matches("cookie", at: offset) {
                self = .cookie
            } else if span.matches("expect", at: offset) {
                self = .expect
            } else if span.matches("x-mark", at: offset) {
                self = .xMark
            }
        case 7:
            if span.matches("upgrade", at: offset) {
                self = .upgrade
            } else if span.matches("trailer", at: offset) {
                self = .trailer
            }
        case 9:
            if span.matches("forwarded", at: offset) {
                self = .forwarded
            } else if span.matches("x-real-ip", at: offset) {
                self = .xRealIP
            } else if Self.isAlias(span, at: offset, count, second: 6) {
                self = .aliasOfClaim
            }
        case 10:
            // By the first letter, which is cheaper than five names for `User-Agent`.
            switch span.byte(at: offset) | 0x20 {
            case UInt8(ascii: "c"): if span.matches("connection", at: offset) { self = .connection }
            case UInt8(ascii: "k"): if span.matches("keep-alive", at: offset) { self = .keepAlive }
            case UInt8(ascii: "s"): if span.matches("set-cookie", at: offset) { self = .setCookie }
            case UInt8(ascii: "t"): if span.matches("tracestate", at: offset) { self = .tracestate }
            case UInt8(ascii: "x"): if span.matches("x-b3-flags", at: offset) { self = .b3Flags }
            default: break
            }
        case 11:
            if span.matches("grpc-status", at: offset) {
                self = .grpcStatus
            } else if span.matches("traceparent", at: offset) {
                self = .traceparent
            } else if span.matches("x-b3-spanid", at: offset) {
                self = .b3SpanID
            }
        case 12:
            switch span.byte(at: offset) | 0x20 {
            case UInt8(ascii: "c"): if span.matches("content-type", at: offset) { self = .contentType }
            case UInt8(ascii: "m"): if span.matches("max-forwards", at: offset) { self = .maxForwards }
            case UInt8(ascii: "g"):
                if span.matches("grpc-message", at: offset) {
                    self = .grpcMessage
                } else if span.matches("grpc-timeout", at: offset) {
                    self = .grpcTimeout
                }
            case UInt8(ascii: "x"):
                if span.matches("x-mesher-hop", at: offset) {
                    self = .meshHop
                } else if span.matches("x-b3-traceid", at: offset) {
                    self = .b3TraceID
                } else if span.matches("x-b3-sampled", at: offset) {
                    self = .b3Sampled
                }
            default: break
            }
        case 13:
            if span.matches("x-cse-context", at: offset) {
                self = .xCseContext
            } else if span.matches("authorization", at: offset) {
                self = .authorization
            }
        case 14:
            if span.matches("content-length", at: offset) {
                self = .contentLength
            } else if span.matches("http2-settings", at: offset) {
                self = .http2Settings
            } else if span.matches("x-mesher-error", at: offset) {
                self = .xMesherError
            }
        case 15:
            if span.matches("x-forwarded-for", at: offset) {
                self = .xForwardedFor
            } else if Self.isAlias(span, at: offset, count, second: 11) {
                self = .aliasOfClaim
            }
        case 16:
            if span.matches("proxy-connection", at: offset) {
                self = .proxyConnection
            } else if span.matches("x-forwarded-host", at: offset) {
                self = .xForwardedHost
            } else if span.matches("x-forwarded-port", at: offset) {
                self = .xForwardedPort
            } else if Self.isAlias(span, at: offset, count, second: 11) {
                self = .aliasOfClaim
            }
        case 17:
            if span.matches("transfer-encoding", at: offset) {
                self = .transferEncoding
            } else if span.matches("x-mesher-unserved", at: offset) {
                self = .xMesherUnserved
            } else if span.matches("x-forwarded-proto", at: offset) {
                self = .xForwardedProto
            } else if span.matches("x-b3-parentspanid", at: offset) {
                self = .b3ParentSpanID
            } else if Self.isAlias(span, at: offset, count, second: 11) {
                self = .aliasOfClaim
            }
        case 18: if span.matches("proxy-authenticate", at: offset) { self = .proxyAuthenticate }
        case 19: if span.matches("proxy-authorization", at: offset) { self = .proxyAuthorization }
        case 22: if span.matches("x-cse-src-microservice", at: offset) { self = .xCseSourceService }
        default: break
        }
    }

    /// Whether a name is one of ``claims`` but for underscores in place of dashes, at offset 1 and `second`.
    ///
    /// Two bytes tell, for names of these lengths only: all others pay nothing.
    @inline(__always)
    private static func isAlias(_ span: RawSpan, at offset: Int, _ count: Int, second: Int) -> Bool {
        guard span.byte(at: offset) | 0x20 == UInt8(ascii: "x") else { return false }
        let underscore = UInt8(ascii: "_")
        guard span.byte(at: offset &+ 1) == underscore || span.byte(at: offset &+ second) == underscore else {
            return false
        }
        return Self.isClaim(span.extracting(offset..<offset &+ count))
    }

    /// Whether a name is that of a claim when its underscores are read as dashes.
    @inline(never)
    private static func isClaim(_ name: RawSpan) -> Bool {
        var bytes: [UInt8] = []
        for index in 0..<name.byteCount {
            let byte = name.byte(at: index)
            bytes.append(byte == UInt8(ascii: "_") ? UInt8(ascii: "-") : byte)
        }
        return Self(bytes.rawSpan, at: 0, count: bytes.count).bit & Self.claims != 0
    }

    /// Whether the field concerns one connection only and is never forwarded.
    ///
    /// - Source: RFC 9110 §7.6.1, with `Keep-Alive` and `Proxy-Connection` of older clients; `HTTP2-Settings` belongs to
    ///   the h2c upgrade, which is not offered.
    @inline(__always)
    var isHopByHop: Bool { Self.hopByHop & self.bit != 0 }

    /// What proxies say about the client of their client, and how they have marked the request.
    @inline(__always)
    static var claims: UInt64 {
        Self.forwarded.bit | Self.xForwardedFor.bit | Self.xForwardedHost.bit | Self.xForwardedProto.bit
            | Self.xRealIP.bit | Self.xMark.bit | Self.aliasOfClaim.bit
    }

    /// What says where a request is in a trace.
    @inline(__always)
    static var tracing: UInt64 { Self.b3Headers | Self.b3.bit | Self.traceparent.bit | Self.tracestate.bit }

    /// Those of them whose values are another's in each request.
    @inline(__always)
    static var traceIDs: UInt64 {
        Self.b3TraceID.bit | Self.b3SpanID.bit | Self.b3ParentSpanID.bit | Self.b3.bit | Self.traceparent.bit
    }

    /// Those of B3 in several headers.
    @inline(__always)
    static var b3Headers: UInt64 {
        Self.b3TraceID.bit | Self.b3SpanID.bit | Self.b3ParentSpanID.bit | Self.b3Sampled.bit | Self.b3Flags.bit
    }

    /// Computed, not stored, so that it folds to a constant: a lazy global costs a call in a hot loop.
    @inline(__always)
    static var hopByHop: UInt64 {
        Self.connection.bit | Self.keepAlive.bit | Self.proxyConnection.bit | Self.proxyAuthenticate.bit
            | Self.proxyAuthorization.bit | Self.te.bit | Self.trailer.bit | Self.transferEncoding.bit
            | Self.upgrade.bit | Self.http2Settings.bit
    }
}
