// SPDX-License-Identifier: Apache-2.0

import Common
import NIOHTTP1

extension ServiceCenterError {
    /// Whether it is the one who asks that the registry does not know, and not what was asked for.
    ///
    /// The text tells, since one code stands for both; what is said of unknown providers names the consumer too:
    /// `Consumer[C1][/default/web/1.0.0] find provider[/default/nosuch/0+] failed`.
    ///
    /// - Source: service-center 2.1 and 2.2, which wrap the same words in answers to many questions.
    func isAbout(consumer: String?) -> Bool {
        guard self.code == .serviceMissing, let consumer else { return false }
        return self.detail?.contains("Consumer[\(consumer)] does not exist") == true
    }
}

/// The calls that find others.
extension ServiceCenterClient {
    /// What one call found.
    struct Findings: Sendable {
        /// One for each service, in the order of the question.
        var answers: [DiscoveryState.Answer]
        /// The registry does not know the one who asks.
        var isConsumerUnknown = false
    }

    /// How many services are asked for in one call.
    static let batch = 100

    /// Asks for the instances of services, in all versions.
    ///
    /// - Parameter services: Services, and the revisions that are known.
    /// - Parameter environment: Counts only without a consumer; with one the registry goes by the consumer's own.
    func find(
        _ services: [(demand: ServiceDemand, revision: String?)], environment: String, consumer: String?,
        isUrgent: Bool = false
    ) async throws(Failure) -> Findings {
        let lines = services.map { service in
            FindBodies.Request.Line(
                service: ServiceEntity(
                    appId: service.demand.app, serviceName: service.demand.name, version: "0+",
                    environment: environment.isEmpty || consumer != nil ? nil : environment),
                rev: service.revision)
        }
        let answer: Answer
        do {
            answer = try await self.call(
                .POST, "/instances/action", query: [("type", "query")], consumer: consumer,
                body: FindBodies.Request(consumerServiceId: consumer, services: lines), isUrgent: isUrgent)
        } catch {
            if case .refused(let refusal, _) = error, refusal.isAbout(consumer: consumer) {
                return Findings(answers: services.map { _ in .failed }, isConsumerUnknown: true)
            }
            throw error
        }
        let lists = try Self.read(FindBodies.Answer.self, answer).services
        var findings = Findings(answers: services.map { _ in .failed })
        for updated in lists?.updated ?? [] {
            guard let index = updated.index, findings.answers.indices.contains(index) else { continue }
            findings.answers[index] = .found(updated.instances ?? [], revision: updated.rev)
        }
        for index in lists?.notModified ?? [] where findings.answers.indices.contains(index) {
            findings.answers[index] = .unchanged
        }
        for failed in lists?.failed ?? [] {
            guard let error = failed.error else { continue }
            if error.isAbout(consumer: consumer) {
                findings.isConsumerUnknown = true
                continue
            }
            let answer: DiscoveryState.Answer
            switch error.code {
            case .serviceMissing, .serviceForbidden, .versionMissing: answer = .unknown
            case .invalidParameters: answer = .refused
            default: continue
            }
            for index in failed.indexes ?? [] where findings.answers.indices.contains(index) {
                findings.answers[index] = answer
            }
        }
        return findings
    }

    /// All services that this tenant's project has.
    func services() async throws(Failure) -> [ServiceEntity] {
        try Self.read(ServiceBodies.Many.self, try await self.call(.GET, "/microservices")).services ?? []
    }

    /// Every service of this tenant's project with its instances; neither has its properties.
    func everything() async throws(Failure) -> [ServiceBodies.Everything.Detail] {
        let answer = try await self.call(
            .GET, "/microservices", query: [("options", "instances")], family: "govern")
        return try Self.read(ServiceBodies.Everything.self, answer).allServicesDetail ?? []
    }

    /// Whether the registry answers at all: one that says that nobody may ask is there, another server that answers
    /// something is not.
    func ping() async throws(Failure) {
        let answer: Answer
        do {
            answer = try await self.call(.GET, "/health", isOpen: true)
        } catch {
            guard case .refused(_, let status) = error, status == 401 || status == 403 else { throw error }
            return
        }
        do {
            _ = try Self.read(InstanceBodies.Many.self, answer)
        } catch {
            let text = "\(answer.place) does not answer as a service-center does"
            self.failed(answer.place, text)
            throw .unreadable(text)
        }
    }
}
