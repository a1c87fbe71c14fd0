// SPDX-License-Identifier: Apache-2.0

/// Who the local application is: `microservice.yaml`.
package struct ServiceIdentity: Sendable, Equatable {
    /// The service's name, as others call it.
    package var name: String
    /// Its version.
    package var version: String
    /// The application that it belongs to.
    package var app: String

    /// An identity.
    package init(name: String, version: String = "0.0.1", app: String = "default") {
        self.name = name
        self.version = version
        self.app = app
    }

    /// Reads the identity; a name is required.
    package init(_ reader: inout ConfigReader) {
        self.name = reader.read(Keys.name)
        self.version = reader.read(Keys.version)
        self.app = reader.read(Keys.app)
        if self.name.isEmpty {
            reader.noteMissing(
                ConfigProblem(
                    at: ConfigLocation("microservice.yaml"), key: Keys.name.name, "the service has no name",
                    remedy: "write service_description: {name: my-service}, or set SERVICE_NAME"))
        }
    }

    /// The keys of ``ServiceIdentity``.
    package enum Keys {
        static let name = ConfigKey(
            "service_description.name", .text, default: "", "Name of the local service. Required.")
        static let version = ConfigKey(
            "service_description.version", .text, default: "0.0.1", "Version of the local service.")
        static let app = ConfigKey(
            "APPLICATION_ID", .text, default: "default", "Application that the local service belongs to.")

        /// All of them, in the order of the reference.
        package static let all: [any AnyConfigKey] = [Self.app, Self.name, Self.version]
    }
}
