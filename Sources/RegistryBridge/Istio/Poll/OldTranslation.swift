// SPDX-License-Identifier: Apache-2.0

import FoundationEssentials
import IstioMessages
import SwiftProtobuf

/// Says in messages of xDS, under the names that Istio gives there, what the answers of its first API say.
struct OldTranslation {
    /// The names of clusters, by those that the first API gives them.
    private let names: [String: String]
    /// What to ask for to know the endpoints of a cluster.
    let keys: [String: String]
    let clusters: [XDSCluster]
    private let faults: [OldAnswers.Fault]

    /// - Parameter tables: By port.
    init(_ clusters: [OldAnswers.Cluster], tables: [UInt16: OldAnswers.Table], faults: [OldAnswers.Fault]) {
        // The numbers of ports, which keys have names for.
        var ports: [String: UInt16] = [:]
        for (port, table) in tables {
            for host in table.virtualHosts ?? [] {
                if let key = ServiceKey(host.name) { ports[key.service] = port }
            }
        }
        var (names, keys): ([String: String], [String: String]) = ([:], [:])
        var messages: [XDSCluster] = []
        for cluster in clusters where !cluster.name.hasPrefix("in.") {
            guard let message = Self.cluster(cluster, ports) else { continue }
            names[cluster.name] = message.name
            if message.type == .eds { keys[message.name] = cluster.serviceName }
            messages.append(message)
        }
        self.names = names
        self.keys = keys
        self.clusters = messages.sorted { $0.name < $1.name }
        self.faults = faults
    }

    /// - Returns: `nil` for a service that no HTTP request can name.
    private static func cluster(_ cluster: OldAnswers.Cluster, _ ports: [String: UInt16]) -> XDSCluster? {
        var message = XDSCluster()
        message.name = cluster.name
        switch cluster.type {
        case "sds":
            guard let key = cluster.serviceName.flatMap(ServiceKey.init), let port = ports[key.service] else {
                return nil
            }
            message.type = .eds
            message.name = ClusterName(port: port, subset: key.subset, host: key.host).text
            message.edsClusterConfig.serviceName = message.name
        case "original_dst":
            message.type = .originalDst
            message.name = Self.name(of: cluster, ports)
        case "static", "strict_dns":
            message.type = cluster.type == "static" ? .static : .strictDns
            message.hosts = (cluster.hosts ?? []).compactMap { Self.address($0.url) }
            message.name = Self.name(of: cluster, ports)
        default: return nil
        }
        if let time = cluster.connectTimeoutMs { message.connectTimeout = .init(milliseconds: time) }
        switch cluster.lbType {
        case "least_request": message.lbPolicy = .leastRequest
        case "ring_hash": message.lbPolicy = .ringHash
        case "random": message.lbPolicy = .random
        case "original_dst_lb": message.lbPolicy = .originalDstLb
        default: message.lbPolicy = .roundRobin
        }
        if cluster.features?.contains("http2") == true { message.http2ProtocolOptions = XDSHttp2ProtocolOptions() }
        if let most = cluster.maxRequestsPerConnection { message.maxRequestsPerConnection.value = most }
        if let limits = cluster.circuitBreakers?.default {
            var thresholds = XDSCircuitBreakers.Thresholds()
            if let most = limits.maxConnections { thresholds.maxConnections.value = most }
            if let most = limits.maxPendingRequests { thresholds.maxPendingRequests.value = most }
            if let most = limits.maxRequests { thresholds.maxRequests.value = most }
            if let most = limits.maxRetries { thresholds.maxRetries.value = most }
            message.circuitBreakers.thresholds = [thresholds]
        }
        if let outliers = cluster.outlierDetection {
            if let count = outliers.consecutive5Xx { message.outlierDetection.consecutive5Xx.value = count }
            if let time = outliers.intervalMs { message.outlierDetection.interval = .init(milliseconds: time) }
            if let time = outliers.baseEjectionTimeMs {
                message.outlierDetection.baseEjectionTime = .init(milliseconds: time)
            }
            if let percent = outliers.maxEjectionPercent { message.outlierDetection.maxEjectionPercent.value = percent }
        }
        if let tls = cluster.sslContext { message.tlsContext = Self.context(tls) }
        return message
    }

    /// The name of a cluster whose endpoints nobody is asked for, such as those of hosts outside the mesh: it has the key too.
    private static func name(of cluster: OldAnswers.Cluster, _ ports: [String: UInt16]) -> String {
        guard cluster.name.hasPrefix("out."), let key = ServiceKey(String(cluster.name.dropFirst("out.".count))) else {
            return cluster.name
        }
        let written = cluster.hosts?.first.flatMap { Self.address($0.url) }?.socketAddress.portValue
        guard let port = ports[key.service] ?? written.flatMap({ UInt16(exactly: $0) }) else { return cluster.name }
        return ClusterName(port: port, subset: key.subset, host: key.host).text
    }

    private static func context(_ tls: OldAnswers.Cluster.TLS) -> XDSUpstreamTlsContext {
        var context = XDSUpstreamTlsContext()
        if let chain = tls.certChainFile {
            context.commonTlsContext.tlsCertificates = [
                .with {
                    $0.certificateChain.filename = chain
                    $0.privateKey.filename = tls.privateKeyFile ?? ""
                }
            ]
        }
        if let authorities = tls.caCertFile {
            context.commonTlsContext.validationContext.trustedCa.filename = authorities
        }
        if let names = tls.verifySubjectAltName {
            context.commonTlsContext.validationContext.verifySubjectAltName = names
        }
        return context
    }

    /// `tcp://10.0.0.1:80`.
    private static func address(_ url: String) -> XDSAddress? {
        let text = url.hasPrefix("tcp://") ? url.dropFirst("tcp://".count) : url[...]
        guard let colon = text.lastIndex(of: ":"), let port = UInt32(text[colon...].dropFirst()) else { return nil }
        return .with {
            $0.socketAddress.address = String(text[..<colon])
            $0.socketAddress.portValue = port
        }
    }

    /// The endpoints of a cluster.
    static func assignment(_ name: String, _ hosts: [OldAnswers.Host]) -> XDSClusterLoadAssignment {
        // One place after the other, in the order of their names.
        let groups = Dictionary(grouping: hosts) { $0.tags?.az ?? "" }.sorted { $0.key < $1.key }
        return .with { message in
            message.clusterName = name
            message.endpoints = groups.map { az, hosts in
                .with { group in
                    if !az.isEmpty {
                        let parts = az.split(separator: "/", maxSplits: 1)
                        group.locality.zone = String(parts.first ?? "")
                        group.locality.region = parts.count > 1 ? String(parts[1]) : ""
                    }
                    group.lbEndpoints = hosts.map { host in
                        .with {
                            $0.endpoint.address.socketAddress.address = host.ipAddress
                            $0.endpoint.address.socketAddress.portValue = UInt32(clamping: host.port)
                            if let weight = host.tags?.loadBalancingWeight, weight > 0 {
                                $0.loadBalancingWeight.value = UInt32(clamping: weight)
                            }
                        }
                    }
                }
            }
        }
    }

    // MARK: Routes

    /// The table of a port.
    func table(_ port: UInt16, _ table: OldAnswers.Table) -> XDSRouteConfiguration {
        .with { message in
            message.name = "\(port)"
            message.virtualHosts = (table.virtualHosts ?? []).map { host in
                .with {
                    $0.name = ServiceKey(host.name).map { "\($0.host):\(port)" } ?? host.name
                    $0.domains = host.domains
                    $0.routes = (host.routes ?? []).map(self.route)
                }
            }
        }
    }

    private func route(_ route: OldAnswers.Route) -> XDSRoute {
        var message = XDSRoute()
        if let path = route.path {
            message.match.path = path
        } else if let regex = route.regex {
            message.match.regex = regex
        } else {
            message.match.prefix = route.prefix ?? "/"
        }
        message.match.headers = Self.conditions(route.headers)
        if let runtime = route.runtime {
            message.match.runtimeFraction.defaultValue.numerator = runtime.default
        }
        if let operation = route.decorator?.operation { message.decorator.operation = operation }
        message.requestHeadersToAdd = (route.requestHeadersToAdd ?? []).map { addition in
            .with { ($0.header.key, $0.header.value) = (addition.key, addition.value) }
        }
        if route.hostRedirect != nil || route.pathRedirect != nil {
            message.redirect.hostRedirect = route.hostRedirect ?? ""
            message.redirect.pathRedirect = route.pathRedirect ?? ""
            return message
        }
        message.route = self.action(route)
        if let cluster = route.cluster, let fault = self.fault(for: cluster) {
            message.typedPerFilterConfig[Self.faultFilter] = fault
        }
        return message
    }

    private func action(_ route: OldAnswers.Route) -> XDSRouteAction {
        var action = XDSRouteAction()
        if let targets = route.weightedClusters?.clusters {
            action.weightedClusters.clusters = targets.map { target in
                .with {
                    $0.name = self.names[target.name] ?? target.name
                    $0.weight.value = target.weight
                    if let fault = self.fault(for: target.name) { $0.typedPerFilterConfig[Self.faultFilter] = fault }
                }
            }
        } else {
            action.cluster = route.cluster.map { self.names[$0] ?? $0 } ?? ""
        }
        action.prefixRewrite = route.prefixRewrite ?? ""
        if let host = route.hostRewrite {
            action.hostRewriteLiteral = host
        } else if let isOn = route.autoHostRewrite {
            action.autoHostRewrite.value = isOn
        }
        if let time = route.timeoutMs { action.timeout = .init(milliseconds: time) }
        if let retries = route.retryPolicy {
            action.retryPolicy.retryOn = retries.retryOn ?? ""
            if let count = retries.numRetries { action.retryPolicy.numRetries.value = count }
            if let time = retries.perTryTimeoutMs { action.retryPolicy.perTryTimeout = .init(milliseconds: time) }
        }
        if let isOn = route.useWebsocket { action.useWebsocket.value = isOn }
        if let shadow = route.shadow {
            action.requestMirrorPolicy.cluster = self.names[shadow.cluster] ?? shadow.cluster
        }
        return action
    }

    private static func conditions(_ headers: [OldAnswers.Header]?) -> [XDSHeaderMatcher] {
        (headers ?? []).map { header in
            .with {
                $0.name = header.name
                if header.regex == true {
                    $0.regexMatch = header.value ?? ""
                } else {
                    $0.exactMatch = header.value ?? ""
                }
            }
        }
    }

    private static let faultFilter = "envoy.fault"

    /// The fault of a cluster: the first one, as a route has one.
    private func fault(for cluster: String) -> Google_Protobuf_Any? {
        guard let said = self.faults.first(where: { $0.upstreamCluster == cluster }) else { return nil }
        var fault = XDSHTTPFault()
        fault.headers = Self.conditions(said.headers)
        if let delay = said.delay {
            fault.delay.fixedDelay = .init(milliseconds: delay.fixedDurationMs ?? 0)
            fault.delay.percentage.numerator = delay.fixedDelayPercent ?? 0
        }
        if let abort = said.abort {
            fault.abort.httpStatus = abort.httpStatus ?? 0
            fault.abort.percentage.numerator = abort.abortPercent ?? 0
        }
        guard let bytes = try? fault.serializedData() else { return nil }
        return .with {
            $0.typeURL = "type.googleapis.com/envoy.config.filter.http.fault.v2.HTTPFault"
            $0.value = bytes
        }
    }
}

extension Google_Protobuf_Duration {
    fileprivate init(milliseconds: Int) {
        self.init(seconds: Int64(milliseconds / 1000), nanos: Int32(milliseconds % 1000 * 1_000_000))
    }
}
