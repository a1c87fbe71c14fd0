// SPDX-License-Identifier: Apache-2.0

import IstioMessages
import SwiftProtobuf

/// Delta: requests and responses name what changes.
///
/// Changes of what is wanted and acknowledgements never share a request: Istio drops all of one whose nonce is outdated.
///
/// - Source: xDS, "Incremental xDS".
struct DeltaStream: DiscoveryStream {
    static let method = "DeltaAggregatedResources"

    private var node: XDSNode?
    /// What the server was told to be wanted, of kinds that it was asked for.
    private var subscriptions: [ResourceKind: Set<String>] = [:]
    /// What is held from streams before, until the first request of its kind has said it.
    private var held: [ResourceKind: [String: String]] = [:]

    /// - Parameter node: Who asks, which the first request says.
    init(node: XDSNode) { self.node = node }

    mutating func begin(
        _ wanted: [ResourceKind: Set<String>], versions: [ResourceKind: [String: String]]
    ) -> [XDSDeltaDiscoveryRequest] {
        self.held = versions
        return ResourceKind.allCases.compactMap { self.want(wanted[$0] ?? [], of: $0) }
    }

    mutating func want(_ names: Set<String>, of kind: ResourceKind) -> XDSDeltaDiscoveryRequest? {
        let known = self.subscriptions[kind]
        let (added, gone) = (names.subtracting(known ?? []), (known ?? []).subtracting(names))
        // No names are all clusters, and nothing of the other kinds.
        let isFirst = known == nil && (kind == .cluster || !names.isEmpty)
        guard isFirst || !added.isEmpty || !gone.isEmpty else { return nil }
        self.subscriptions[kind] = names
        var request = self.request(kind)
        request.resourceNamesSubscribe = added.sorted()
        request.resourceNamesUnsubscribe = gone.sorted()
        if isFirst, let held = self.held.removeValue(forKey: kind) {
            request.initialResourceVersions = kind == .cluster ? held : held.filter { names.contains($0.key) }
        }
        return request
    }

    mutating func read(_ bytes: [UInt8]) throws -> ReadResponse? {
        let response = try XDSDeltaDiscoveryResponse(serializedBytes: bytes)
        guard let kind = ResourceKind(typeURL: response.typeURL), self.subscriptions[kind] != nil else { return nil }
        let resources = response.resources.map {
            ResourceUpdate.Resource(
                name: $0.name, version: $0.version, typeURL: $0.resource.typeURL, bytes: $0.resource.value)
        }
        let update = ResourceUpdate(
            kind: kind, resources: resources, removed: response.removedResources, isWhole: false)
        return ReadResponse(update: update, version: response.systemVersionInfo, nonce: response.nonce)
    }

    mutating func answer(_ response: ReadResponse, _ refusals: [ResourceRefusal]) -> [XDSDeltaDiscoveryRequest] {
        var request = self.request(response.update.kind)
        request.responseNonce = response.nonce
        if !refusals.isEmpty { request.errorDetail = XDSStatus(refusals) }
        return [request]
    }

    private mutating func request(_ kind: ResourceKind) -> XDSDeltaDiscoveryRequest {
        var request = XDSDeltaDiscoveryRequest()
        if let node = self.node { request.node = node }
        self.node = nil
        request.typeURL = kind.typeURL
        return request
    }
}
