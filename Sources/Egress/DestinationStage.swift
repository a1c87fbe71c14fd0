// SPDX-License-Identifier: Apache-2.0
// request path

import Common
import Proxy

/// Finds the service that an outgoing request names, and tells the other side who asks.
///
/// The resolver `host`: the host of the request's absolute target is the service's name; DNS is not asked. The port goes
/// along as `X-Forwarded-Port` and never chooses an instance.
struct DestinationStage: Stage {
    static let name = "destination"

    /// `127.0.0.1:30101`: the sidecar's own outgoing listener, which is no service.
    private let ownAuthority: [UInt8]
    private let source: String
    private let context: HeaderLine

    init(ownAddress: ListenAddress, source: String) {
        self.ownAuthority = Array(ownAddress.description.utf8)
        self.source = source
        self.context = HeaderLine("x-cse-context", SourceContext.write([(SourceContext.sourceKey, source)]))
    }

    func onRequest(_ exchange: inout Exchange) -> Verdict {
        guard exchange.request.flags.contains(.absoluteTarget) else {
            return .reject(ProxyError(.destinationUnresolved, Self.help))
        }
        let authority = exchange.request.authority
        if exchange.requestHeaders.withBytes(in: authority.whole, { $0.isEqual(to: self.ownAuthority) }) {
            return .reject(ProxyError(.destinationUnresolved, "uri format must be: http://serviceName/api"))
        }
        let directory = exchange.worker.directory.value
        guard
            let service = exchange.requestHeaders.withBytes(in: authority.host, { directory.service(named: $0) })
        else {
            guard directory.isSynced else { return .reject(ProxyError(.notReady)) }
            let name = exchange.requestHeaders.string(in: authority.host)
            return .reject(ProxyError(.noEndpoint, "lb: No available instance, key: \(name)()"))
        }
        exchange.service = service
        exchange.counters = exchange.worker.state(of: service).counters
        if !authority.portDigits.isEmpty {
            exchange.requestHeaders.remove(.xForwardedPort)
            exchange.requestHeaders.append(.xForwardedPort, "X-Forwarded-Port", valueFrom: authority.portDigits)
        }
        self.setContext(&exchange.requestHeaders)
        return .proceed
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
