// SPDX-License-Identifier: Apache-2.0

/// An error as service-center's API v4 writes it.
package struct ServiceCenterError: Error, Codable, Sendable, Equatable {
    /// What went wrong; the first three digits are the HTTP status.
    ///
    /// - Source: the error codes of Apache ServiceComb service-center 2.1.
    package enum Code: String, Sendable, CaseIterable {
        /// A member of the request breaks a rule.
        case invalidParameters = "400001"
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

        /// What people are told.
        package var text: String {
            switch self {
            case .invalidParameters: "Invalid parameter(s)"
            case .serviceExists: "Micro-service already exists"
            case .serviceMissing: "Micro-service does not exist"
            case .serviceHasInstances: "Micro-service has deployed instance(s)"
            case .schemaMissing: "Schema does not exist"
            case .instanceMissing: "Instance does not exist"
            }
        }
    }

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
