// SPDX-License-Identifier: Apache-2.0
// request path

import Common

/// Tells one watcher's buffers from those of others.
final class TapKey: Sendable {}

/// What one watcher has not fetched yet of one event loop's requests: those that its filter takes.
///
/// Bounded: a full one takes nothing more, and counts. So a watcher that is slow, or gone without a word, costs no memory,
/// and under load a request that does not fit costs a look at the filter.
final class TapBuffer {
    /// Requests between two fetches.
    static let capacity = 256
    /// The longest path that is kept: it is for people.
    static let longestPath = 300

    let key: TapKey
    private let filter: TapFilter
    private var records: [ExchangeRecord] = []
    private var text: [UInt8] = []
    private var dropped = 0

    init(_ key: TapKey, _ filter: TapFilter) {
        self.key = key
        self.filter = filter
    }

    /// An exchange is over.
    func offer(_ exchange: borrowing Exchange) {
        guard self.takes(exchange) else { return }
        guard self.records.count < Self.capacity else {
            self.dropped &+= 1
            return
        }
        self.records.append(ExchangeRecord(exchange, [], longestTarget: Self.longestPath, text: &self.text))
    }

    /// What there is; from now on there is room again.
    func take() -> ExchangeRecords {
        let taken = ExchangeRecords(self.records, text: self.text, dropped: self.dropped)
        self.records = []
        self.text = []
        self.dropped = 0
        return taken
    }

    private func takes(_ exchange: borrowing Exchange) -> Bool {
        // A failed gRPC call is answered 200: what its own status stands for counts.
        let status = exchange.status == 0 ? ProxyError.Reason.clientGone.status : exchange.status
        guard self.filter.takes(status: exchange.grpcStatus.map { GRPCStatus.http(ofCode: $0) } ?? status),
            self.takesService(of: exchange)
        else { return false }
        let path = self.filter.path
        guard !path.isEmpty else { return true }
        return self.bytes(of: exchange, in: exchange.askedPath, upTo: path.count) { $0.elementsEqual(path) }
    }

    private func takesService(of exchange: borrowing Exchange) -> Bool {
        guard let service = self.filter.service else { return true }
        if exchange.direction == .incoming {
            return self.filter.isOwnService || exchange.source?.service == service
        }
        if let called = exchange.service {
            // A host of a control plane belongs to a service with a shorter name, by which it is counted.
            return called.name == service || exchange.target?.policy.host?.service == service
        }
        // One that nobody knows is looked for under the name that was asked for.
        let name = service.utf8
        return self.bytes(of: exchange, in: exchange.request.authority.host, upTo: name.count + 1) { host in
            host.count == name.count && zip(host, name).allSatisfy { $0.lowercased == $1.lowercased }
        }
    }

    /// Looks at bytes of the request's head, where the head still has them.
    private func bytes(
        of exchange: borrowing Exchange, in range: ByteRange, upTo limit: Int, _ look: (ArraySlice<UInt8>) -> Bool
    ) -> Bool {
        let start = self.text.count
        defer { self.text.removeSubrange(start...) }
        _ = exchange.requestHeaders.append(range, limit: limit, to: &self.text)
        return look(self.text[start...])
    }
}
