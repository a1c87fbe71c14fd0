// SPDX-License-Identifier: Apache-2.0
// request path

import Common
import Proxy

/// Finds the service that an outgoing request names, and tells the other side who asks and that the
/// request has been here.
///
/// What names a service is the resolver's to say; DNS is not asked. The port goes along as `X-Forwarded-Port` and never
/// chooses an instance.
struct DestinationStage: Stage {
    static let name = "destination"

    /// The sidecar's own listeners, which are no services: `127.0.0.1:30101`.
    private let ownAuthorities: [[UInt8]]
    private let resolver: any DestinationResolver
    private let source: String
    private let context: HeaderLine
    private let loops = LoopGuard()

    init(own: [[UInt8]], resolver: any DestinationResolver, source: String) {
        self.ownAuthorities = own
        self.resolver = resolver
        self.source = source
        self.context = HeaderLine("x-cse-context", SourceContext.write([(SourceContext.sourceKey, source)]))
    }

    func onRequest(_ exchange: inout Exchange) -> Verdict {
        guard exchange.request.flags.contains(.absoluteTarget) else {
            return .reject(ProxyError(.destinationUnresolved, Self.help))
        }
        let authority = exchange.request.authority
        if exchange.requestHeaders.withBytes(in: authority.whole, { self.isOwn($0) }) {
            return .reject(ProxyError(.destinationUnresolved, "uri format must be: http://serviceName/api"))
        }
        let directory = exchange.worker.directory.value
        switch self.resolver.resolve(exchange, in: directory) {
        case .service(let service): exchange.service = service
        case .name(let name):
            guard let service = exchange.requestHeaders.withBytes(in: name, { directory.service(named: $0) }) else {
                return .reject(Self.unknown(name, in: exchange.requestHeaders, isSynced: directory.isSynced))
            }
            exchange.service = service
        case .unresolved(let text): return .reject(ProxyError(.destinationUnresolved, text))
        }
        if let service = exchange.service { exchange.counters = exchange.worker.state(of: service).counters }
        if !authority.portDigits.isEmpty {
            exchange.requestHeaders.remove(.xForwardedPort)
            exchange.requestHeaders.append(.xForwardedPort, "X-Forwarded-Port", valueFrom: authority.portDigits)
        }
        guard self.loops.mark(&exchange.requestHeaders) else { return .reject(ProxyError(.loop)) }
        self.setContext(&exchange.requestHeaders)
        return .proceed
    }

    private func isOwn(_ authority: RawSpan) -> Bool { self.ownAuthorities.contains { authority.isEqual(to: $0) } }

    /// What a name is answered that no service has.
    ///
    /// - Source: promise T4 for the refusal.
    private static func unknown(_ name: ByteRange, in headers: borrowing HeaderBlock, isSynced: Bool) -> ProxyError {
        if headers.withBytes(in: name, HostAddress.isRefused) {
            return ProxyError(.destinationRefused, "the sidecar connects to services only, not to this machine")
        }
        guard isSynced else { return ProxyError(.notReady) }
        return ProxyError(.noEndpoint, "lb: No available instance, key: \(headers.string(in: name))()")
    }

    /// Overwrites the caller's name in a context that the application passes along, and keeps the rest of it.
    private func setContext(_ headers: inout HeaderBlock) {
        guard let index = headers.firstIndex(of: .xCseContext) else {
            headers.append(self.context)
            return
        }
        let fields = headers.withValue(at: index) { SourceContext.parse($0) }
        headers.remove(.xCseContext)
        guard var fields else {
            headers.append(self.context)
            return
        }
        fields.removeAll { $0.key == SourceContext.sourceKey }
        fields.append((SourceContext.sourceKey, self.source))
        headers.append(.xCseContext, "x-cse-context", SourceContext.write(fields))
    }

    private static let help = """
        Invalid uri, please check: (1) a mesher on the provider's side must listen on an external IP; \
        (2) the client must use the sidecar as its proxy: export http_proxy=http://127.0.0.1:30101
        """
}
