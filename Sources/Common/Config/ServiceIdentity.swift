// SPDX-License-Identifier: Apache-2.0

import FoundationEssentials

/// Who the local application is: `microservice.yaml`.
package struct ServiceIdentity: Sendable, Equatable {
    /// The service's name, as others call it.
    package var name: String
    /// Its version.
    package var version: String
    /// The application that it belongs to.
    package var app: String
    /// `development`, `testing`, `acceptance`, `production`, or empty.
    package var environment = ""
    /// `FRONT`, `MIDDLE` or `BACK`.
    package var level = "BACK"
    /// The machine's name, for the registry.
    package var hostName = "localhost"
    /// What the registry keeps of the service.
    package var properties: [String: String] = [:]
    /// What the registry keeps of the instance.
    package var instanceProperties: [String: String] = [:]
    /// The status that the instance begins with.
    package var status = InstanceStatus.up

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
        self.environment = reader.read(Keys.environment)
        self.level = reader.read(Keys.level)
        self.hostName = Self.hostName(&reader)
        self.properties = Self.map("service_description.properties", reader.store)
        self.instanceProperties = Self.map("service_description.instance_properties", reader.store)
        self.status = reader.read(Keys.status)
        if self.name.isEmpty {
            reader.noteMissing(
                ConfigProblem(
                    at: ConfigLocation("microservice.yaml"), key: Keys.name.name, "the service has no name",
                    remedy: "write service_description: {name: my-service}, or set SERVICE_NAME"))
        }
    }

    private static func hostName(_ reader: inout ConfigReader) -> String {
        let text = reader.read(Keys.hostName)
        if text == "$INTERNAL_IP" { return reader.machineAddress() ?? "localhost" }
        return text.isEmpty ? ProcessInfo.processInfo.hostName : text
    }

    private static func map(_ key: String, _ store: ConfigStore) -> [String: String] {
        var map: [String: String] = [:]
        for (suffix, entry) in store.entries(below: key) { map[suffix] = entry.value.text }
        return map
    }

    /// The keys of ``ServiceIdentity``.
    package enum Keys {
        static let name = ConfigKey(
            "service_description.name", .text, default: "", "Name of the local service. Required.")
        static let version = ConfigKey(
            "service_description.version", .text, default: "0.0.1", "Version of the local service.")
        static let app = ConfigKey(
            "APPLICATION_ID", .text, default: "default", "Application that the local service belongs to.")

        static let environment = ConfigKey(
            "service_description.environment", .choice("", "development", "testing", "acceptance", "production"),
            default: "",
            "`development`, `testing`, `acceptance` or `production`. Services see only those of their own environment.")
        static let level = ConfigKey(
            "service_description.level", .choice("FRONT", "MIDDLE", "BACK"), default: "BACK",
            "Place of the service in a system, for the registry.")
        static let hostName = ConfigKey(
            "service_description.hostname", .text, default: "",
            "Host name for the registry; that of the machine when absent, `$INTERNAL_IP`: its address.")
        static let properties = ConfigKey(
            "service_description.properties.<name>", .text, default: "", "A property of the service in the registry.")
        static let instanceProperties = ConfigKey(
            "service_description.instance_properties.<name>", .text, default: "",
            "A property of the instance in the registry, which route rules may choose by.")
        static let status = ConfigKey(
            "service_description.status", .oneOf(InstanceStatus.self, "status"), default: .up,
            "Status of the instance at its registration. Only `UP` follows the local health check.")

        /// All of them, in the order of the reference.
        package static let all: [any AnyConfigKey] = [
            Self.app, Self.name, Self.version, Self.environment, Self.level, Self.hostName, Self.properties,
            Self.instanceProperties, Self.status,
        ]
    }
}
