// SPDX-License-Identifier: Apache-2.0

/// Failures after which a request is sent again, where a route names them.
///
/// - Source: `retry_on` of Envoy's routes.
package struct RetryConditions: OptionSet, Sendable, Hashable {
    /// Bits.
    package let rawValue: UInt32

    /// Of bits.
    package init(rawValue: UInt32) { self.rawValue = rawValue }

    /// A status from 500 on, or no answer.
    package static let serverError = Self(rawValue: 1 << 0)
    /// 502, 503 or 504, or no answer.
    package static let gatewayError = Self(rawValue: 1 << 1)
    /// No answer, for whatever reason.
    package static let reset = Self(rawValue: 1 << 2)
    /// No answer, and nothing of the request was sent.
    package static let resetBeforeRequest = Self(rawValue: 1 << 3)
    /// No connection.
    package static let connectFailure = Self(rawValue: 1 << 4)
    /// HTTP/2's REFUSED_STREAM.
    package static let refusedStream = Self(rawValue: 1 << 5)
    /// 409.
    package static let conflict = Self(rawValue: 1 << 6)
    /// A status that the route lists.
    package static let statuses = Self(rawValue: 1 << 7)
    /// An answer that says `x-envoy-ratelimited`, which is a reason by no other condition.
    package static let rateLimited = Self(rawValue: 1 << 8)
    /// gRPC's CANCELLED in the head of the answer.
    package static let grpcCancelled = Self(rawValue: 1 << 9)
    /// gRPC's DEADLINE_EXCEEDED there.
    package static let grpcDeadlineExceeded = Self(rawValue: 1 << 10)
    /// gRPC's INTERNAL there.
    package static let grpcInternal = Self(rawValue: 1 << 11)
    /// gRPC's RESOURCE_EXHAUSTED there.
    package static let grpcResourceExhausted = Self(rawValue: 1 << 12)
    /// gRPC's UNAVAILABLE there.
    package static let grpcUnavailable = Self(rawValue: 1 << 13)

    /// An answer with fields that the route describes.
    package static let fields = Self(rawValue: 1 << 14)

    /// How a try came to no answer.
    package enum Silence: Sendable, CaseIterable {
        /// No connection could be made.
        case connectFailed
        /// The upstream has said that it does not look at the request.
        case refusedStream
        /// The connection ended before anything was sent.
        case unsent
        /// The stream or connection ended, or what came was no answer.
        case reset
        /// The time of the try was over.
        case late
    }

    /// Whether a try that came to no answer is a reason for another one.
    package func includes(_ silence: Silence) -> Bool {
        if !self.isDisjoint(with: [.serverError, .gatewayError, .reset]) { return true }
        return switch silence {
        case .connectFailed: !self.isDisjoint(with: [.connectFailure, .resetBeforeRequest])
        case .refusedStream: self.contains(.refusedStream)
        case .unsent: self.contains(.resetBeforeRequest)
        case .reset, .late: false
        }
    }

    /// Whether an answer is one.
    ///
    /// - Parameter grpcStatus: As its head says it; `nil` where that says nothing.
    /// - Parameter isListed: Whether the route lists its status.
    package func includes(status: Int, grpcStatus: Int? = nil, isListed: Bool = false) -> Bool {
        if 500...599 ~= status, self.contains(.serverError) { return true }
        if 502...504 ~= status, self.contains(.gatewayError) { return true }
        if status == 409, self.contains(.conflict) { return true }
        if isListed, self.contains(.statuses) { return true }
        return switch grpcStatus {
        case 1: self.contains(.grpcCancelled)
        case 4: self.contains(.grpcDeadlineExceeded)
        case 8: self.contains(.grpcResourceExhausted)
        case 13: self.contains(.grpcInternal)
        case 14: self.contains(.grpcUnavailable)
        default: false
        }
    }

    /// The names that routes know them by.
    package static let names: [(name: String, condition: RetryConditions)] = [
        ("5xx", .serverError), ("gateway-error", .gatewayError), ("reset", .reset),
        ("reset-before-request", .resetBeforeRequest), ("connect-failure", .connectFailure),
        ("refused-stream", .refusedStream), ("retriable-4xx", .conflict), ("retriable-status-codes", .statuses),
        ("envoy-ratelimited", .rateLimited), ("cancelled", .grpcCancelled),
        ("deadline-exceeded", .grpcDeadlineExceeded), ("internal", .grpcInternal),
        ("resource-exhausted", .grpcResourceExhausted), ("unavailable", .grpcUnavailable),
        ("retriable-headers", .fields),
    ]

    /// The condition of this name; `nil` for a name that is not known.
    package init?(_ name: some StringProtocol) {
        guard let known = Self.names.first(where: { $0.name == name }) else { return nil }
        self = known.condition
    }
}

extension RetryConditions: CustomStringConvertible {
    /// Their names.
    package var description: String {
        Self.names.filter { self.contains($0.condition) }.map(\.name).joined(separator: ", ")
    }
}
