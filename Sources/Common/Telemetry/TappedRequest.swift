// SPDX-License-Identifier: Apache-2.0

import NIOCore

/// A request as a tap shows it: nothing of its fields, its bodies and its query.
package struct TappedRequest: Sendable, Codable, Equatable {
    /// When its head was complete, in seconds since 1970.
    package var time: Double
    /// `outgoing` or `incoming`.
    package var direction: String
    /// The method.
    package var method: String
    /// The path that the client has asked for.
    package var path: String
    /// The called service, or what `Host` says where there is none of that name.
    package var service: String
    /// Who calls, where that is known.
    package var caller: String?
    /// The instance that was tried last.
    package var endpoint: String?
    /// The status that the client was sent; 499 when it had gone.
    package var status: Int
    /// How a gRPC call ended.
    package var grpcStatus: Int?
    /// Why mesher answered or ended it itself.
    package var reason: String?
    /// How long it took.
    package var milliseconds: Double
    /// Upstream connections tried.
    package var attempts: Int
    /// Where it is in a trace; `nil` when it is in none.
    package var traceId: String?

    /// A request that is over.
    ///
    /// - Parameter own: The sidecar's own service, which incoming requests are for.
    /// - Parameter time: When its head was complete, in microseconds since 1970.
    package init(_ record: ExchangeRecord, of records: ExchangeRecords, own: String, at time: Int) {
        self.time = Double(time) / 1e6
        self.direction = record.side == .consumer ? "outgoing" : "incoming"
        self.method = records.string(records.method(record))
        self.path = records.string(records.path(record))
        self.service =
            record.side == .provider ? own : record.service?.name ?? records.string(records.host(record))
        self.caller = record.caller.flatMap { $0.isEmpty ? nil : $0 }
        self.endpoint = record.endpoint?.description
        self.status = record.status == 0 ? ProxyError.Reason.clientGone.status : record.status
        self.grpcStatus = record.grpcStatus
        self.reason = record.reason?.rawValue
        self.milliseconds = Double(record.duration.nanoseconds) / 1e6
        self.attempts = record.attempts
        self.traceId = record.trace?.traceID
    }
}

/// Stands in the stream of a tap where requests are missing, since they came faster than they were fetched.
package struct DroppedRequests: Sendable, Codable, Equatable {
    /// How many.
    package var dropped: Int

    /// So many.
    package init(_ dropped: Int) { self.dropped = dropped }
}
