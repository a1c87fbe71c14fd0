// SPDX-License-Identifier: Apache-2.0

/// One check of the local application: an element of `localHealthCheck` in `mesher.yaml`.
package struct HealthCheckConfig: Sendable, Equatable {
    /// The local port.
    package var port: UInt16
    /// Time between two checks.
    package var interval: Duration

    /// A check.
    package init(port: UInt16, interval: Duration) {
        self.port = port
        self.interval = interval
    }

    /// The key of the list.
    package static let key = "localHealthCheck"

    /// The same for the reference.
    static let listKey = ConfigKey<[String]>(
        HealthCheckConfig.key,
        ConfigKind("list of {port, protocol, uri, interval, match}", describe: { _ in "" }) {
            text throws(ConfigMistake) in
            throw ConfigMistake("this is no list", remedy: "write a list: - {port: 8080}")
        }, default: [], "Checks of the local application.")

    /// Reads the list, noting the mistakes of all elements.
    package static func readAll(_ reader: inout ConfigReader) -> [HealthCheckConfig] {
        guard let entry = reader.store.entry(Self.key) else { return [] }
        guard case .list(let elements, _) = entry.value else {
            reader.note(entry, ConfigMistake("this is no list", remedy: "write a list: - {port: 8080}"))
            return []
        }
        return elements.compactMap { element in
            var part = ConfigPart(Self.key, element)
            defer { reader.note(part) }
            return Self.read(&part)
        }
    }

    private static func read(_ part: inout ConfigPart) -> HealthCheckConfig? {
        part.allow("port", "protocol", "uri", "interval", "match")
        let port = part.read("port", .port)
        if part.text("port") == nil {
            part.note(
                "port", ConfigMistake("port is empty", remedy: "write the port of the local application: port: 8080"))
        }
        let interval = part.read("interval", .duration(.milliseconds(1)...(.seconds(86_400))))
        if let kind = part.text("protocol"), !kind.isEmpty {
            part.warn("protocol", "protocols are not active yet: the port is connected to")
        }
        if let uri = part.text("uri"), !uri.hasPrefix("/") {
            part.note("uri", ConfigMistake("uri must start with /", remedy: "write /\(uri)"))
        }
        for key in ["uri", "match"] where part.has(key) {
            part.warn(key, "not active yet: the port is connected to")
        }
        part.inside("match") { match in
            match.allow("status", "body")
            _ = match.read("status", .integer(100...599))
            _ = match.read("body", .regularExpression)
        }
        return port.map { HealthCheckConfig(port: $0, interval: interval ?? .seconds(30)) }
    }
}

extension ConfigKind<UInt16> {
    /// A port.
    package static var port: Self {
        Self("port", describe: { "\($0)" }) { text throws(ConfigMistake) in
            guard let port = UInt16(text), port > 0 else {
                throw ConfigMistake("\"\(text)\" is no port", remedy: "write a number from 1 to 65535")
            }
            return port
        }
    }
}

extension ConfigKind<RegularExpression> {
    /// A regular expression in the syntax of RE2.
    package static var regularExpression: Self {
        Self("regular expression", describe: \.text) { text throws(ConfigMistake) in try RegularExpression(text) }
    }
}
