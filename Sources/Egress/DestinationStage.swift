// SPDX-License-Identifier: Apache-2.0
// request path

import Common
import Proxy

/// Finds the service that an outgoing request names, tells the other side who asks, and ends what has been here before.
///
/// What the request names is the resolver's business; what may be called at all is decided here. The port goes along as
/// `X-Forwarded-Port` and never chooses an instance.
///
/// - Source: promises T4 and T5.
struct DestinationStage: Stage {
    static let name = "destination"

    private let resolver: any DestinationResolver
    private let streamResolver: any DestinationResolver
    private let own: OwnListeners
    private let source: String
    private let context: HeaderLine
    private let plainSource: HeaderLine
    private let token: HopToken
    private let hosts: ExternalDestinations

    init(
        _ resolver: any DestinationResolver, grpc streamResolver: any DestinationResolver, own: OwnListeners,
        source: String, token: HopToken, hosts: ExternalDestinations
    ) {
        self.resolver = resolver
        self.streamResolver = streamResolver
        self.own = own
        self.source = source
        self.token = token
        self.hosts = hosts
        self.context = HeaderLine("x-cse-context", SourceContext.write([(SourceContext.sourceKey, source)]))
        self.plainSource = HeaderLine(SourceContext.sourceKey, source)
    }

    func onRequest(_ exchange: inout Exchange) -> Verdict {
        // On a listener of gRPC it leads inside whatever it names: every request inside names its service again.
        if exchange.isGRPC, exchange.request.method == .connect { return .reply(.established) }
        let own = self.ownListener(exchange)
        switch own {
        case .outgoing where exchange.request.method == .connect: return .reject(Self.unlisted(exchange))
        case .admin where exchange.request.method == .connect: return .reject(Self.unlisted(exchange))
        case .outgoing:
            return .reject(Self.unnamed(exchange))
        case .admin:
            return .reject(ProxyError(.destinationRefused, "destination refused: the sidecar's own admin API"))
        case .incoming, nil: break
        }
        if exchange.request.flags.contains(.hostTarget), self.own.isOutgoing(port: exchange.request.authority.port) {
            // The client has it from its address of the sidecar: of the service it says nothing.
            exchange.dropPort()
        }
        let rules = exchange.worker.rules
        if rules.hasHosts, let verdict = self.findHost(&exchange, rules) { return verdict }
        let directory = exchange.worker.directory
        let service: Service
        let port: ByteRange
        switch (exchange.isGRPC ? self.streamResolver : self.resolver)
            .resolve(exchange.request, exchange.requestHeaders, in: directory)
        {
        case .refused(let error): return .reject(error)
        case .service(let found, let itsPort): (service, port) = (found, itsPort)
        case .name(let name, let itsPort):
            guard let found = exchange.requestHeaders.withBytes(in: name, { directory.service(named: $0) }) else {
                return self.find(name, for: &exchange, directory, isOwn: own != nil)
            }
            (service, port) = (found, itsPort)
        }
        service.use.set()
        let target = exchange.worker.state(of: service, under: rules)
        if exchange.request.method == .connect { return self.leadInside(target, port, &exchange) }
        Self.take(target, for: &exchange)
        if !port.isEmpty {
            exchange.requestHeaders.remove(.xForwardedPort)
            exchange.requestHeaders.append(.xForwardedPort, "X-Forwarded-Port", valueFrom: port)
        }
        return self.mark(&exchange)
    }

    /// What becomes of a request for a virtual host of `mesh.yaml` or an external host; `nil` when it is for neither.
    private func findHost(_ exchange: inout Exchange, _ rules: MeshRules) -> Verdict? {
        let authority = exchange.request.authority
        let port = authority.portDigits.isEmpty ? 80 : authority.port
        let host = exchange.requestHeaders.withBytes(in: authority.host) { rules.hosts.find($0, port: port) }
        if let host, exchange.request.method != .connect {
            host.use.set()
            Self.take(exchange.worker.state(of: host, under: rules), for: &exchange)
            return self.mark(&exchange)
        }
        switch self.hosts.find(&exchange, rules, self.own, beside: host) {
        case .found: return self.mark(&exchange)
        case .wait(let future): return .again(future)
        case .refused(let error): return .reject(error)
        case nil: break
        }
        // A tunnel to a listed external host is one as ever, also where a domain such as * has it.
        guard let host else { return Self.ask(forPort: port, &exchange, rules) }
        let target = exchange.worker.state(of: host, under: rules)
        return self.leadInside(target, authority.portDigits, &exchange)
    }

    /// Has a control plane asked for the routes of a port of which nothing is known; `nil` where nothing is to be asked.
    private static func ask(forPort port: UInt16, _ exchange: inout Exchange, _ rules: MeshRules) -> Verdict? {
        guard let demand = rules.demand(forPort: port),
            exchange.worker.directory.absence(of: demand, at: exchange.worker.now) == nil
        else { return nil }
        guard let future = exchange.worker.waits.wait(for: [demand], &exchange) else {
            return .reject(ProxyError(.notReady))
        }
        return .again(future)
    }

    private static func take(_ target: ServiceState, for exchange: inout Exchange) {
        exchange.counters = target.counters
        exchange.timeout = target.timeout
        exchange.target = target
    }

    func onFinish(_ exchange: inout Exchange) {
        // A retry that the end of the call has overtaken.
        exchange.balancing.nextRetry.take()?.giveBackRetry()
        if exchange.chain == .external, exchange.outcome == .connectFailed { self.hosts.connectFailed(exchange) }
    }

    /// Stops requests that have been here before, and tells the other side who asks.
    private func mark(_ exchange: inout Exchange) -> Verdict {
        guard self.token.look(in: exchange.requestHeaders) == .clear else { return .reject(ProxyError(.loop)) }
        exchange.requestHeaders.append(self.token.line)
        self.setContext(&exchange.requestHeaders)
        if exchange.isGRPC {
            // All that the original looks at in a gRPC call.
            exchange.requestHeaders.remove(.xCseSourceService)
            exchange.requestHeaders.append(self.plainSource)
        }
        return .proceed
    }

    /// The sidecar's own listener that the client names; `nil` for all other places.
    @inline(__always)
    private func ownListener(_ exchange: borrowing Exchange) -> OwnListeners.Listener? {
        guard exchange.request.flags.contains(.absoluteTarget) else { return nil }
        let authority = exchange.request.authority
        let port = authority.portDigits.isEmpty ? 80 : Int(authority.port)
        return exchange.requestHeaders.withBytes(in: authority.host) { self.own.named($0, port: port) }
    }

    /// What becomes of a request for a name that is not in the directory: it waits until the registry has been asked, or
    /// learns why there is nothing.
    private func find(
        _ name: ByteRange, for exchange: inout Exchange, _ directory: ServiceDirectory, isOwn: Bool
    ) -> Verdict {
        let text = exchange.requestHeaders.string(in: name)
        if isOwn || exchange.requestHeaders.withBytes(in: name, { OwnListeners.isInternal($0) }) {
            if exchange.request.method == .connect { return .reject(Self.unlisted(exchange)) }
            return .reject(.unreachable(text))
        }
        var isReachable = directory.isSynced
        // A name that no service can have must not spoil the question for others.
        if directory.isComplete || exchange.requestHeaders.withBytes(in: name, { RegistryNames.isName($0) }) {
            let (now, demands) = (exchange.worker.now, exchange.worker.rules.demands(for: text))
            let missing = demands.filter { directory.absence(of: $0, at: now) == nil }
            if !missing.isEmpty {
                // All at once; the request goes on with the first answer.
                guard let future = exchange.worker.waits.wait(for: missing, &exchange) else {
                    return .reject(ProxyError(.notReady))
                }
                return .again(future)
            }
            isReachable = demands.allSatisfy { directory.absence(of: $0, at: now) == .unknown }
        }
        guard isReachable else { return .reject(ProxyError(.notReady)) }
        if exchange.request.flags.contains(.hostTarget) {
            return .reject(
                ProxyError(.destinationUnresolved, "Invalid uri, please check: Host names no service: [\(text)]"))
        }
        let authority = exchange.request.authority
        let port = authority.portDigits.isEmpty ? 80 : authority.port
        // A control plane that has services at the port has no routes for this host.
        if exchange.worker.rules.controlPlane?.servedPorts.contains(port) == true, exchange.request.method != .connect {
            return .reject(ProxyError(.noRule, "no virtual host of the control plane has [\(text)] at port \(port)"))
        }
        if exchange.request.method == .connect { return .reject(Self.unlisted(exchange)) }
        return .reject(.unknownName(text))
    }

    /// Answers CONNECT to a service: the requests inside are mesher's business like all others.
    private func leadInside(_ target: ServiceState, _ port: ByteRange, _ exchange: inout Exchange) -> Verdict {
        let service = target.service
        exchange.counters = target.counters
        exchange.target = target
        // A stream of HTTP/2 is no connection that another protocol could be spoken on.
        if exchange.request.flags.contains(.http2) { return .reject(ProxyError(.methodRefused)) }
        let isSecure = exchange.requestHeaders.withBytes(in: port) { UInt16(decimal: $0) == 443 }
        guard !isSecure else {
            return .reject(
                ProxyError(
                    .destinationRefused,
                    "destination refused: CONNECT to port 443 of [\(service.name)] asks for TLS that only the service "
                        + "could end; write http://\(service.name)/, and mesher sees to TLS between sidecars"))
        }
        return .reply(.established)
    }

    /// Why a request for the outgoing listener itself leads nowhere.
    private static func unnamed(_ exchange: borrowing Exchange) -> ProxyError {
        let text =
            exchange.request.flags.contains(.hostTarget)
            ? "Invalid uri, please check: Host names the sidecar, and no service"
            : "uri format must be: http://serviceName/api"
        return ProxyError(.destinationUnresolved, text)
    }

    /// Why CONNECT does not lead to what is no service.
    private static func unlisted(_ exchange: borrowing Exchange) -> ProxyError {
        exchange.worker.rules.externalHosts.isEmpty
            ? ProxyError(.methodRefused) : ProxyError(.destinationRefused, "destination refused: not listed")
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
}
