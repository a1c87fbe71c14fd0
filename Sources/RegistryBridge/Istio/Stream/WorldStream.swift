// SPDX-License-Identifier: Apache-2.0

import IstioMessages
import SwiftProtobuf

/// State of the world: each request names everything that is wanted of a kind.
///
/// In xDS v2 kinds have other names, and every request says who asks: Istio 1.0 looks for that in each. What is read has the
/// names of v3, as the messages are the same.
///
/// - Source: xDS, "Basic protocol"; Istio records no names that come with a refusal.
struct WorldStream: DiscoveryStream {
    private struct Subscription {
        var names: Set<String> = []
        /// What the server was told last.
        var sent: Set<String> = []
        var accepted = ""
        var nonce = ""
        /// Whether a response waits for its answer, which will have the names.
        var isReading = false
    }

    static let method = "StreamAggregatedResources"

    private var node: XDSNode?
    private let isVersion2: Bool
    private var subscriptions: [ResourceKind: Subscription] = [:]

    /// - Parameter node: Who asks, which the first request says.
    init(node: XDSNode, isVersion2: Bool = false) {
        self.node = node
        self.isVersion2 = isVersion2
    }

    private func typeURL(_ kind: ResourceKind) -> String { self.isVersion2 ? kind.oldTypeURL : kind.typeURL }

    mutating func begin(
        _ wanted: [ResourceKind: Set<String>], versions: [ResourceKind: [String: String]]
    ) -> [XDSDiscoveryRequest] {
        ResourceKind.allCases.compactMap { self.want(wanted[$0] ?? [], of: $0) }
    }

    mutating func want(_ names: Set<String>, of kind: ResourceKind) -> XDSDiscoveryRequest? {
        guard var subscription = self.subscriptions[kind] else {
            // No names are all clusters, and nothing of the other kinds.
            guard kind == .cluster || !names.isEmpty else { return nil }
            self.subscriptions[kind] = Subscription(names: names)
            return self.request(kind)
        }
        subscription.names = names
        self.subscriptions[kind] = subscription
        return subscription.isReading || names == subscription.sent ? nil : self.request(kind)
    }

    mutating func read(_ bytes: [UInt8]) throws -> ReadResponse? {
        let response = try XDSDiscoveryResponse(serializedBytes: bytes)
        guard let kind = ResourceKind.allCases.first(where: { self.typeURL($0) == response.typeURL }),
            self.subscriptions[kind] != nil
        else { return nil }
        self.subscriptions[kind]?.isReading = true
        let resources = response.resources.map {
            ResourceUpdate.Resource(
                name: nil, version: response.versionInfo,
                typeURL: $0.typeURL == response.typeURL ? kind.typeURL : $0.typeURL, bytes: $0.value)
        }
        let update = ResourceUpdate(kind: kind, resources: resources, removed: [], isWhole: kind == .cluster)
        return ReadResponse(update: update, version: response.versionInfo, nonce: response.nonce)
    }

    mutating func answer(_ response: ReadResponse, _ refusals: [ResourceRefusal]) -> [XDSDiscoveryRequest] {
        let kind = response.update.kind
        guard var subscription = self.subscriptions[kind] else { return [] }
        subscription.isReading = false
        subscription.nonce = response.nonce
        if refusals.isEmpty { subscription.accepted = response.version }
        self.subscriptions[kind] = subscription
        guard !refusals.isEmpty else { return [self.request(kind)] }
        var refusal = self.request(kind, names: subscription.sent)
        refusal.errorDetail = XDSStatus(refusals)
        return subscription.names == subscription.sent ? [refusal] : [refusal, self.request(kind)]
    }

    /// - Parameter names: Other names than those that are wanted.
    private mutating func request(_ kind: ResourceKind, names: Set<String>? = nil) -> XDSDiscoveryRequest {
        var subscription = self.subscriptions[kind] ?? Subscription()
        subscription.sent = names ?? subscription.names
        self.subscriptions[kind] = subscription
        var request = XDSDiscoveryRequest()
        if let node = self.node { request.node = node }
        if !self.isVersion2 { self.node = nil }
        request.typeURL = self.typeURL(kind)
        request.resourceNames = subscription.sent.sorted()
        request.versionInfo = subscription.accepted
        request.responseNonce = subscription.nonce
        return request
    }
}
