// SPDX-License-Identifier: Apache-2.0

package import Common
package import NIOCore
package import Proxy

/// Says what would become of an outgoing request, without sending it and without a trace: no turn, no token and no
/// trial is used up.
///
/// It asks the very objects that the stages ask, so that it cannot say anything else than they do.
package struct Explainer {
    let config: MesherConfig
    let governance: Governance
    let marks: Marks
    let mesh: Mesh
    let now: NIODeadline
    private let controlPlane: ControlPlaneStatus.Value

    /// The question is no request.
    package struct Mistake: Error, CustomStringConvertible {
        /// What to write instead.
        package let description: String
    }

    /// An explainer of what holds now.
    ///
    /// - Parameter plan: What outgoing traffic obeys.
    /// - Parameter mesh: The services that are known, and the rules about them.
    /// - Parameter governance: What governs calls.
    /// - Parameter controlPlane: How things stand with one.
    package init(
        _ config: MesherConfig, plan: TrafficPlan, mesh: Mesh, _ governance: Governance, now: NIODeadline,
        controlPlane: ControlPlaneStatus.Value = ControlPlaneStatus.Value()
    ) {
        self.governance = governance
        self.marks = plan.marks ?? Marks(config.rules)
        self.config = config
        self.mesh = mesh
        self.now = now
        self.controlPlane = controlPlane
    }

    /// Explains what a sidecar with `config` would do that has just started.
    package init(_ config: MesherConfig, directory: ServiceDirectory) {
        self.governance = Governance()
        self.marks = Marks(config.rules)
        self.config = config
        self.mesh = Mesh(directory, MeshRules(config))
        self.now = .now()
        self.controlPlane = ControlPlaneStatus.Value()
    }

    /// A line for a resource of the control plane that was refused.
    func refusal(of kind: String, _ name: String) -> String? {
        self.controlPlane.resources[kind]?.refusals[name].map {
            "\(kind) \(name) are refused, what was there before holds: \($0)"
        }
    }

    /// The request as the listener would read it.
    struct Request: ~Copyable {
        var head = RequestHead()
        var headers = HeaderBlock()
        var caller: ServiceIdentity
    }

    /// The answer to a question.
    package func explain(_ question: ExplainQuestion) throws(Mistake) -> Explanation {
        let request = try self.read(question)
        var explanation = Explanation(question)
        guard let found = self.destination(request, &explanation) else { return explanation }
        let chains = self.rules.governance.chains
        var walk = Walk(explainer: self, target: found, explanation: explanation)
        for handler in found.chain == .external ? chains.egress : chains.outgoing { walk.step(handler, request) }
        return walk.finish()
    }

    private func read(_ question: ExplainQuestion) throws(Mistake) -> Request {
        var request = Request(caller: self.rules.caller)
        if let from = question.from { request.caller.name = from }
        let url = question.url.range(ofFirst: "://") == nil ? "http://\(question.url)" : question.url
        guard url.hasPrefix("http://"), let authority = url.dropFirst(7).split(separator: "/").first else {
            throw Mistake(
                description: "\"\(question.url)\" is no URL of a service: write one such as http://cart/items")
        }
        let lines = ["\(question.method) \(url) HTTP/1.1", "Host: \(authority)"] + question.headers + ["", ""]
        let bytes = Array(lines.joined(separator: "\r\n").utf8)
        var scanner = HeadScanner()
        let result = scanner.scanRequest(
            bytes.rawSpan, limits: HeadLimits(), into: &request.head, &request.headers)
        guard case .complete(let length) = result, length == bytes.count else {
            throw Mistake(description: "this is no HTTP request; headers are written name: value")
        }
        return request
    }

    /// Where a request goes.
    struct Target {
        let name: String
        let service: Service
        let policy: ServicePolicy

        var chain: VirtualHost.Chain { self.policy.host?.chain ?? .services }
    }

    var rules: MeshRules { self.mesh.rules }
    var directory: ServiceDirectory { self.mesh.services }

    private func target(_ service: Service) -> Target {
        Target(
            name: service.name, service: service, policy: self.governance.policy(of: service, under: self.rules))
    }

    /// Finds the service or host; `nil` after the answer was written that says why there is none.
    private func destination(_ request: borrowing Request, _ explanation: inout Explanation) -> Target? {
        let authority = request.head.authority
        let name = request.headers.string(in: authority.host)
        let port = authority.portDigits.isEmpty ? 80 : authority.port
        if let host = request.headers.withBytes(in: authority.host, { self.rules.hosts.find($0, port: port) }) {
            let target = self.target(host)
            let isTold = target.policy.host?.service != nil
            let notDone = isTold ? self.controlPlane.notDone.map { "asked for somewhere, and not done: \($0)" } : []
            let source = isTold ? "the control plane" : "mesh.yaml"
            explanation.destination = host.name
            // The table of a port, or that of a host at it.
            explanation.steps.append(
                .init(
                    handler: "destination", summary: "virtual host \(host.name) of \(source), which has \(name)",
                    details: ["\(port)", host.name].compactMap { self.refusal(of: "routes", $0) } + notDone))
            return target
        }
        let listed = request.headers.withBytes(
            in: authority.host, { self.rules.externalHosts.find($0, port: port) })
        if let found = listed.map(self.target), let rule = found.policy.requested?.rule {
            let port = rule.httpPort(requested: authority.portDigits.isEmpty ? nil : authority.port)
            explanation.destination = rule.pattern
            let places = rule.port(port)?.places?.map { "\($0.host.asHost):\($0.port)" }
            let details = places.map { ["it is at \($0.isEmpty ? "no endpoint" : $0.joined(separator: " or "))"] } ?? []
            explanation.steps.append(
                .init(
                    handler: "destination",
                    summary: "external host \(name), port \(port), allowed by \(rule.pattern)", details: details))
            return found
        }
        if let service = request.headers.withBytes(in: authority.host, { self.directory.service(named: $0) }) {
            let count = service.instances.count
            explanation.destination = service.name
            explanation.steps.append(
                .init(
                    handler: "destination",
                    summary: "service \(service.name), \(count) instance\(count == 1 ? "" : "s") known"))
            return self.target(service)
        }
        let (summary, error) = self.absence(name, request)
        explanation.steps.append(.init(handler: "destination", summary: summary, isAnswer: error != nil))
        if let error {
            explanation.answer = .init(LocalReply(error, error.reason == .noRule ? .envoy : .serviceComb))
        }
        return nil
    }

    private func absence(_ name: String, _ request: borrowing Request) -> (String, ProxyError?) {
        let host = request.head.authority.host
        if request.headers.withBytes(in: host, { OwnListeners.isInternal($0) }) {
            return ("\(name) is no service, and an address that nobody may be taken to", .unreachable(name))
        }
        guard self.directory.isSynced else {
            return ("the registry has not answered yet", ProxyError(.notReady))
        }
        let authority = request.head.authority
        let port = authority.portDigits.isEmpty ? 80 : authority.port
        if let demand = self.rules.demand(forPort: port), self.directory.absence(of: demand, at: self.now) == nil {
            return ("the control plane has not been asked about port \(port): the first request does that", nil)
        }
        if self.directory.isComplete { return ("no service is called \(name)", .unknownName(name)) }
        if self.rules.controlPlane?.servedPorts.contains(port) == true,
            self.rules.demands(for: name).allSatisfy({ self.directory.absence(of: $0, at: self.now) == .unknown })
        {
            let summary = "no virtual host of the control plane has [\(name)] at port \(port)"
            return (summary, ProxyError(.noRule, summary))
        }
        return ("the registry has not been asked about \(name): the first request does that", nil)
    }
}

extension Explanation.Answer {
    /// mesher's own answer.
    init(_ reply: LocalReply) {
        self.init(
            isForwarded: false, endpoints: [], status: reply.status, reason: reply.reason?.rawValue, body: reply.body)
    }
}
