// SPDX-License-Identifier: Apache-2.0

import Common
import FoundationEssentials
import HTTPTypes
import Hummingbird
import NIOCore

/// One request to the registry.
struct RegistryCall: Sendable {
    /// The largest body of a request.
    private static let bodyLimit = 2 << 20

    let request: Request
    /// What stands in the path where its pattern has a name.
    let parameters: [String: String]

    /// `tenant/project`: each is a world of its own.
    var tenant: String { Self.tenant(self.request.headers[.domainName], self.parameter("project")) }

    /// The id of the service that asks.
    var consumer: String? { self.request.headers[.consumerID].nonEmpty }

    var service: String { self.parameter("sid") }
    var instance: String { self.parameter("iid") }

    static func tenant(_ domain: String?, _ project: String) -> String { "\(domain.nonEmpty ?? "default")/\(project)" }

    func parameter(_ name: String) -> String { self.parameters[name] ?? "" }

    /// The value of a parameter in the query; empty when absent.
    func query(_ name: Substring) -> String { String(self.request.uri.queryParameters[name] ?? "") }

    /// The parts of a parameter in the query that is a list.
    func list(_ name: Substring) -> [String] { self.query(name).split(separator: ",").map(String.init) }

    /// Whether a parameter in the query is true.
    func flag(_ name: Substring, _ words: [String: Bool]) throws(ServiceCenterError) -> Bool {
        let text = self.query(name)
        guard let value = text.isEmpty ? false : words[text] else {
            throw ServiceCenterError(
                .invalidParameters, "parameter \(name) must be \(words.keys.sorted().joined(separator: " or "))")
        }
        return value
    }

    /// What the query looks for.
    var provider: RegistryState.Provider {
        RegistryState.Provider(
            environment: self.query("env"), app: self.query("appId"), name: self.query("serviceName"))
    }

    func body<Body: Decodable>(_ type: Body.Type) async throws -> Body {
        let bytes = try await self.request.body.collect(upTo: Self.bodyLimit)
        return try JSONDecoder().decode(type, from: Data(bytes.readableBytesView))
    }
}

extension HTTPField.Name {
    static let domainName = Self("X-Domain-Name") ?? .eTag
    static let consumerID = Self("X-ConsumerId") ?? .eTag
    static let resourceRevision = Self("X-Resource-Revision") ?? .eTag
    static let schemaSummary = Self("X-Schema-Summary") ?? .eTag
}
