// SPDX-License-Identifier: Apache-2.0

/// How Istio's control plane and this workload prove to each other who they are: `mesher.istio.*` of `chassis.yaml`.
///
/// - Source: where Istio mounts these files in a pod.
package struct IstioConfig: Sendable, Equatable {
    /// The name that a control plane has to prove; empty for the usual one.
    package var serverName: String
    /// The file with the mesh's authorities, PEM.
    package var rootCertificate: String
    /// The file with the service account's token for Istio.
    package var tokenFile: String
    /// The folder with `cert-chain.pem`, `key.pem` and `root-cert.pem`, for a control plane that wants a certificate.
    package var certificateDirectory: String
    /// The folder with the service account's `token` for Kubernetes, and its `ca.crt`.
    package var serviceAccountDirectory: String

    /// Whether callers of the mesh may, or must, use its TLS.
    package var inboundTLS: InboundTLS

    /// Whether a control plane that does not know xDS v3 is asked by v2; the kind of registry says so.
    package var allowsVersion2 = false

    /// Whether the control plane is asked again and again by Istio's first API; the kind of registry says so.
    package var isPolled = false

    /// Whether a control plane says which external hosts may be called, in place of the rules of files.
    package var tellsExternalHosts = false

    /// What incoming connections speak.
    package enum InboundTLS: String, Sendable, CaseIterable {
        /// Mutual TLS of the mesh, or plain text.
        case permissive
        /// Mutual TLS of the mesh.
        case strict
        /// What `tls.yaml` says.
        case off
    }

    /// What Istio mounts.
    package init() {
        self.serverName = Keys.serverName.fallback
        self.rootCertificate = Keys.rootCertificate.fallback
        self.tokenFile = Keys.tokenFile.fallback
        self.certificateDirectory = Keys.certificateDirectory.fallback
        self.serviceAccountDirectory = Keys.serviceAccountDirectory.fallback
        self.inboundTLS = Keys.inboundTLS.fallback
    }

    /// Reads the keys.
    package init(_ reader: inout ConfigReader) {
        self.serverName = reader.read(Keys.serverName)
        self.rootCertificate = reader.read(Keys.rootCertificate)
        self.tokenFile = reader.read(Keys.tokenFile)
        self.certificateDirectory = reader.read(Keys.certificateDirectory)
        self.serviceAccountDirectory = reader.read(Keys.serviceAccountDirectory)
        self.inboundTLS = reader.read(Keys.inboundTLS)
    }

    /// What the control plane at this address has to prove to be, and is asked for.
    ///
    /// A certificate of `istiod` names its service as `service.namespace.svc`, however short or long the address is, with
    /// the revision, if there is one: `istiod-canary.istio-system.svc`.
    package func serverName(of server: ServerAddress) -> String {
        if !self.serverName.isEmpty { return self.serverName }
        let labels = server.host.split(separator: ".")
        guard server.isName, labels.count >= 2 else { return "istiod.istio-system.svc" }
        let isService = labels.count == 2 || labels[2] == "svc"
        return isService ? "\(labels[0]).\(labels[1]).svc" : server.host
    }

    /// The keys of ``IstioConfig``.
    package enum Keys {
        static let serverName = ConfigKey(
            "cse.service.registry.serviceDiscovery.serverName", .text, default: "",
            "Name that Istio's control plane has to prove over TLS. When absent: that of its service, as in `istiod.istio-system.svc`, by the host of `address`."
        )
        static let rootCertificate = ConfigKey(
            "mesher.istio.rootCertificate", .text, default: "/var/run/secrets/istio/root-cert.pem",
            "Certificates of the mesh's authorities, PEM: they vouch for Istio's control plane. Read for each connection."
        )
        static let tokenFile = ConfigKey(
            "mesher.istio.tokenFile", .text, default: "/var/run/secrets/tokens/istio-token",
            "Token of the service account, by which Istio's control plane at port 15012 knows this workload. Read for each call."
        )
        static let certificateDirectory = ConfigKey(
            "mesher.istio.certificateDirectory", .text, default: "/etc/certs",
            "Folder with `cert-chain.pem`, `key.pem` and `root-cert.pem`, for Istio's control plane at port 15011. Read for each connection."
        )
        static let serviceAccountDirectory = ConfigKey(
            "mesher.istio.serviceAccountDirectory", .text, default: "/var/run/secrets/kubernetes.io/serviceaccount",
            "Folder with `token` and `ca.crt`, by which Kubernetes is asked for DestinationRules where the labels of subsets count. Without a token nobody is asked. Read for each question."
        )

        static let inboundTLS = ConfigKey(
            "mesher.istio.inboundTLS", .oneOf(InboundTLS.self, "mode"), default: .permissive,
            "With an identity in Istio's mesh: what callers speak to this workload. `permissive`: its mutual TLS, or plain text. `strict`: its mutual TLS. `off`: what `tls.yaml` says, whose TLS of listeners always comes first."
        )

        /// All of them, in the order of the reference.
        static let all: [any AnyConfigKey] = [
            Self.serverName, Self.rootCertificate, Self.tokenFile, Self.certificateDirectory,
            Self.serviceAccountDirectory, Self.inboundTLS,
        ]
    }
}
