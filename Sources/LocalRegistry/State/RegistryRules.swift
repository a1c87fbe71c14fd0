// SPDX-License-Identifier: Apache-2.0

import Common

/// What the members of a request must look like.
///
/// - Source: the rules of service-center 2.2, as its answers state them.
enum RegistryRules {
    private static let environments = ["development", "testing", "acceptance", "production"]

    static func check(_ service: ServiceEntity) throws(ServiceCenterError) {
        try Self.checkName(service.serviceName, "serviceName", 1...RegistryNames.nameLimit)
        try Self.checkName(service.appId, "appId", 0...RegistryNames.appLimit)
        try Self.checkVersion(service.version ?? "")
        try Self.check(service.environment, "environment", Self.environments)
        try Self.check(service.level, "level", ["FRONT", "MIDDLE", "BACK"])
        try Self.check(service.status, "status", ["UP", "DOWN"])
        try Self.check(service.registerBy, "registerBy", ["SDK", "SIDECAR", "PLATFORM"])
        try Self.checkLength(service.description, "description", 0...256)
        try Self.checkText(service.alias, "alias", 0...RegistryNames.aliasLimit) {
            Self.isInner($0) || $0 == UInt8(ascii: ":")
        }
        try Self.checkText(service.serviceId, "serviceId", 0...64) { !Self.isSpace($0) }
        try Self.checkName(service.framework?.name, "framework.name", 0...64)
        try Self.checkLength(service.framework?.version, "framework.version", 0...64)
        guard (service.schemas ?? []).count <= 100 else { throw Self.broken("schemas", "at most 100") }
        for schema in service.schemas ?? [] { try Self.checkName(schema, "schemas", 1...160) }
        for path in service.paths ?? [] {
            try Self.checkText(path.path, "paths.path", 0...Int.max) {
                Self.isInner($0) || Array(",?'\\/+&;%$#=~@{}".utf8).contains($0)
            }
        }
    }

    static func check(_ instance: InstanceEntity) throws(ServiceCenterError) {
        try Self.checkLength(instance.hostName, "hostName", 1...64)
        guard instance.hostName?.utf8.contains(where: { !Self.isSpace($0) }) == true else {
            throw Self.broken("hostName", "not blank")
        }
        try Self.checkText(instance.instanceId, "instanceId", 0...64, Self.isInner)
        for endpoint in instance.endpoints ?? [] where endpoint.utf8.allSatisfy(Self.isSpace) {
            throw Self.broken("endpoints", "none may be blank")
        }
        if let status = instance.status.nonEmpty { try Self.checkStatus(status) }
        if let place = instance.dataCenterInfo {
            for (text, member) in [
                (place.name, "name"), (place.region, "region"), (place.availableZone, "availableZone"),
            ] {
                try Self.checkText(text, "dataCenterInfo.\(member)", 1...128, Self.isInner)
            }
        }
        guard let check = instance.healthCheck else { return }
        guard ["push", "pull"].contains(check.mode ?? "") else {
            throw Self.broken("healthCheck.mode", "one of push, pull")
        }
        // Up to what fits 32 bits, and a little: no sum of them overflows.
        let limit = 1 << 31
        guard (1...limit).contains(check.interval ?? 0), (0...limit).contains(check.times ?? 0),
            (0...65_535).contains(check.port ?? 0)
        else { throw Self.broken("healthCheck", "interval from 1, times and port from 0") }
        try Self.checkText(check.url, "healthCheck.url", 0...Int.max) { !Self.isSpace($0) }
    }

    static func checkStatus(_ status: String) throws(ServiceCenterError) {
        guard InstanceStatus(rawValue: status) != nil else {
            throw Self.broken("status", InstanceStatus.allCases.map(\.rawValue).joined(separator: ", "))
        }
    }

    /// What is looked for: a name or an alias.
    static func checkSearch(_ provider: RegistryState.Provider) throws(ServiceCenterError) {
        try Self.check(provider.environment, "environment", Self.environments)
        try Self.checkName(provider.app, "appId", 1...RegistryNames.appLimit)
        try Self.checkName(provider.name, "serviceName", 1...289, orColon: true)
    }

    /// Numbers; no rules such as `latest`.
    static func checkVersion(_ version: String, mayBeEmpty: Bool = true) throws(ServiceCenterError) {
        if version.isEmpty, mayBeEmpty { return }
        try Self.checkLength(version, "version", 1...64)
        guard RegistryNames.isVersion(version) else { throw Self.broken("version", "x[.y[.z[.w]]], each 0…32767") }
    }

    /// - Parameter needsSummary: Whether its summary may not be absent.
    static func checkContract(
        _ id: String?, _ text: String?, summary: String?, needsSummary: Bool
    ) throws(ServiceCenterError) {
        try Self.checkName(id, "schemaId", 1...160)
        guard text.nonEmpty != nil else { throw Self.broken("schema", "not empty") }
        try Self.checkText(summary, "summary", (needsSummary ? 1 : 0)...128, RegistryNames.isAlphanumeric)
    }

    static func checkTags(_ tags: [String: String]) throws(ServiceCenterError) {
        guard tags.count <= 100 else { throw Self.broken("tags", "at most 100") }
        for text in Array(tags.keys) + tags.values { try Self.checkTag(text) }
    }

    static func checkTag(_ text: String) throws(ServiceCenterError) {
        try Self.checkText(text, "tags", 1...64, Self.isInner)
        guard text.utf8.first.map({ RegistryNames.isAlphanumeric($0) && $0 > 0x39 }) == true else {
            throw Self.broken("tags", "a letter in front")
        }
    }

    static func checkInstanceID(_ id: String) throws(ServiceCenterError) {
        try Self.checkText(id, "instanceId", 1...64, Self.isInner)
    }

    private static func isInner(_ byte: UInt8) -> Bool {
        RegistryNames.isAlphanumeric(byte) || byte == 0x5f || byte == 0x2d || byte == 0x2e
    }

    private static func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || (0x09...0x0d).contains(byte) }

    private static func checkName(
        _ name: String?, _ member: String, _ length: ClosedRange<Int>, orColon: Bool = false
    ) throws(ServiceCenterError) {
        let name = name ?? ""
        try Self.checkLength(name, member, length)
        let isWell = name.utf8.allSatisfy { Self.isInner($0) || (orColon && $0 == UInt8(ascii: ":")) }
        let hasEnds =
            (name.utf8.first.map(RegistryNames.isAlphanumeric) ?? true)
            && (name.utf8.last.map(RegistryNames.isAlphanumeric) ?? true)
        guard isWell, hasEnds else {
            throw Self.broken(member, "letters, digits, _ - . with a letter or digit at both ends")
        }
    }

    private static func checkText(
        _ text: String?, _ member: String, _ length: ClosedRange<Int>, _ isAllowed: (UInt8) -> Bool
    ) throws(ServiceCenterError) {
        try Self.checkLength(text, member, length)
        guard (text ?? "").utf8.allSatisfy(isAllowed) else { throw Self.broken(member, "other characters") }
    }

    private static func checkLength(
        _ text: String?, _ member: String, _ length: ClosedRange<Int>
    ) throws(ServiceCenterError) {
        guard length.contains((text ?? "").unicodeScalars.count) else {
            throw Self.broken(member, "\(length.lowerBound)…\(length.upperBound) characters")
        }
    }

    private static func check(
        _ text: String?, _ member: String, _ choices: [String]
    ) throws(ServiceCenterError) {
        guard let text, !text.isEmpty, !choices.contains(text) else { return }
        throw Self.broken(member, "one of \(choices.joined(separator: ", "))")
    }

    private static func broken(_ member: String, _ rule: String) -> ServiceCenterError {
        ServiceCenterError(.invalidParameters, "the value of '\(member)' breaks the rule: \(rule)")
    }
}
