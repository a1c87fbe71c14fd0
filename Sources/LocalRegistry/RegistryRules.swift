// SPDX-License-Identifier: Apache-2.0

import Common

/// What the members of a request must look like.
///
/// - Source: the rules of service-center 2.1, as its answers state them.
enum RegistryRules {
    static func check(_ service: ServiceEntity) throws(ServiceCenterError) {
        try Self.checkName(service.serviceName ?? "", "serviceName", 1...128)
        try Self.checkName(service.appId ?? "", "appId", 0...160)
        try Self.checkVersion(service.version ?? "")
        try Self.check(
            service.environment, "environment", ["development", "testing", "acceptance", "production"])
        try Self.check(service.level, "level", ["FRONT", "MIDDLE", "BACK"])
        try Self.check(service.status, "status", ["UP", "DOWN"])
        try Self.check(service.registerBy, "registerBy", ["SDK", "SIDECAR", "PLATFORM"])
        try Self.checkLength(service.description ?? "", "description", 0...256)
        try Self.checkLength(service.alias ?? "", "alias", 0...128)
        try Self.checkLength(service.serviceId ?? "", "serviceId", 0...64)
        guard (service.schemas ?? []).count <= 100 else { throw Self.broken("schemas", "at most 100") }
    }

    static func check(_ instance: InstanceEntity) throws(ServiceCenterError) {
        try Self.checkLength(instance.hostName ?? "", "hostName", 1...64)
        if let id = instance.instanceId, !id.isEmpty { try Self.checkName(id, "instanceId", 1...64) }
        for endpoint in instance.endpoints ?? [] where endpoint.allSatisfy(\.isWhitespace) {
            throw Self.broken("endpoints", "none may be blank")
        }
        if let status = instance.status, !status.isEmpty { try Self.checkStatus(status) }
        guard let check = instance.healthCheck else { return }
        try Self.check(check.mode, "healthCheck.mode", ["push", "pull"])
        // So that no sum of them can overflow.
        guard (1...86_400).contains(check.interval ?? 1), (0...1_000).contains(check.times ?? 0) else {
            throw Self.broken("healthCheck", "interval 1…86400, times 0…1000")
        }
    }

    static func checkStatus(_ status: String) throws(ServiceCenterError) {
        guard InstanceStatus(rawValue: status) != nil else {
            throw Self.broken("status", InstanceStatus.allCases.map(\.rawValue).joined(separator: ", "))
        }
    }

    /// Three numbers at most, 0…32767 each; no rules such as `latest`.
    static func checkVersion(_ version: String) throws(ServiceCenterError) {
        if version.isEmpty { return }
        let parts = version.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count <= 4, parts.allSatisfy({ Int($0).map((0...32_767).contains) ?? false }) else {
            throw Self.broken("version", "x[.y[.z]], each 0…32767")
        }
    }

    private static func checkName(
        _ name: String, _ member: String, _ length: ClosedRange<Int>
    ) throws(ServiceCenterError) {
        try Self.checkLength(name, member, length)
        func isAlphanumeric(_ byte: UInt8) -> Bool {
            (0x30...0x39).contains(byte) || (0x41...0x5a).contains(byte) || (0x61...0x7a).contains(byte)
        }
        let isWell = name.utf8.allSatisfy { isAlphanumeric($0) || $0 == 0x5f || $0 == 0x2d || $0 == 0x2e }
        let hasEnds = (name.utf8.first.map(isAlphanumeric) ?? true) && (name.utf8.last.map(isAlphanumeric) ?? true)
        guard isWell, hasEnds else {
            throw Self.broken(member, "letters, digits, _ - . with a letter or digit at both ends")
        }
    }

    private static func checkLength(
        _ text: String, _ member: String, _ length: ClosedRange<Int>
    ) throws(ServiceCenterError) {
        guard length.contains(text.utf8.count) else {
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
