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

    /// Reads the list, noting the mistakes of all elements.
    package static func readAll(_ reader: inout ConfigReader) -> [HealthCheckConfig] {
        guard let entry = reader.store.entry(Self.key) else { return [] }
        guard case .list(let elements, _) = entry.value else {
            reader.note(entry, ConfigMistake("this is no list", remedy: "write a list: - {port: 8080}"))
            return []
        }
        return elements.compactMap { Self.read($0, &reader) }
    }

    private static func read(_ element: ConfigTree, _ reader: inout ConfigReader) -> HealthCheckConfig? {
        func note(_ part: String, _ problem: String, _ remedy: String) {
            let location = element[part]?.location ?? element.location
            reader.note(ConfigProblem(at: location, key: "\(Self.key)[].\(part)", problem, remedy: remedy))
        }
        guard let portText = element["port"]?.text else {
            note("port", "port is empty", "write the port of the local application: port: 8080")
            return nil
        }
        guard let port = UInt16(portText), port > 0 else {
            note("port", "\"\(portText)\" is no port", "write a number from 1 to 65535")
            return nil
        }
        var interval = Duration.seconds(30)
        if let text = element["interval"]?.text {
            if let value = DurationText.read(text), value > .zero {
                interval = value
            } else {
                note("interval", "\"\(text)\" is not a duration", "write one such as 500ms, 10s or 1m")
            }
        }
        return HealthCheckConfig(port: port, interval: interval)
    }
}
