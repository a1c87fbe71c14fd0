// SPDX-License-Identifier: Apache-2.0
// request path

package import Common

/// An answer that mesher makes itself.
package struct LocalReply: Sendable, Equatable {
    /// The HTTP status.
    package var status: Int
    /// Why, when it is an error; goes out as `x-mesher-error`.
    package var reason: ProxyError.Reason?
    /// Text.
    package var body: String
    /// The body where it is no text; `nil` where ``body`` is all of it.
    package var octets: [UInt8]?
    /// What the body is.
    package var contentType = Self.plainText
    /// Further header lines.
    package var headers: [Header] = []
    /// What a call of gRPC is told; `nil` for what the reason says, or the status.
    package var grpcStatus: Int?
    /// The text that a call of gRPC is told, as its field carries it; `nil` for the body.
    var grpcMessage: String?
    /// Whether this is the answer to a CONNECT that leads to a service: the client goes on inside, with requests of its
    /// own.
    package var leadsInside = false

    /// How long the body is.
    var bodyLength: Int { self.octets?.count ?? self.body.utf8.count }

    /// What bodies are that mesher writes itself.
    package static var plainText: String { "text/plain; charset=utf-8" }

    /// The answer to CONNECT to a service.
    package static var established: Self {
        var reply = Self(status: 200)
        reply.leadsInside = true
        return reply
    }

    /// Tells the sidecar of the caller that nobody has looked at the request, so that it may go elsewhere.
    mutating func stateUnserved() {
        switch self.reason {
        case .connectFailed, .overloaded, .notReady: self.headers.append(Header("x-mesher-unserved", "1"))
        default: break
        }
    }

    /// A header line of a local answer.
    package struct Header: Sendable, Equatable {
        /// Any token.
        package let name: String
        /// Anything without a line break.
        package let value: String

        /// A line; neither part may hold a line break.
        package init(_ name: String, _ value: String) {
            self.name = name
            self.value = value
        }
    }

    /// An answer with a plain-text body.
    package init(status: Int, reason: ProxyError.Reason? = nil, body: String = "") {
        self.status = status
        self.reason = reason
        self.body = body
    }

    /// The answer to a request that failed.
    ///
    /// - Parameter profile: Of the virtual host that the request belongs to.
    package init(_ error: ProxyError, _ profile: ReplyProfile = .serviceComb) {
        self.init(status: profile.status(of: error), reason: error.reason, body: profile.body(of: error))
        if let seconds = error.retryAfter { self.headers = [Header("Retry-After", "\(seconds)")] }
        guard profile == .envoy else { return }
        self.grpcStatus = GRPCStatus.envoyCode(ofHTTP: self.status)
        if error.reason == .bulkheadFull { self.headers.append(Header("x-envoy-overloaded", "true")) }
    }

    /// The same for a call of gRPC by HTTP/1.1, as Envoy answers it.
    var trailersOnly: LocalReply {
        var reply = LocalReply(status: 200, reason: self.reason)
        reply.headers =
            [
                Header("content-type", "application/grpc"), Header("grpc-status", "\(self.codeOfGRPC)"),
                Header("grpc-message", self.messageOfGRPC),
            ] + self.headers
        return reply
    }

    /// Has a call told its status and text once, where a route has put them among the fields: its status counts, its text
    /// where the answer has no other.
    ///
    /// - Source: Envoy's local replies to gRPC.
    mutating func settleGRPC() {
        var code: Int?
        var message: String?
        self.headers.removeAll { header in
            switch header.name.lowercased() {
            case "grpc-status":
                code = code ?? UInt32(header.value).map { Int($0) }
                return true
            case "grpc-message":
                message = message ?? header.value
                return true
            default: return false
            }
        }
        if let code { self.grpcStatus = code }
        if self.body.isEmpty { self.grpcMessage = message }
    }

    /// The text that a call of gRPC is told.
    var messageOfGRPC: String { self.grpcMessage ?? GRPCStatus.encode(self.body) }

    /// The code that a call of gRPC is told.
    var codeOfGRPC: Int {
        self.grpcStatus ?? self.reason?.grpcStatus ?? GRPCStatus.code(ofHTTP: self.status)
    }
}

extension LocalReply {
    /// The answer to a head that cannot be understood.
    ///
    /// - Parameter text: What is wrong, where more is known than the violation says: ``HeadScanner``.
    init(_ violation: HeadViolation, _ text: String? = nil) {
        let text = text ?? violation.text
        switch violation {
        case .startLineTooLong: self.init(ProxyError(.headerTooLarge, text, status: 414))
        case .fieldTooLong, .tooManyFields, .tooLarge: self.init(ProxyError(.headerTooLarge, text))
        case .version: self.init(ProxyError(.badRequest, text, status: 505))
        case .lineEnd, .emptyLines, .startLine, .target, .scheme, .fieldName, .fieldValue, .host, .contentLength,
            .transferEncoding, .status:
            self.init(ProxyError(.badRequest, text))
        }
    }
}
