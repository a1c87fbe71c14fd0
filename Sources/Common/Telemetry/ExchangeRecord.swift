// SPDX-License-Identifier: Apache-2.0
// request path

package import NIOCore

/// One request that is over, as access log, traces and the list of failures need it.
///
/// Written by an event loop without forming a text; whoever shows it does that elsewhere.
package struct ExchangeRecord: Sendable {
    /// Who wants it.
    package struct Uses: OptionSet, Sendable {
        package let rawValue: UInt8
        package init(rawValue: UInt8) { self.rawValue = rawValue }

        /// A line of the access log.
        package static var accessLog: Self { Self(rawValue: 1) }
        /// A span.
        package static var span: Self { Self(rawValue: 2) }
        /// The framework's metrics of requests, by path.
        package static var monitoring: Self { Self(rawValue: 4) }
        /// The list of recent failures.
        package static var failure: Self { Self(rawValue: 8) }
        /// Somebody who watches requests as they end.
        package static var tap: Self { Self(rawValue: 16) }
    }

    /// Who wants it.
    package var uses: Uses
    /// Outgoing (consumer) or incoming (provider).
    package var side: CallSide
    /// Whether it counts as gRPC.
    package var isGRPC: Bool
    /// The status that the client was sent; 0 when it was sent none.
    package var status: Int
    /// The gRPC status; `nil` when there is none.
    package var grpcStatus: Int?
    /// Why mesher answered or ended it itself.
    package var reason: ProxyError.Reason?
    /// What Envoy's flags say of it.
    package var flags = ResponseFlags()
    /// Upstream connections tried.
    package var attempts: Int
    /// Bytes of the request's body.
    package var requestBytes: Int
    /// Bytes of the response's body.
    package var responseBytes: Int
    /// When the head was complete.
    package var startedAt: NIODeadline
    /// From then on to the end.
    package var duration: TimeAmount
    /// Where it is in a trace.
    package var trace: TraceContext?
    /// The called service, or external host.
    package var service: Service?
    /// The instances that it could go to.
    package var endpoints: EndpointSet?
    /// The instance that it was sent to last.
    package var endpoint: Endpoint?
    /// The caller's name; only where somebody has asked for it.
    package var caller: String?
    /// The client's address.
    package var peer: SocketAddress?
    /// What its route calls its span; `nil` for what spans are called.
    package var operation: String?
    /// Where the texts are in ``ExchangeRecords/text``: method, target and host, one behind the other.
    package var text: Int
    /// How long the method is.
    package var methodLength: Int
    /// How long path and query are.
    package var targetLength: Int
    /// How long the authority is.
    package var hostLength: Int

    /// With everything.
    package init(
        uses: Uses, side: CallSide, isGRPC: Bool, status: Int, grpcStatus: Int?, reason: ProxyError.Reason?,
        attempts: Int, requestBytes: Int, responseBytes: Int, startedAt: NIODeadline, duration: TimeAmount,
        trace: TraceContext?, service: Service?, endpoints: EndpointSet?, endpoint: Endpoint?, caller: String?,
        peer: SocketAddress?, text: Int, methodLength: Int, targetLength: Int, hostLength: Int
    ) {
        self.uses = uses
        self.side = side
        self.isGRPC = isGRPC
        self.status = status
        self.grpcStatus = grpcStatus
        self.reason = reason
        self.attempts = attempts
        self.requestBytes = requestBytes
        self.responseBytes = responseBytes
        self.startedAt = startedAt
        self.duration = duration
        self.trace = trace
        self.service = service
        self.endpoints = endpoints
        self.endpoint = endpoint
        self.caller = caller
        self.peer = peer
        self.text = text
        self.methodLength = methodLength
        self.targetLength = targetLength
        self.hostLength = hostLength
    }
}

/// Requests of one event loop that are over, handed on together.
package struct ExchangeRecords: Sendable {
    /// In the order in which they ended.
    package let records: [ExchangeRecord]
    /// Their texts.
    package let text: [UInt8]
    /// How many more there were than were kept.
    package let dropped: Int

    /// Records.
    package init(_ records: [ExchangeRecord], text: [UInt8], dropped: Int) {
        self.records = records
        self.text = text
        self.dropped = dropped
    }

    /// Where in ``text`` the method is.
    package func method(_ record: ExchangeRecord) -> Range<Int> { self.range(record.text, record.methodLength) }

    /// Where path and query are, as they came.
    package func target(_ record: ExchangeRecord) -> Range<Int> {
        self.range(record.text + record.methodLength, record.targetLength)
    }

    /// Where the path is, without the query.
    package func path(_ record: ExchangeRecord) -> Range<Int> {
        let target = self.target(record)
        return target.lowerBound..<(self.text[target].firstIndex(of: .question) ?? target.upperBound)
    }

    /// Where the authority is.
    package func host(_ record: ExchangeRecord) -> Range<Int> {
        self.range(record.text + record.methodLength + record.targetLength, record.hostLength)
    }

    /// Whether none of a record's texts needs an escape in JSON.
    package func isClean(_ record: ExchangeRecord) -> Bool {
        let all = self.range(record.text, record.methodLength + record.targetLength + record.hostLength)
        return LineEscaper.isClean(self.text.rawSpan.extracting(all))
    }

    /// The bytes of a range as text.
    ///
    /// Allocates.
    package func string(_ range: Range<Int>) -> String { String(decoding: self.text[range], as: UTF8.self) }

    private func range(_ start: Int, _ count: Int) -> Range<Int> {
        guard start >= 0, count > 0, start + count <= self.text.count else { return 0..<0 }
        return start..<start + count
    }
}
