// SPDX-License-Identifier: Apache-2.0

/// A service as service-center's API v4 writes it.
///
/// Empty members are left out on the wire, so all of them are optional.
package struct ServiceEntity: Codable, Sendable, Equatable {
    /// The registry's id of it.
    package var serviceId: String?
    /// Empty, `development`, `testing`, `acceptance` or `production`.
    package var environment: String?
    /// The application that it belongs to.
    package var appId: String?
    /// Its name.
    package var serviceName: String?
    /// `x[.y[.z]]`.
    package var version: String?
    /// For people.
    package var description: String?
    /// `FRONT`, `MIDDLE` or `BACK`.
    package var level: String?
    /// Ids of its contracts.
    package var schemas: [String]?
    /// Where it is served.
    package var paths: [Path]?
    /// `UP` or `DOWN`.
    package var status: String?
    /// Whatever its owner says of it; `allowCrossApp` decides who may see it.
    package var properties: [String: String]?
    /// Unix seconds of its creation.
    package var timestamp: String?
    /// Unix seconds of its last change.
    package var modTimestamp: String?
    /// Another name that it is found by.
    package var alias: String?
    /// `SDK`, `SIDECAR` or `PLATFORM`.
    package var registerBy: String?
    /// What program registered it.
    package var framework: Framework?

    /// A service of which only this is known.
    package init(appId: String? = nil, serviceName: String? = nil, version: String? = nil, environment: String? = nil) {
        self.appId = appId
        self.serviceName = serviceName
        self.version = version
        self.environment = environment
    }

    /// A place at which a service is served.
    package struct Path: Codable, Sendable, Equatable {
        /// Of the URL.
        package var path: String?
        /// Whatever its owner says of it.
        package var property: [String: String]?
    }

    /// A program and its version.
    package struct Framework: Codable, Sendable, Equatable {
        /// Its name.
        package var name: String?
        /// Its version.
        package var version: String?

        /// A program.
        package init(name: String, version: String) {
            self.name = name
            self.version = version
        }
    }
}

/// Bodies around services, as requests and answers have them.
package enum ServiceBodies {
    /// `POST microservices`, and the answer to `GET microservices/{id}`.
    package struct One: Codable, Sendable {
        /// The service.
        package var service: ServiceEntity?
        /// Instances that are registered with it.
        package var instances: [InstanceEntity]?
        /// Tags that are set with it.
        package var tags: [String: String]?

        /// A body.
        package init(service: ServiceEntity) { self.service = service }
    }

    /// The answer to `GET microservices`.
    package struct Many: Codable, Sendable {
        /// The services; absent when there are none.
        package var services: [ServiceEntity]?

        /// A body.
        package init(services: [ServiceEntity]) { self.services = services.isEmpty ? nil : services }
    }

    /// The answer to `GET govern/microservices?options=instances`: everything at once.
    package struct Everything: Decodable, Sendable {
        /// One for each version of each service; absent when there are none.
        package var allServicesDetail: [Detail]?

        /// A service and its instances.
        package struct Detail: Decodable, Sendable {
            /// The service, without its properties.
            package var microService: ServiceEntity?
            /// Its instances, without their properties.
            package var instances: [InstanceEntity]?
        }
    }

    /// What a service was given as its id.
    package struct Identity: Codable, Sendable {
        /// The registry's id.
        package var serviceId: String?

        /// A body.
        package init(serviceId: String) { self.serviceId = serviceId }
    }

    /// `PUT …/properties`, which replaces all of them.
    package struct Properties: Codable, Sendable {
        /// The new ones.
        package var properties: [String: String]?

        /// A body.
        package init(properties: [String: String]) { self.properties = properties }
    }
}
