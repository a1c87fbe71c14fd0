// SPDX-License-Identifier: Apache-2.0

import Common
import IstioMessages

extension RouteCompiler {
    /// The limits of a route besides its timeout.
    mutating func limit(_ limits: inout RouteLimits, _ action: XDSRouteAction) throws(ResourceMistake) {
        var stream = StreamLimits()
        if action.hasIdleTimeout {
            let idle = try Duration(action.idleTimeout, of: "idle_timeout")
            limits.idle = idle
            if idle > .zero { stream.silence = idle }
        }
        if action.hasMaxStreamDuration {
            let times = action.maxStreamDuration
            // The timeout does not count beside it.
            limits.call = .zero
            if times.hasMaxStreamDuration {
                let whole = try Duration(times.maxStreamDuration, of: "max_stream_duration")
                if whole > .zero { stream.whole = whole }
            }
            if times.hasGrpcTimeoutHeaderMax {
                stream.asked = try Duration(times.grpcTimeoutHeaderMax, of: "grpc_timeout_header_max")
            }
            if times.hasGrpcTimeoutHeaderOffset {
                stream.askedLess = try Duration(times.grpcTimeoutHeaderOffset, of: "grpc_timeout_header_offset")
            }
        } else if action.hasMaxGrpcTimeout {
            limits.grpcCall = try Duration(action.maxGrpcTimeout, of: "max_grpc_timeout")
            if action.hasGrpcTimeoutOffset { self.note("grpc_timeout_offset is not followed") }
        }
        if stream != StreamLimits() { limits.stream = stream }
    }
}
