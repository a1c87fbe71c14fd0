// SPDX-License-Identifier: Apache-2.0

package import Common
import FoundationEssentials

/// The TLS material of all traffic.
package struct TLSContexts: Sendable {
    /// Of the listeners of outgoing requests.
    package let outgoing: TLSMaterial?
    /// Of the listener of incoming HTTP.
    package let incoming: TLSMaterial?
    /// Of the listener of incoming gRPC.
    package let incomingGRPC: TLSMaterial?
    private let consumers: [String: TLSMaterial]
    private let allConsumers: [String: TLSMaterial]
    /// All of it, each once.
    package let all: [TLSMaterial]
    /// Those of connections that a control plane describes.
    package let secrets: MeshSecrets
    /// What is wrong with the material of connections to instances: warnings, for
    /// those fail until the files are better, and nothing else does.
    package let problems: [ConfigProblem]

    /// None.
    package init(secrets: MeshSecrets = MeshSecrets(identity: nil)) {
        self.secrets = secrets
        self.problems = []
        self.outgoing = nil
        self.incoming = nil
        self.incomingGRPC = nil
        self.consumers = [:]
        self.allConsumers = [:]
        self.all = []
    }

    /// Loads everything.
    ///
    /// - Throws: `MesherError.configuration` with every mistake that concerns a listener.
    package init(
        _ config: TrafficTLSConfig, secrets: MeshSecrets = MeshSecrets(identity: nil)
    ) throws(MesherError) {
        self.secrets = secrets
        var loaded: [String: TLSMaterial] = [:]
        var problems: [ConfigProblem] = []
        var others: [ConfigProblem] = []
        // Half a pair has been told as a mistake already, when the keys were read.
        for tag in config.all where tag.certFile.isEmpty == tag.keyFile.isEmpty {
            do throws(ConfigProblem) {
                loaded[tag.name] = try TLSMaterial(tag)
            } catch {
                if tag.side == .provider {
                    problems.append(error)
                } else {
                    others.append(
                        ConfigProblem(
                            .warning, at: error.location, key: error.key, error.problem, remedy: error.remedy))
                    loaded[tag.name] = TLSMaterial(waitingFor: tag, failure: error.problem)
                }
            }
        }
        if !problems.isEmpty { throw .configuration(problems + others) }
        self.problems = others
        self.outgoing = config.outgoing.flatMap { loaded[$0.name] }
        self.incoming = config.incoming.flatMap { loaded[$0.name] }
        self.incomingGRPC = config.incomingGRPC.flatMap { loaded[$0.name] }
        self.consumers = config.consumers.compactMapValues { loaded[$0.name] }
        self.allConsumers = config.allConsumers.compactMapValues { loaded[$0.name] }
        self.all = config.all.compactMap { loaded[$0.name] }
    }

    /// A warning for each certificate that ends soon.
    package func expiring(within time: Duration) -> [ConfigProblem] {
        let last = Int(Date().timeIntervalSince1970) + Int(time.components.seconds)
        return self.all.compactMap { material in
            guard let expiry = material.expiry, expiry < last else { return nil }
            let date = Date(timeIntervalSince1970: TimeInterval(expiry))
            return ConfigProblem(
                .warning, at: material.tag.locations[TrafficTLSConfig.Keys.certFile] ?? ConfigLocation("tls.yaml"),
                key: "ssl.\(material.tag.name).\(TrafficTLSConfig.Keys.certFile)",
                "the certificate in \(material.tag.certFile) ends on \(date.ISO8601Format())", remedy: "renew it")
        }
    }

    /// What a tag of connections to instances has; `nil` where there was none when the process began.
    package func tagged(_ tag: String) -> TLSMaterial? {
        self.all.first { $0.tag.name == tag && $0.tag.side == .consumer }
    }

    /// What connections to the instances of a service use; `nil` for plain text.
    ///
    /// - Parameter isExternal: Whether it is an external host, which is spoken to as it is named only.
    package func consumer(_ service: String, _ protocolName: String, isExternal: Bool) -> TLSMaterial? {
        if self.all.isEmpty { return nil }
        return self.consumers["\(service).\(protocolName)"] ?? (isExternal ? nil : self.allConsumers[protocolName])
    }
}
