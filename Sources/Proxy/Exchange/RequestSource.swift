// SPDX-License-Identifier: Apache-2.0
// request path

import Common
import NIOCore

/// Who calls: the service that a request comes from.
///
/// A class, so that an exchange keeps one reference and a caller that is seen again costs no memory.
package final class RequestSource: Sendable {
    /// How it is known.
    package enum Origin: String, Sendable {
        /// The certificate of its workload says so, which a mesh's authority has proven.
        case certificate
        /// The caller, or its sidecar, says so in `x-cse-context` or `x-cse-src-microservice`.
        case header
        /// The registry has one service at the address of the peer.
        case address
        /// It is not.
        case unknown
    }

    /// The service's name; empty when it is not known.
    package let service: String
    /// The caller's application, where its address told who it is.
    package let app: String
    /// The caller's version, where its address told who it is.
    package let version: String
    /// See ``Origin``.
    package let origin: Origin
    /// Counts the caller's requests on the loop that has found it; `nil` where it is unknown.
    let counters: RequestCounters?

    init(
        _ service: String, app: String = "", version: String = "", origin: Origin, counters: RequestCounters? = nil
    ) {
        self.counters = counters
        self.service = service
        self.app = app
        self.version = version
        self.origin = origin
    }
}

extension Exchange {
    /// Who calls, found when it is asked for the first time.
    ///
    /// Who has shown a certificate of the mesh is whom it names. Else, in this order: the field `x-cse-src-microservice` of `x-cse-context`, the header of that name, the service that
    /// the registry has at the peer's address, nobody. A loopback peer has no address of its own, and one that several
    /// services share tells nothing.
    ///
    /// Cost: none for requests that nobody asks about; a look-up by the header's bytes for callers seen before.
    package mutating func resolveSource() -> RequestSource {
        if let source = self.source { return source }
        let source =
            self.sourceOfHeader(.xCseContext, SourceContext.source) ?? self.sourceOfHeader(.xCseSourceService) {
                bytes in
                bytes.string(in: 0..<bytes.byteCount)
            } ?? self.sourceOfPeer()
        self.source = source
        return source
    }

    private mutating func sourceOfHeader(_ name: HeaderName, _ read: (RawSpan) -> String?) -> RequestSource? {
        guard let index = self.requestHeaders.firstIndex(of: name) else { return nil }
        let worker = self.worker
        return self.requestHeaders.withValue(at: index) { worker.sources.source(name, $0, worker.metrics, read) }
    }

    private mutating func sourceOfPeer() -> RequestSource {
        guard let peer = self.peer, let address = IPAddress(peer), !address.isLoopback,
            case .one(let service, let instance) = self.worker.directory.owner(of: address)
        else { return SourceCache.unknown }
        return RequestSource(
            service.name, app: instance.app, version: instance.version, origin: .address,
            counters: self.worker.metrics.counters(ofCaller: service.name))
    }
}

extension SourceContext {
    /// The caller's name in the value of the header; `nil` when it is missing or the value is no context.
    static func source(_ bytes: RawSpan) -> String? { Self.parse(bytes)?.last { $0.key == Self.sourceKey }?.value }
}

/// The callers that one event loop has seen, by the bytes of the header that names them.
///
/// As many as fit into ``size`` places; a newer one takes the place of an older. Nobody can make it grow.
struct SourceCache {
    private struct Entry {
        let name: HeaderName
        let bytes: [UInt8]
        let source: RequestSource
    }

    static let size = 64
    /// Longer values are not kept.
    static let longest = 1024
    static let unknown = RequestSource("", origin: .unknown)

    private var entries: [Entry?] = Array(repeating: nil, count: Self.size)
    /// Of the callers' counters that the entries have.
    private var generation = 0

    /// The caller that the value `bytes` of the header `name` stands for.
    ///
    /// - Returns: `nil` when it names none.
    mutating func source(
        _ name: HeaderName, _ bytes: RawSpan, _ metrics: WorkerMetrics, _ read: (RawSpan) -> String?
    ) -> RequestSource? {
        let generation = metrics.callerGeneration
        if generation != self.generation {
            self.generation = generation
            for index in self.entries.indices { self.entries[index] = nil }
        }
        var hash: UInt32 = 0x811c_9dc5
        for index in 0..<bytes.byteCount { hash = (hash ^ UInt32(bytes.byte(at: index))) &* 0x0100_0193 }
        let place = Int(hash ^ hash >> 15) & (Self.size - 1)
        if let entry = self.entries[place], entry.name == name, bytes.isEqual(to: entry.bytes) { return entry.source }
        guard let service = read(bytes), !service.isEmpty else { return nil }
        let source = RequestSource(service, origin: .header, counters: metrics.counters(ofCaller: service))
        if bytes.byteCount <= Self.longest {
            var copy: [UInt8] = []
            copy.reserveCapacity(bytes.byteCount)
            for index in 0..<bytes.byteCount { copy.append(bytes.byte(at: index)) }
            self.entries[place] = Entry(name: name, bytes: copy, source: source)
        }
        return source
    }
}
