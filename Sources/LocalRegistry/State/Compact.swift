// SPDX-License-Identifier: Apache-2.0

import Common

extension String? {
    /// `nil` for empty text too: the wire does not tell them apart.
    var nonEmpty: String? { self?.isEmpty == false ? self : nil }
}

extension Collection {
    /// `nil` when there is nothing in it: the real registry leaves out what is empty.
    var nonEmpty: Self? { self.isEmpty ? nil : self }
}

extension ServiceEntity {
    /// Without members that are empty.
    var compact: ServiceEntity {
        var service = self
        service.environment = service.environment.nonEmpty
        service.description = service.description.nonEmpty
        service.alias = service.alias.nonEmpty
        service.registerBy = service.registerBy.nonEmpty
        service.schemas = service.schemas?.nonEmpty
        service.paths = service.paths?.nonEmpty
        service.properties = service.properties?.nonEmpty
        return service
    }
}

extension InstanceEntity {
    /// Without members that are empty.
    var compact: InstanceEntity {
        var instance = self
        instance.endpoints = instance.endpoints?.nonEmpty
        instance.properties = instance.properties?.nonEmpty
        return instance
    }
}

extension InstanceEntity.HealthCheck {
    /// What the registry makes of it: no lease shorter than 20 seconds, and the usual one where it is to ask itself.
    var accepted: InstanceEntity.HealthCheck {
        var check = self
        if check.mode == "pull" {
            check.interval = 30
            check.times = 3
        } else {
            check.interval = max(5, check.interval ?? 0)
            check.times = max(3, check.times ?? 0)
        }
        return check
    }
}
