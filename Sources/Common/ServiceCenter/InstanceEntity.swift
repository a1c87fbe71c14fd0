// SPDX-License-Identifier: Apache-2.0

/// An instance as service-center's API v4 writes it.
package struct InstanceEntity: Codable, Sendable, Equatable {
    /// The registry's id of it, or one that it has chosen itself.
    package var instanceId: String?
    /// The service that it belongs to.
    package var serviceId: String?
    /// `protocol://ip:port[?sslEnabled=true]`.
    package var endpoints: [String]?
    /// The machine's name.
    package var hostName: String?
    /// See ``InstanceStatus``.
    package var status: String?
    /// Metadata that route rules may ask for.
    package var properties: [String: String]?
    /// How the registry learns that it lives.
    package var healthCheck: HealthCheck?
    /// Unix seconds of its registration.
    package var timestamp: String?
    /// Where it runs.
    package var dataCenterInfo: DataCenter?
    /// Unix seconds of its last change.
    package var modTimestamp: String?
    /// The version of its service.
    package var version: String?

    /// An instance of which only this is known.
    package init(
        instanceId: String? = nil, serviceId: String? = nil, endpoints: [String] = [], hostName: String? = nil,
        status: String? = nil, properties: [String: String]? = nil, healthCheck: HealthCheck? = nil,
        dataCenterInfo: DataCenter? = nil, version: String? = nil
    ) {
        self.instanceId = instanceId
        self.serviceId = serviceId
        self.endpoints = endpoints
        self.hostName = hostName
        self.status = status
        self.properties = properties
        self.healthCheck = healthCheck
        self.dataCenterInfo = dataCenterInfo
        self.version = version
    }

    /// How the registry learns that an instance lives.
    package struct HealthCheck: Codable, Sendable, Equatable {
        /// `push`: the instance says so itself; `pull`: the registry asks, which it does not do in fact.
        package var mode: String?
        /// Seconds between two heartbeats.
        package var interval: Int?
        /// How many of them may be missing.
        package var times: Int?
        /// Where the registry would ask, if it is to ask itself.
        package var port: Int?
        /// What it would ask there.
        package var url: String?

        /// Heartbeats every `interval` seconds, of which `times` may be missing.
        package init(interval: Int, times: Int) {
            self.mode = "push"
            self.interval = interval
            self.times = times
        }
    }

    /// Where an instance runs.
    package struct DataCenter: Codable, Sendable, Equatable {
        /// Its name.
        package var name: String?
        /// The region.
        package var region: String?
        /// The zone within it.
        package var availableZone: String?

        /// - Returns: `nil` when a part is unknown: service-center takes all three, or none.
        package init?(_ region: RegionConfig) {
            guard region.isComplete else { return nil }
            self.name = region.name.isEmpty ? region.region : region.name
            self.region = region.region.isEmpty ? region.name : region.region
            self.availableZone = region.zone
        }
    }
}

/// Bodies around instances, as requests and answers have them.
package enum InstanceBodies {
    /// `POST …/instances`, and the answer to a `GET` of one.
    package struct One: Codable, Sendable {
        /// The instance.
        package var instance: InstanceEntity?

        /// A body.
        package init(instance: InstanceEntity) { self.instance = instance }
    }

    /// A list; absent when empty.
    package struct Many: Codable, Sendable {
        /// The instances.
        package var instances: [InstanceEntity]?

        /// A body.
        package init(instances: [InstanceEntity]) { self.instances = instances.isEmpty ? nil : instances }
    }

    /// What an instance was given as its id.
    package struct Identity: Codable, Sendable {
        /// The registry's id.
        package var instanceId: String?

        /// A body.
        package init(instanceId: String) { self.instanceId = instanceId }
    }

    /// Heartbeats of several instances: the request, and the answer with what went wrong.
    package struct Heartbeats: Codable, Sendable {
        /// One line for each.
        package var instances: [Line]?

        /// A body.
        package init(instances: [Line]) { self.instances = instances }

        /// An instance.
        package struct Line: Codable, Sendable, Equatable {
            /// Its service.
            package var serviceId: String?
            /// Its id.
            package var instanceId: String?
            /// In answers: why its lease was not renewed.
            package var errMessage: String?
        }
    }
}
