// SPDX-License-Identifier: Apache-2.0

/// Bodies of `POST instances/action?type=query`: the instances of many services in one call.
package enum FindBodies {
    /// What is asked.
    package struct Request: Codable, Sendable {
        /// Who asks; servers of version 2 look at the header `X-ConsumerId` instead.
        package var consumerServiceId: String?
        /// One line for each service.
        package var services: [Line]?
        /// Single instances that are asked for beside the services.
        package var instances: [InstanceLine]?

        /// A body.
        package init(consumerServiceId: String?, services: [Line]) {
            self.consumerServiceId = consumerServiceId
            self.services = services
        }

        /// An instance, and what is known of it.
        package struct InstanceLine: Codable, Sendable {
            /// Its id and that of its service.
            package var instance: InstanceBodies.Heartbeats.Line?
            /// The revision of the last answer.
            package var rev: String?
        }

        /// A service, and what is known of it.
        package struct Line: Codable, Sendable {
            /// Application, name and version rule.
            package var service: ServiceEntity?
            /// The revision of the last answer; absent or `0` asks for everything.
            package var rev: String?

            /// A line.
            package init(service: ServiceEntity, rev: String?) {
                self.service = service
                self.rev = rev
            }
        }
    }

    /// What is answered: every index of the request is in exactly one of the three lists.
    package struct Answer: Codable, Sendable {
        /// The three lists.
        package var services: Lists?
        /// The same for single instances.
        package var instances: Lists?

        /// A body.
        package init(services: Lists?, instances: Lists? = nil) {
            self.services = services
            self.instances = instances
        }

        /// The three lists.
        package struct Lists: Codable, Sendable {
            /// Those that have changed.
            package var updated: [Updated]?
            /// Those of whose revision nothing is new.
            package var notModified: [Int]?
            /// Those that could not be asked for, by error.
            package var failed: [Failed]?

            /// Nothing answered yet.
            package init() {}
        }

        /// The instances of one service.
        package struct Updated: Codable, Sendable {
            /// Of the request's line.
            package var index: Int?
            /// To ask with next time.
            package var rev: String?
            /// Absent when there are none.
            package var instances: [InstanceEntity]?

            /// An answer.
            package init(index: Int, rev: String, instances: [InstanceEntity]) {
                self.index = index
                self.rev = rev
                self.instances = instances.isEmpty ? nil : instances
            }
        }

        /// Lines that failed for one reason.
        package struct Failed: Codable, Sendable {
            /// Of the request's lines.
            package var indexes: [Int]?
            /// The reason.
            package var error: ServiceCenterError?

            /// An answer.
            package init(indexes: [Int], error: ServiceCenterError) {
                self.indexes = indexes
                self.error = error
            }
        }
    }
}

/// An event of the watcher's socket.
package struct WatchEvent: Codable, Sendable {
    /// `CREATE`, `UPDATE`, `DELETE`, `EXPIRE`.
    package var action: String?
    /// The service.
    package var key: Key?
    /// The instance as it is now, or was before its end.
    package var instance: InstanceEntity?

    /// An event.
    package init(action: String, key: Key, instance: InstanceEntity?) {
        self.action = action
        self.key = key
        self.instance = instance
    }

    /// Which service an event is about.
    package struct Key: Codable, Sendable, Equatable {
        /// `tenant/project`.
        package var tenant: String?
        /// Absent when empty.
        package var environment: String?
        /// The application.
        package var appId: String?
        /// The name.
        package var serviceName: String?
        /// Another name that it is found by; absent when there is none.
        package var alias: String?
        /// The version.
        package var version: String?

        /// A service.
        package init(
            tenant: String, environment: String?, appId: String, serviceName: String, alias: String?, version: String
        ) {
            self.tenant = tenant
            self.environment = environment
            self.appId = appId
            self.serviceName = serviceName
            self.alias = alias
            self.version = version
        }
    }
}
