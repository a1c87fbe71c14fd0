// SPDX-License-Identifier: Apache-2.0

/// The faults to inject into calls of services: `fault.yaml`.
///
/// Each of the four values is looked up by itself: the service's, then that of `_global`.
package struct FaultRules: Sendable {
    private let global: [String: Int]
    private let services: [String: [String: Int]]

    private static let leaves = ["delay.fixedDelay", "delay.percent", "abort.httpStatus", "abort.percent"]

    init(_ reader: inout ConfigReader) {
        var services: [String: [String: Int]] = [:]
        for (suffix, entry) in reader.store.entries(below: Self.prefix) {
            guard let place = suffix.range(ofFirst: Self.middle) else { continue }
            let service = String(suffix[..<place.lowerBound])
            let leaf = String(suffix[place.upperBound...])
            guard Self.leaves.contains(leaf) else { continue }
            if service.range(ofFirst: ".schemas.") != nil {
                reader.note(
                    ConfigProblem(
                        .note, at: entry.value.location, key: entry.key,
                        "has no effect: plain HTTP has neither schemas nor operations"))
                continue
            }
            if let value = Self.value(leaf, entry, &reader) { services[service, default: [:]][leaf] = value }
        }
        self.global = services["_global"] ?? [:]
        self.services = services
    }

    private static let prefix = "cse.governance.Consumer"
    private static let middle = ".policy.fault.protocols.rest."

    private static func value(
        _ leaf: String, _ entry: ConfigSource.Entry, _ reader: inout ConfigReader
    ) -> Int? {
        let key = "\(Self.prefix).\(leaf)"
        let kind: ConfigKind<Int> =
            switch leaf {
            case "delay.fixedDelay": .milliseconds
            case "abort.httpStatus": .abortStatus
            default: .integer(0...100, .percent)
            }
        do {
            guard let text = entry.value.text else {
                throw ConfigMistake("this is no single value", remedy: "write \(kind.name)")
            }
            return try kind.parse(text)
        } catch let mistake as ConfigMistake {
            reader.note(entry, mistake)
        } catch {
            reader.note(entry, ConfigMistake("\(key): \(error)", remedy: "write \(kind.name)"))
        }
        return nil
    }

    /// What is done to calls of a service; `nil` for nothing.
    package subscript(service: String) -> FaultPolicy? {
        let own = self.services[service] ?? [:]
        // A value of 0 counts as not written.
        func value(_ leaf: String) -> Int? {
            [own[leaf], self.global[leaf]].lazy.compactMap { $0 }.first { $0 > 0 }
        }
        let delay = value("delay.fixedDelay")
        let status = value("abort.httpStatus")
        guard delay != nil || status != nil else { return nil }
        return FaultPolicy(
            delay: delay.map { .milliseconds($0) }, delayPercent: value("delay.percent") ?? 100, abortStatus: status,
            abortPercent: value("abort.percent") ?? 100)
    }

    /// The keys.
    package static let keys: [KnownKey] = {
        let places = "cse.governance.Consumer.<service>[.schemas.<schema>][.operations.<operation>]"
        func key(_ leaf: String, _ kind: ConfigKind<Int>, _ fallback: Int, _ help: String) -> KnownKey {
            KnownKey(
                ConfigKey(
                    "\(places).policy.fault.protocols.<protocol>.\(leaf)", kind, default: fallback, reload: .live, help)
            )
        }
        return [
            key("delay.fixedDelay", .milliseconds, 0, "Delay of calls; `_global` is for all services. 0: none."),
            key("delay.percent", .integer(0...100, .percent), 100, "Share of calls to delay; 0 counts as 100."),
            key("abort.httpStatus", .abortStatus, 0, "Status to answer calls with. 0: none."),
            key(
                "abort.percent", .integer(0...100, .percent), 100, "Share of calls to answer with it; 0 counts as 100."),
        ]
    }()
}

extension ConfigKind<Int> {
    /// Milliseconds as a bare number, or a duration such as `2s`.
    fileprivate static var milliseconds: Self {
        let shape = Shape.either([.integer(0...86_400_000), .duration(hasZero: true)])
        return Self("milliseconds, or a duration such as `2s`", shape: shape, describe: { "\($0)" }) {
            text throws(ConfigMistake) in
            let parsed = Int(text) ?? DurationText.read(text).map { Int($0 / .milliseconds(1)) }
            guard let value = parsed, (0...86_400_000).contains(value) else {
                throw ConfigMistake("\"\(text)\" is no delay", remedy: "write milliseconds, 1 to 86400000, or 2s")
            }
            return value
        }
    }

    /// A status that a response may have in the end; 0 for none.
    fileprivate static var abortStatus: Self {
        let shape = Shape.either([.integer(200...599), .numbers([0])])
        return Self("status, 200 to 599", shape: shape, describe: { "\($0)" }) { text throws(ConfigMistake) in
            guard let value = Int(text), value == 0 || (200...599).contains(value) else {
                throw ConfigMistake("\"\(text)\" is no status of an answer", remedy: "write 200 to 599")
            }
            return value
        }
    }
}
