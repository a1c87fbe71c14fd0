// SPDX-License-Identifier: Apache-2.0

import Common
import FoundationEssentials
import NIOHTTP1

extension ServiceCenterClient.Failure {
    /// The registry's error, when it is its word.
    var code: ServiceCenterError.Code? {
        guard case .refused(let error, _) = self else { return nil }
        return error.code
    }

    /// Whether the registry has looked at the question and said no, so that nothing has come of it.
    var isRefusal: Bool {
        if case .refused = self { true } else { false }
    }
}

/// The calls about what this sidecar itself is and where.
extension ServiceCenterClient {
    /// The id of a service; `nil` when the registry does not know it.
    func serviceID(of service: ServiceEntity, isUrgent: Bool = false) async throws(Failure) -> String? {
        do {
            let answer = try await self.call(
                .GET, "/existence",
                query: [
                    ("type", "microservice"), ("appId", service.appId ?? ""),
                    ("serviceName", service.serviceName ?? ""),
                    ("version", service.version ?? ""), ("env", service.environment ?? ""),
                ], isUrgent: isUrgent)
            return try Self.read(ServiceBodies.Identity.self, answer).serviceId
        } catch {
            // The second: it knows the service, and has not seen this version of it.
            if error.code == .serviceMissing || error.code == .versionMissing { return nil }
            throw error
        }
    }

    /// Registers a service, and gives its id.
    func register(_ service: ServiceEntity, isUrgent: Bool = false) async throws(Failure) -> String {
        let answer = try await self.call(
            .POST, "/microservices", body: ServiceBodies.One(service: service), isUrgent: isUrgent)
        guard let id = try Self.read(ServiceBodies.Identity.self, answer).serviceId, !id.isEmpty else {
            throw .unreadable("the answer has no serviceId")
        }
        return id
    }

    /// What the registry keeps of a service.
    func service(_ id: String) async throws(Failure) -> ServiceEntity? {
        try Self.read(ServiceBodies.One.self, try await self.call(.GET, "/microservices/\(id)")).service
    }

    /// Replaces the properties of a service.
    func setProperties(_ properties: [String: String], ofService id: String) async throws(Failure) {
        let body = ServiceBodies.Properties(properties: properties)
        _ = try await self.call(.PUT, "/microservices/\(id)/properties", body: body)
    }

    /// Registers an instance under the id that it has chosen, which makes the call repeatable.
    func register(
        _ instance: InstanceEntity, of service: String, isUrgent: Bool = false
    ) async throws(Failure) {
        let body = InstanceBodies.One(instance: instance)
        _ = try await self.call(
            .POST, "/microservices/\(service)/instances", body: body, isUrgent: isUrgent)
    }

    /// Renews the lease of an instance.
    func beat(_ instance: String, of service: String, isUrgent: Bool = false) async throws(Failure) {
        _ = try await self.call(
            .PUT, "/microservices/\(service)/instances/\(instance)/heartbeat", isUrgent: isUrgent)
    }

    /// The status that the registry has of an instance.
    func status(of instance: String, of service: String) async throws(Failure) -> InstanceStatus? {
        let answer = try await self.call(.GET, "/microservices/\(service)/instances/\(instance)")
        return try Self.read(InstanceBodies.One.self, answer).instance?.status.flatMap(InstanceStatus.init)
    }

    /// Changes the status of an instance.
    func setStatus(_ status: InstanceStatus, of instance: String, of service: String) async throws(Failure) {
        _ = try await self.call(
            .PUT, "/microservices/\(service)/instances/\(instance)/status", query: [("value", status.rawValue)])
    }

    /// Removes an instance; one that is gone already is as good.
    ///
    /// - Returns: Whether there was one.
    @discardableResult
    func remove(_ instance: String, of service: String, timeout: Duration) async throws(Failure) -> Bool {
        do {
            _ = try await self.call(
                .DELETE, "/microservices/\(service)/instances/\(instance)", timeout: timeout, isUrgent: true)
            return true
        } catch {
            guard error.code == .instanceMissing || error.code == .serviceMissing else { throw error }
            return false
        }
    }

    static func read<Body: Decodable>(_ type: Body.Type, _ answer: Answer) throws(Failure) -> Body {
        do {
            return try JSONDecoder().decode(type, from: answer.body)
        } catch let error as DecodingError {
            throw .unreadable("the answer makes no sense\(error.place)")
        } catch {
            throw .unreadable("the answer makes no sense")
        }
    }
}

extension DecodingError {
    /// Which member is wrong, as far as that is known: `, member services.0.index`.
    fileprivate var place: String {
        let path: [any CodingKey]
        switch self {
        case .typeMismatch(_, let context), .valueNotFound(_, let context), .dataCorrupted(let context):
            path = context.codingPath
        case .keyNotFound(let key, let context): path = context.codingPath + [key]
        @unknown default: path = []
        }
        let text = path.map { $0.intValue.map(String.init) ?? $0.stringValue }.joined(separator: ".")
        return text.isEmpty ? "" : ", member \(text.prefix(100))"
    }
}
