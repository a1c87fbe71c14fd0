// SPDX-License-Identifier: Apache-2.0

import Common
import GRPCCore
import Serving

/// Why a call of Istio's control plane has failed, in the words of people.
struct CallFailure: Sendable, Equatable {
    let text: String
    /// Whether the control plane does not let this workload in.
    let isRefusal: Bool

    /// - Parameter authorities: The file of those who vouch for the server.
    /// - Parameter limit: How long an answer was waited for.
    init(_ error: any Error, authorities: String, within limit: Duration) {
        guard let call = error as? RPCError else {
            self.text = "\(error)"
            self.isRefusal = false
            return
        }
        var cause: any Error = call
        while let error = cause as? RPCError, let next = error.cause { cause = next }
        if cause is RPCError {
            self.text = "\(call.code.name): \(call.message)"
            self.isRefusal = call.code == .unauthenticated || call.code == .permissionDenied
        } else {
            self.text = ConnectionFailure.text(cause, within: limit).replacing("caFile", with: authorities)
            self.isRefusal = false
        }
    }

    /// Other words.
    init(_ text: String) {
        self.text = text
        self.isRefusal = false
    }
}

extension RPCError.Code {
    /// As gRPC's documents write it: `PERMISSION_DENIED`.
    fileprivate var name: String {
        if self == .internalError { return "INTERNAL" }
        return "\(self)".reduce(into: "") { $0 += $1.isUppercase ? "_\($1)" : $1.uppercased() }
    }
}
