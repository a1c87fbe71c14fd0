// SPDX-License-Identifier: Apache-2.0

package import Common
import FoundationEssentials
import IstioMessages
import SwiftProtobuf

/// Who this sidecar is to the control plane: pure, with the environment passed in.
///
/// Istio finds the workload by its address and decides by the namespace which services have short names.
///
/// - Source: Istio's node id `type~ip~name.namespace~namespace.svc.domain`, and the metadata that its own agent sends.
package struct NodeIdentity: Sendable, Equatable {
    /// The name of the pod, or of the machine.
    package let name: String
    /// Kubernetes' namespace.
    package let namespace: String
    /// Under which others reach the workload; without brackets.
    package let address: String
    /// All of its addresses, with commas between them.
    package let addresses: String
    /// What names of services end with.
    package let domain: String
    /// Whose mesh it is: the first part of all identities.
    package let trustDomain: String
    /// The labels of the workload.
    package let labels: [String: String]
    /// Where it is, if that is known.
    package let locality: Locality?
    /// Metadata beside those that follow from the above: texts by key.
    package let metadata: [String: String]
    /// The variable that the address would come from, if it is not set.
    package let missing: String?

    /// What of the environment is metadata, and under which key.
    private static let keys = [
        "ISTIO_VERSION": "ISTIO_VERSION", "SERVICE_ACCOUNT": "SERVICE_ACCOUNT", "WORKLOAD_NAME": "WORKLOAD_NAME",
        "NODE_NAME": "NODE_NAME",
    ]
    /// How Istio's agent takes further metadata.
    private static let prefix = "ISTIO_META_"
    private static let usual = ["ISTIO_VERSION": "1.24.0", "CLUSTER_ID": "Kubernetes", "INTERCEPTION_MODE": "NONE"]

    /// Reads `POD_NAME`, `POD_NAMESPACE`, `INSTANCE_IP`, `INSTANCE_IPS`, `TRUST_DOMAIN`, `SERVICE_ACCOUNT`, `ISTIO_META_…`, and `ISTIO_METAJSON_LABELS`.
    ///
    /// - Parameter host: What the pod is called where `POD_NAME` is not set.
    /// - Parameter address: Its address where `INSTANCE_IP` is not set.
    /// - Parameter labels: Labels from elsewhere, before which those of the environment win.
    package init(
        environment: [String: String], host: String, address: String?, labels: [String: String] = [:],
        locality: Locality? = nil, domain: String = "cluster.local"
    ) {
        func text(_ name: String) -> String? { environment[name].flatMap { $0.isEmpty ? nil : $0 } }
        self.name = text("POD_NAME") ?? host
        self.namespace = text("POD_NAMESPACE") ?? "default"
        self.address = text("INSTANCE_IP") ?? address ?? "127.0.0.1"
        self.addresses = text("INSTANCE_IPS") ?? self.address
        self.missing = text("INSTANCE_IP") == nil ? "INSTANCE_IP" : nil
        self.domain = domain
        self.trustDomain = text("TRUST_DOMAIN") ?? "cluster.local"
        self.locality = locality
        let more = text("ISTIO_METAJSON_LABELS").flatMap {
            try? JSONDecoder().decode([String: String].self, from: Data($0.utf8))
        }
        self.labels = labels.merging(more ?? [:]) { $1 }
        var metadata = Self.usual
        for (name, value) in environment where name.hasPrefix(Self.prefix) && !value.isEmpty {
            metadata[String(name.dropFirst(Self.prefix.count))] = value
        }
        for (name, key) in Self.keys { if let value = text(name) { metadata[key] = value } }
        self.metadata = metadata
    }

    /// What the control plane calls this sidecar.
    package var id: String {
        "sidecar~\(self.address)~\(self.name).\(self.namespace)~\(self.namespace).svc.\(self.domain)"
    }

    /// What the first request of a stream says.
    func message(version: String) -> XDSNode {
        var node = XDSNode()
        node.id = self.id
        node.cluster = "\(self.labels["app"] ?? "mesher").\(self.namespace)"
        var fields = self.metadata.mapValues { Google_Protobuf_Value(stringValue: $0) }
        fields["NAME"] = Google_Protobuf_Value(stringValue: self.name)
        fields["NAMESPACE"] = Google_Protobuf_Value(stringValue: self.namespace)
        fields["INSTANCE_IPS"] = Google_Protobuf_Value(stringValue: self.addresses)
        if !self.labels.isEmpty {
            let labels = self.labels.mapValues { Google_Protobuf_Value(stringValue: $0) }
            fields["LABELS"] = Google_Protobuf_Value(structValue: Google_Protobuf_Struct(fields: labels))
        }
        node.metadata = Google_Protobuf_Struct(fields: fields)
        if let locality = self.locality {
            node.locality.region = locality.region
            node.locality.zone = locality.zone
            node.locality.subZone = locality.subzone
        }
        node.userAgentName = "mesher"
        node.userAgentVersion = version
        return node
    }
}
