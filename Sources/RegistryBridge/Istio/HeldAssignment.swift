// SPDX-License-Identifier: Apache-2.0

import Common
import IstioMessages
import SwiftProtobuf

/// The endpoints of a cluster, as the control plane says them.
struct HeldAssignment: Sendable, Equatable {
    /// One of them.
    struct Member: Sendable, Equatable {
        /// `rest://host:port` or `grpc://host:port` without the scheme.
        let place: String
        /// A name, which has to be looked up; `nil` for an address.
        let name: String?
        let port: Int
        let weight: Int
        let priority: Int
        /// What the control plane calls it.
        let host: String?
        let locality: Locality?
        let condition: ClusterEntry.Condition
        /// What it says of itself by which TLS is chosen.
        let labels: [String: String]
        /// The version of its workload; `nil` where nobody says it.
        let version: String?
    }

    let members: [Member]
    /// What each place takes of the requests, where the cluster goes by that.
    let localityWeights: [LocalityWeight]
    /// How much more than its share of them the endpoints of a priority are trusted with, in percent.
    let overprovisioning: Int
    /// What is left out, as logs say it.
    let gaps: [String]

    /// The version that all of them have; `nil` where they have several, or nobody says it.
    var sharedVersion: String? {
        guard let version = self.members.first?.version else { return nil }
        return self.members.allSatisfy { $0.version == version } ? version : nil
    }

    /// That of a cluster without endpoints.
    static let empty = HeldAssignment()

    private init() {
        self.members = []
        self.localityWeights = []
        self.overprovisioning = EndpointSet.usualOverprovisioning
        self.gaps = []
    }

    /// Reads an assignment.
    ///
    /// - Parameter allowsNames: Whether hosts may be names, as those of DNS clusters are.
    /// - Source: Envoy's `config.endpoint.v3.ClusterLoadAssignment`.
    init(_ message: XDSClusterLoadAssignment, allowsNames: Bool = false) throws(ResourceMistake) {
        var members: [Member] = []
        var weights: [LocalityWeight] = []
        var gaps: Set<String> = []
        for group in message.endpoints {
            guard group.priority <= 128 else { throw ResourceMistake("priority \(group.priority) is above 128") }
            // One without a name is no place, and has no weight among places.
            let locality = group.locality == XDSLocality() ? nil : Locality(group.locality)
            if group.hasLoadBalancingWeight, let locality {
                weights.append(
                    LocalityWeight(
                        locality, weight: Int(group.loadBalancingWeight.value), priority: Int(group.priority)))
            }
            for endpoint in group.lbEndpoints {
                guard case .socketAddress(let address)? = endpoint.endpoint.address.address else {
                    gaps.insert("endpoints without an address and port are left out, such as those of ambient mode")
                    continue
                }
                guard case .portValue(let port)? = address.portSpecifier, (1...65_535).contains(port) else {
                    throw ResourceMistake("the endpoint \(address.address) has no port from 1 to 65535")
                }
                guard let place = Self.place(address.address, Int(port), allowsNames: allowsNames) else {
                    throw ResourceMistake("\"\(address.address)\" is no address")
                }
                if endpoint.hasLoadBalancingWeight, endpoint.loadBalancingWeight.value == 0 {
                    throw ResourceMistake("the endpoint \(address.address) has a weight of 0")
                }
                members.append(
                    Member(
                        place: place.text, name: place.name, port: Int(port),
                        weight: endpoint.hasLoadBalancingWeight ? Int(endpoint.loadBalancingWeight.value) : 1,
                        priority: Int(group.priority),
                        host: Self.host(of: endpoint.endpoint, allowsNames: allowsNames),
                        locality: locality,
                        condition: Self.condition(endpoint.healthStatus), labels: Self.labels(endpoint),
                        version: Self.version(endpoint)))
            }
        }
        if !message.policy.dropOverloads.isEmpty { gaps.insert("drop_overloads: no requests are dropped") }
        let factor = message.policy.overprovisioningFactor.value
        if message.policy.hasOverprovisioningFactor, factor == 0 {
            throw ResourceMistake("overprovisioning_factor must be positive")
        }
        self.overprovisioning =
            message.policy.hasOverprovisioningFactor ? Int(factor) : EndpointSet.usualOverprovisioning
        self.members = members
        self.localityWeights = weights
        self.gaps = gaps.sorted()
    }

    private static func labels(_ endpoint: XDSLbEndpoint) -> [String: String] {
        endpoint.metadata.filterMetadata["envoy.transport_socket_match"]?.fields.mapValues { $0.stringValue } ?? [:]
    }

    /// Istio says of an endpoint `workload;namespace;canonical service;canonical revision;cluster`.
    private static func version(_ endpoint: XDSLbEndpoint) -> String? {
        guard let workload = endpoint.metadata.filterMetadata["istio"]?.fields["workload"]?.stringValue else {
            return nil
        }
        let parts = workload.split(separator: ";", omittingEmptySubsequences: false)
        return parts.count >= 4 && !parts[3].isEmpty ? String(parts[3]) : nil
    }

    private static func condition(_ status: XDSLbEndpoint.HealthStatus) -> ClusterEntry.Condition {
        switch status {
        case .unknown, .healthy: .healthy
        case .degraded: .degraded
        case .unhealthy, .draining, .timeout, .UNRECOGNIZED: .unhealthy
        }
    }

    /// What `Host` may say for it: what it is called, in DNS clusters also what it is looked up by.
    private static func host(of endpoint: XDSEndpoint, allowsNames: Bool) -> String? {
        if !endpoint.hostname.isEmpty { return endpoint.hostname }
        return allowsNames ? endpoint.address.socketAddress.address : nil
    }

    private static func place(
        _ host: String, _ port: Int, allowsNames: Bool
    ) -> (text: String, name: String?)? {
        guard let text = try? EndpointText("rest://\(host.asHost):\(port)") else { return nil }
        if text.address != nil { return ("\(host.asHost):\(port)", nil) }
        return allowsNames ? ("\(text.host):\(port)", text.host) : nil
    }
}

extension Locality {
    fileprivate init(_ message: XDSLocality) {
        self.init(region: message.region, zone: message.zone, subzone: message.subZone)
    }
}
