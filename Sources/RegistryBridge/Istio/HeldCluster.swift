// SPDX-License-Identifier: Apache-2.0

import Common
import IstioMessages
import SwiftProtobuf

/// A cluster of the control plane, as far as a sidecar needs to know it.
struct HeldCluster: Sendable, Equatable {
    /// Where its endpoints come from.
    enum Source: Sendable, Equatable {
        /// From assignments of this name.
        case assignments(String)
        /// They stand in the cluster; hosts that are names are looked up.
        case written(HeldAssignment)
        /// They are what the request names.
        case request
    }

    /// Its whole name.
    let name: String
    /// What Istio has put into the name; `nil` for clusters of another kind.
    let key: ClusterName?
    /// See ``Source``.
    let source: Source
    /// Whether the places of endpoints have weights.
    let weighsLocalities: Bool
    /// How its endpoints want to be spoken to.
    let transport: HeldTransport
    /// What holds for calls of it; of TLS as endpoints want it where the workload can speak it.
    let settings: ClusterSettings
    /// What is not done that it asks for, as logs say it.
    let gaps: [String]

    /// Reads a cluster.
    ///
    /// - Throws: Why it cannot be used; what stands behind ``ResourceMistake/reason`` goes back to the control plane.
    /// - Source: Envoy's `config.cluster.v3.Cluster`.
    init(_ message: XDSCluster) throws(ResourceMistake) {
        self.name = message.name
        self.key = ClusterName(message.name)
        var gaps: [String] = []
        self.source = try Self.source(message)
        self.weighsLocalities = message.commonLbConfig.localityConfigSpecifier != nil
        self.transport = try HeldTransport(message)
        var settings = try Self.settings(message, &gaps)
        settings.tls = self.transport.tls.map { .mesh($0) }
        self.settings = settings
        self.gaps = gaps + self.transport.gaps
    }

    private static func source(_ message: XDSCluster) throws(ResourceMistake) -> Source {
        guard case .type(let type)? = message.clusterDiscoveryType else {
            return message.clusterDiscoveryType == nil ? .written(try HeldAssignment(Self.written(message))) : .request
        }
        switch type {
        case .eds:
            guard message.hasEdsClusterConfig else { throw ResourceMistake("type EDS without eds_cluster_config") }
            let name = message.edsClusterConfig.serviceName
            return .assignments(name.isEmpty ? message.name : name)
        case .static, .strictDns, .logicalDns:
            return .written(try HeldAssignment(Self.written(message), allowsNames: type != .static))
        case .originalDst: return .request
        case .UNRECOGNIZED(let number): throw ResourceMistake("unknown type \(number)")
        }
    }

    /// Where a host outside the mesh is.
    enum ExternalPlace {
        /// Where its name leads: as Istio has it for ServiceEntries without endpoints of their own, and for services that
        /// Kubernetes gives no address.
        case name
        case members(HeldAssignment)
        /// At the endpoints of this name.
        case assignments(String)
    }

    /// What its name says, if it is of a host outside the mesh, and where that is.
    func externalHost(in place: MeshPlace) -> (key: ClusterName, place: ExternalPlace)? {
        guard let key = self.key, key.subset.isEmpty else { return nil }
        if case .request = self.source { return (key, .name) }
        guard !key.host.hasSuffix(".svc.\(place.domain)") else { return nil }
        switch self.source {
        case .request: return (key, .name)
        case .assignments(let name): return (key, .assignments(name))
        case .written(let assignment):
            let isItself = assignment.members.allSatisfy {
                $0.name?.lowercased() == key.host.lowercased() && $0.port == Int(key.port)
            }
            return (key, isItself && !assignment.members.isEmpty ? .name : .members(assignment))
        }
    }

    /// The endpoints that stand in the cluster, which xDS v2 has as bare addresses too.
    private static func written(_ message: XDSCluster) -> XDSClusterLoadAssignment {
        guard !message.hasLoadAssignment, !message.hosts.isEmpty else { return message.loadAssignment }
        var group = XDSLocalityLbEndpoints()
        group.lbEndpoints = message.hosts.map { host in .with { $0.endpoint.address = host } }
        return .with { $0.endpoints = [group] }
    }

    private static func settings(_ message: XDSCluster, _ gaps: inout [String]) throws(ResourceMistake)
        -> ClusterSettings
    {
        var settings = ClusterSettings()
        settings.connectTimeout = .seconds(5)
        if message.hasConnectTimeout {
            let time = try Duration(message.connectTimeout, of: "connect_timeout")
            guard time > .zero else { throw ResourceMistake("connect_timeout must be positive") }
            settings.connectTimeout = time
        }
        settings.strategy = Self.strategy(message, &gaps)
        (settings.ringSize, settings.tableSize) = try Self.hashing(message, &gaps)
        settings.panicThreshold = 50
        if message.commonLbConfig.hasHealthyPanicThreshold {
            let percent = message.commonLbConfig.healthyPanicThreshold.value
            guard (0...100).contains(percent) else { throw ResourceMistake("healthy_panic_threshold \(percent)") }
            settings.panicThreshold = Int(percent.rounded())
        }
        let thresholds =
            message.circuitBreakers.thresholds.first { $0.priority == .default } ?? XDSCircuitBreakers.Thresholds()
        // There may always be one: with none, no request could ever go.
        settings.maxConnections = Self.limit(
            thresholds.hasMaxConnections, max(1, thresholds.maxConnections.value), 1024)
        settings.maxPending = Self.limit(thresholds.hasMaxPendingRequests, thresholds.maxPendingRequests.value, 1024)
        settings.maxRequests = Self.limit(thresholds.hasMaxRequests, thresholds.maxRequests.value, 1024)
        // To Envoy a request waits while its connection is being made, so that with none that may wait none is ever made.
        if settings.maxPending == 0 { settings.maxRequests = 0 }
        settings.maxRetries = Self.limit(thresholds.hasMaxRetries, thresholds.maxRetries.value, 3)
        if thresholds.hasRetryBudget { settings.retryBudget = try Self.budget(thresholds.retryBudget) }
        if message.hasOutlierDetection { settings.outliers = try Self.outliers(message.outlierDetection) }
        settings.isHTTP2 = Self.speaksHTTP2(message)
        settings.followsClient = Self.followsClient(message, &gaps)
        settings.life = try Self.life(message, &gaps)
        return settings
    }

    /// How large the tables of hashes are.
    private static func hashing(_ message: XDSCluster, _ gaps: inout [String]) throws(ResourceMistake) -> (
        ring: ClosedRange<Int>, table: Int?
    ) {
        let bounds = ClusterSettings.usualRing
        switch message.lbConfig {
        case .ringHashLbConfig(let ring):
            let least = ring.hasMinimumRingSize ? ring.minimumRingSize.value : 1024
            let most = ring.hasMaximumRingSize ? ring.maximumRingSize.value : 8_388_608
            guard least <= most, most <= 8_388_608 else {
                throw ResourceMistake("ring_hash_lb_config: sizes from \(least) to \(most)")
            }
            if least > UInt64(bounds.upperBound) {
                gaps.append("minimum_ring_size \(least): a ring has \(bounds.upperBound) points at most")
            }
            // No number that has come this far is larger than an Int.
            let upper = max(1, min(Int(most), bounds.upperBound))
            return (max(1, min(Int(least), upper))...upper, nil)
        case .maglevLbConfig(let maglev) where maglev.hasTableSize:
            let size = maglev.tableSize.value
            guard size <= 5_000_011, Int(size).isPrime else {
                throw ResourceMistake("maglev_lb_config: table_size \(size) is no prime number up to 5000011")
            }
            return (1024...bounds.upperBound, Int(size))
        default: return (1024...bounds.upperBound, nil)
        }
    }

    private static func outliers(_ message: XDSOutlierDetection) throws(ResourceMistake) -> ClusterOutliers {
        func number(_ isWritten: Bool, _ value: UInt32, _ usual: Int) -> Int { isWritten ? Int(value) : usual }
        func percent(_ isWritten: Bool, _ value: UInt32, _ usual: Int) throws(ResourceMistake) -> Int {
            guard value <= 100 else { throw ResourceMistake("outlier_detection: \(value) %") }
            return isWritten ? Int(value) : usual
        }
        var settings = ClusterOutliers()
        let usual = settings
        settings.consecutiveErrors = number(
            message.hasConsecutive5Xx, message.consecutive5Xx.value, usual.consecutiveErrors)
        settings.consecutiveGatewayErrors = number(
            message.hasConsecutiveGatewayFailure, message.consecutiveGatewayFailure.value,
            usual.consecutiveGatewayErrors)
        settings.consecutiveSilences = number(
            message.hasConsecutiveLocalOriginFailure, message.consecutiveLocalOriginFailure.value,
            usual.consecutiveSilences)
        settings.tellsSilencesApart = message.splitExternalLocalOriginErrors
        settings.errorsPercent = try percent(
            message.hasEnforcingConsecutive5Xx, message.enforcingConsecutive5Xx.value, usual.errorsPercent)
        settings.gatewayErrorsPercent = try percent(
            message.hasEnforcingConsecutiveGatewayFailure, message.enforcingConsecutiveGatewayFailure.value,
            usual.gatewayErrorsPercent)
        settings.silencesPercent = try percent(
            message.hasEnforcingConsecutiveLocalOriginFailure, message.enforcingConsecutiveLocalOriginFailure.value,
            usual.silencesPercent)
        settings.maxEjectedPercent = try percent(
            message.hasMaxEjectionPercent, message.maxEjectionPercent.value, usual.maxEjectedPercent)
        settings.mayAlwaysEjectOne = message.hasAlwaysEjectOneHost && message.alwaysEjectOneHost.value
        if message.hasInterval { settings.interval = try Duration(message.interval, of: "interval") }
        if message.hasBaseEjectionTime {
            settings.baseTime = try Duration(message.baseEjectionTime, of: "base_ejection_time")
        }
        if message.hasMaxEjectionTime {
            settings.maxTime = try Duration(message.maxEjectionTime, of: "max_ejection_time")
        }
        settings.maxTime = max(settings.maxTime, settings.baseTime)
        return settings
    }

    /// - Parameter usual: What Envoy takes where nothing is written.
    /// - Returns: `nil` for no limit, which Istio writes as the greatest number that there is.
    private static func limit(_ isWritten: Bool, _ value: UInt32, _ usual: Int) -> Int? {
        guard isWritten else { return usual }
        return value >= UInt32(Int32.max) ? nil : Int(value)
    }

    /// How long its connections are used.
    ///
    /// - Source: Envoy's `common_http_protocol_options`, and the older `max_requests_per_connection`.
    private static func life(_ message: XDSCluster, _ gaps: inout [String]) throws(ResourceMistake) -> ConnectionLife {
        var life = ConnectionLife()
        let options = XDSHttpProtocolOptions.of(message)
        // The older place counts where the newer one is empty.
        let common = options?.commonHTTPProtocolOptions ?? message.commonHTTPProtocolOptions
        let requests =
            common.hasMaxRequestsPerConnection
            ? common.maxRequestsPerConnection.value : message.maxRequestsPerConnection.value
        // None is no limit.
        if requests > 0 { life.requests = Int(requests) }
        if common.hasIdleTimeout { life.idle = try Duration(common.idleTimeout, of: "idle_timeout") }
        if common.hasMaxConnectionDuration {
            let age = try Duration(common.maxConnectionDuration, of: "max_connection_duration")
            if age > .zero { life.age = age }
        }
        if common.hasMaxStreamDuration { gaps.append("max_stream_duration of a cluster is not kept to") }
        let http2 = options?.http2 ?? message.http2ProtocolOptions
        if http2.hasMaxConcurrentStreams {
            guard http2.maxConcurrentStreams.value > 0 else {
                throw ResourceMistake("max_concurrent_streams must be positive")
            }
            life.streams = Int(http2.maxConcurrentStreams.value)
        }
        return life
    }

    /// Whether HTTP/2 is spoken for requests that came by it alone.
    private static func followsClient(_ message: XDSCluster, _ gaps: inout [String]) -> Bool {
        guard let options = XDSHttpProtocolOptions.of(message) else {
            return message.protocolSelection == .useDownstreamProtocol
        }
        switch options.upstreamProtocolOptions {
        case .useDownstreamProtocolConfig?: return true
        case .autoConfig?:
            gaps.append("auto_config is not followed: HTTP/1.1 is spoken")
            return false
        case .explicitHTTPConfig?, nil: return false
        }
    }

    /// Whether HTTP/2 is spoken to it, as to services of gRPC.
    private static func speaksHTTP2(_ message: XDSCluster) -> Bool {
        guard let options = XDSHttpProtocolOptions.of(message) else {
            return message.hasHTTP2ProtocolOptions && message.protocolSelection != .useDownstreamProtocol
        }
        guard case .explicitHTTPConfig(let explicit)? = options.upstreamProtocolOptions,
            case .http2ProtocolOptions? = explicit.protocolConfig
        else { return false }
        return true
    }
}

extension XDSHttpProtocolOptions {
    /// What it says of HTTP/2, wherever that stands.
    fileprivate var http2: XDSHttp2ProtocolOptions {
        switch self.upstreamProtocolOptions {
        case .explicitHTTPConfig(let explicit)?: explicit.http2ProtocolOptions
        case .useDownstreamProtocolConfig(let config)?: config.http2ProtocolOptions
        case .autoConfig?, nil: XDSHttp2ProtocolOptions()
        }
    }
}
