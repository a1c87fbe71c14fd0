// SPDX-License-Identifier: Apache-2.0

/// An error as service-center's API v4 writes it.
package struct ServiceCenterError: Error, Codable, Sendable, Equatable {
    /// What went wrong; the first three digits are the HTTP status.
    ///
    /// - Source: the error codes of Apache ServiceComb service-center 2.1 and 2.2.
    package enum Code: String, Sendable, CaseIterable {
        /// A member of the request breaks a rule.
        case invalidParameters = "400001"
        /// The server calls itself unhealthy.
        case unhealthy = "400002"
        /// The service exists with another id.
        case serviceExists = "400010"
        /// The service, or the consumer that asks, does not exist.
        case serviceMissing = "400012"
        /// The service still has instances.
        case serviceHasInstances = "400013"
        /// No contract has this id.
        case schemaMissing = "400016"
        /// The instance does not exist.
        case instanceMissing = "400017"
        /// The service has no such tag.
        case tagMissing = "400018"
        /// Somebody depends on the service.
        case serviceHasConsumers = "400023"
        /// Somebody has forbidden the consumer to see the service.
        case serviceForbidden = "400024"
        /// The service exists, this version of it does not.
        case versionMissing = "400026"
        /// There may be no more of these.
        case quotaExhausted = "400100"
        /// The token is none, or not of this registry.
        case tokenUnusable = "401201"
        /// No account has this name and password.
        case passwordWrong = "401202"
        /// The call needs a token.
        case tokenAbsent = "401204"
        /// The token's time is over.
        case tokenExpired = "401205"
        /// The token is refused for another reason.
        case tokenRefused = "401206"
        /// Too many wrong passwords.
        case accountBlocked = "403201"
        /// The token's account may not do this.
        case permissionAbsent = "403205"

        /// What people are told.
        package var text: String {
            switch self {
            case .invalidParameters: "Invalid parameter(s)"
            case .unhealthy: "Server is unhealthy"
            case .serviceExists: "Micro-service already exists"
            case .serviceMissing: "Micro-service does not exist"
            case .serviceHasInstances: "Micro-service has deployed instance(s)"
            case .schemaMissing: "Schema does not exist"
            case .instanceMissing: "Instance does not exist"
            case .tagMissing: "Tag does not exist"
            case .serviceHasConsumers: "Consumer(s) depends on this micro-service"
            case .serviceForbidden: "Access micro-service is forbidden"
            case .versionMissing: "Micro-service version does not exist"
            case .quotaExhausted: "Not enough quota"
            case .tokenUnusable: "Request is not authorized"
            case .passwordWrong: "Name or password is wrong"
            case .tokenAbsent: "Authorization header is absent"
            case .tokenExpired: "Token is expired"
            case .tokenRefused: "Token is refused"
            case .accountBlocked: "Account is blocked"
            case .permissionAbsent: "No permission"
            }
        }
    }

    /// What went wrong; `nil` when that is nothing known.
    package var code: Code? { self.errorCode.flatMap(Code.init) }

    /// Six digits; see ``Code``.
    package var errorCode: String?
    /// The same in words.
    package var errorMessage: String?
    /// What exactly.
    package var detail: String?

    /// An error.
    package init(_ code: Code, _ detail: String) {
        self.errorCode = code.rawValue
        self.errorMessage = code.text
        self.detail = detail
    }
}

extension ServiceCenterError: CustomStringConvertible {
    /// More of a text than this is nobody's explanation.
    private static let limit = 400

    /// As logs and operators are told: `400026 Micro-service version does not exist: /default/prov/2.0.0`.
    package var description: String {
        let code = [self.errorCode, self.errorMessage].compactMap { $0 }.filter { !$0.isEmpty }.joined(separator: " ")
        let text = [code, self.detail ?? ""].filter { !$0.isEmpty }.joined(separator: ": ")
        return text.isEmpty ? "an error without a word" : String(text.prefix(Self.limit))
    }
}
