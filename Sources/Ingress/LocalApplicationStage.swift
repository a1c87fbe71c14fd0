// SPDX-License-Identifier: Apache-2.0
// request path

import Common
import Logging
import NIOCore
import Proxy

/// Finds the port of the local application that an incoming request is for.
///
/// The configured port; the header `X-Forwarded-Port` decides only where several ports or none are configured, and among
/// several only for one of those. Else any caller could make the sidecar connect to any local port.
///
/// Of a list, which proxies make of it one after the other, the first port counts. What is no port says nothing, and is
/// refused only where nothing else would choose.
struct LocalApplicationStage: Stage {
    static let name = "local-application"

    private let serviceName: String
    private let application: ApplicationEndpoints
    private let ownPorts: [Int]
    private let host: HeaderLine
    private let timeout: TimeAmount?

    /// - Parameter timeout: The longest wait for the application; `nil` for the listener's.
    init(identity: ServiceIdentity, application: ApplicationEndpoints, ownPorts: [Int], timeout: Duration?) {
        self.timeout = timeout.map { TimeAmount($0) }
        self.serviceName = identity.name
        self.application = application
        self.ownPorts = ownPorts
        self.host = HeaderLine("Host", identity.name)
    }

    func onRequest(_ exchange: inout Exchange) -> Verdict {
        exchange.counters = exchange.worker.metrics.own
        _ = exchange.resolveSource()
        // Behind the application a new request begins: what it sends on has come no way yet.
        exchange.requestHeaders.remove(.meshHop)
        if exchange.worker.isDebugging { Self.log(&exchange) }
        if exchange.requestHeaders.contains(.host) {
            if !exchange.requestHeaders.contains(.xForwardedHost) {
                exchange.requestHeaders.append(
                    .xForwardedHost, "X-Forwarded-Host", valueFrom: exchange.request.authority.whole)
            }
        } else {
            exchange.requestHeaders.append(self.host)  // HTTP/1.0 need not name one, what we send must
        }
        guard let index = exchange.requestHeaders.firstIndex(of: .xForwardedPort) else {
            return self.forward(&exchange, to: self.endpoint(exchange.isGRPC))
        }
        let port = exchange.requestHeaders.withValue(at: index) { Self.firstPort($0) }
        if self.application.rest == nil, self.application.others.isEmpty {
            guard let port else { return .reject(ProxyError(.badRequest, "X-Forwarded-Port is no port")) }
            guard !self.ownPorts.contains(Int(port)) else {
                return .reject(ProxyError(.destinationRefused, "X-Forwarded-Port is a port of the sidecar's own"))
            }
            return self.forward(&exchange, to: exchange.worker.localEndpoint(port, isGRPC: exchange.isGRPC))
        }
        let asked = port.flatMap { port in self.application.others.first { $0.port == Int(port) } }
        return self.forward(&exchange, to: asked ?? self.endpoint(exchange.isGRPC))
    }

    func onResponse(_ exchange: inout Exchange) {
        // What mesher says of itself is not an application's to say, or to hand on.
        exchange.responseHeaders.remove(.xMesherError)
        exchange.responseHeaders.remove(.xMesherUnserved)
    }

    /// The first element of a comma-separated list, when it is a port.
    private static func firstPort(_ value: RawSpan) -> UInt16? {
        var start = 0
        while start < value.byteCount, value.byte(at: start) == .space || value.byte(at: start) == .tab { start += 1 }
        var end = start
        while end < value.byteCount, value.byte(at: end).isDigit { end += 1 }
        var rest = end
        while rest < value.byteCount, value.byte(at: rest) == .space || value.byte(at: rest) == .tab { rest += 1 }
        guard rest == value.byteCount || value.byte(at: rest) == .comma,
            let port = UInt16(decimal: value.extracting(start..<end)), port > 0
        else { return nil }
        return port
    }

    private func endpoint(_ isGRPC: Bool) -> Endpoint? { isGRPC ? self.application.grpc : self.application.rest }

    private static func log(_ exchange: inout Exchange) {
        let source = exchange.resolveSource()
        exchange.worker.logger.debug(
            "incoming request",
            metadata: [
                "source": "\(source.service)", "known_by": "\(source.origin.rawValue)", "app": "\(source.app)",
                "version": "\(source.version)",
            ])
    }

    private func forward(_ exchange: inout Exchange, to endpoint: Endpoint?) -> Verdict {
        guard let endpoint else {
            return .reject(
                ProxyError(
                    .noLocalPort,
                    "[\(exchange.isGRPC ? "grpc" : "rest")] is not supported, [\(self.serviceName)] didn't set env [SERVICE_PORTS] or cmd parameter "
                        + "--service-ports before mesher start"))
        }
        exchange.endpoint = endpoint
        exchange.timeout = self.timeout
        return .proceed
    }
}
