// SPDX-License-Identifier: Apache-2.0

import Common

/// What belongs to a service beside its instances.
extension RegistryState {
    /// Contracts of one service.
    private static let mostContracts = 100

    mutating func setTags(_ tags: [String: String], of id: String) throws(ServiceCenterError) {
        _ = try self.service(id)
        self.tags[id] = tags
    }

    mutating func setTag(_ key: String, _ value: String, of id: String) throws(ServiceCenterError) {
        _ = try self.service(id)
        guard self.tags[id]?[key] != nil else {
            throw ServiceCenterError(.tagMissing, "Tag does not exist, please add one first.")
        }
        self.tags[id]?[key] = value
    }

    mutating func removeTags(_ keys: [String], of id: String) throws(ServiceCenterError) {
        _ = try self.service(id)
        for key in keys where self.tags[id]?[key] == nil {
            throw ServiceCenterError(.tagMissing, "Delete tags failed for this key \(key) does not exist.")
        }
        for key in keys { self.tags[id]?[key] = nil }
    }

    /// Adds or replaces one contract.
    mutating func setContract(_ contract: Contract, _ name: String, of id: String) throws(ServiceCenterError) {
        var service = try self.service(id)
        if !(service.schemas ?? []).contains(name) {
            guard (service.schemas ?? []).count < Self.mostContracts else {
                throw ServiceCenterError(.quotaExhausted, "no quota to create schema")
            }
            service.schemas = (service.schemas ?? []) + [name]
        }
        self.services[id] = service
        self.contracts[id, default: [:]][name] = contract
    }

    /// Replaces all contracts.
    mutating func setContracts(_ contracts: [(String, Contract)], of id: String) throws(ServiceCenterError) {
        var service = try self.service(id)
        service.schemas = contracts.map(\.0)
        self.services[id] = service
        self.contracts[id] = Dictionary(contracts) { $1 }
    }

    mutating func removeContract(_ name: String, of id: String) throws(ServiceCenterError) {
        _ = try self.contract(name, of: id)
        self.contracts[id]?[name] = nil
        self.services[id]?.schemas?.removeAll { $0 == name }
        if self.services[id]?.schemas?.isEmpty == true { self.services[id]?.schemas = nil }
    }

    func contract(_ name: String, of id: String) throws(ServiceCenterError) -> Contract {
        _ = try self.service(id)
        guard let contract = self.contracts[id]?[name] else {
            throw ServiceCenterError(.schemaMissing, "schema \(name) does not exist")
        }
        return contract
    }
}
