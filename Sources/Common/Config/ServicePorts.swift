// SPDX-License-Identifier: Apache-2.0

/// The ports of the local application, by protocol: `rest:8080,grpc:9000`.
package struct ServicePorts: Sendable, Equatable {
    /// Port by name, in the order given; a name is a protocol, or a protocol and a suffix (`rest-admin`).
    package let ports: [Port]

    /// One `name:port`.
    package struct Port: Sendable, Equatable {
        /// A protocol, or a protocol and a suffix.
        package let name: String
        /// Of 127.0.0.1.
        package let port: UInt16
    }

    /// None: the header `X-Forwarded-Port` decides.
    package init() { self.ports = [] }

    /// Reads a list of `name:port`, separated by commas.
    ///
    /// Blanks around the parts are ignored.
    ///
    /// `http` stands for `rest` and `grps` for `grpc`, which users of the original write as well; letter case does not count.
    package init(_ text: String) throws(ConfigMistake) {
        let words = text.split { ",;".contains($0) || $0.isWhitespace }
        let isCommaMissing = text.contains(";") || !text.contains(",")
        if isCommaMissing, words.count > 1, words.allSatisfy({ $0.contains(":") && $0.first != ":" && $0.last != ":" })
        {
            let list = words.joined(separator: ",")
            throw ConfigMistake("[\(text)] is invalid", remedy: "separate them by a comma: \(list)")
        }
        var ports: [Port] = []
        var names: Set<String> = []
        for item in text.split(separator: ",", omittingEmptySubsequences: false).map(\.trimmed) where !item.isEmpty {
            let parts = item.split(separator: ":", omittingEmptySubsequences: false).map(\.trimmed)
            guard parts.count == 2, let port = UInt16(parts[1]), port > 0, Self.isName(parts[0]) else {
                throw ConfigMistake("[\(item)] is invalid", remedy: Self.remedy(parts))
            }
            let written = parts[0].lowercased()
            let name = Self.aliases[written] ?? written
            guard names.insert(name).inserted else {
                throw ConfigMistake(
                    "[\(item)] is invalid: \(name) has a port already", remedy: "name each protocol once")
            }
            ports.append(Port(name: name, port: port))
        }
        self.ports = ports
    }

    /// What was probably meant: a port alone, or with a host.
    private static func remedy(_ parts: [String]) -> String {
        let number = parts.last.flatMap { Int($0) } ?? 0
        if number > 65_535 { return "ports end at 65535" }
        if number > 0, parts.count == 1 { return "write rest:\(number)" }
        if number > 0, parts.count > 2, Self.isName(parts[0]) {
            return "write \(parts[0]):\(number), the application is on this machine"
        }
        return "write protocol:port, such as rest:8080 or rest:8080,grpc:9000"
    }

    private static let aliases = ["http": "rest", "grps": "grpc"]

    private static func isName(_ name: String) -> Bool {
        let parts = name.split(separator: "-", maxSplits: 1, omittingEmptySubsequences: false)
        return parts.allSatisfy {
            !$0.isEmpty && $0.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "-") }
        }
    }

    /// Whether requests can be sent to one of them.
    package var isUseful: Bool { self.ports.isEmpty || self["rest"] != nil || self["grpc"] != nil }

    /// As it would be written.
    package var text: String { self.ports.map { "\($0.name):\($0.port)" }.joined(separator: ",") }

    /// The port of a protocol; `nil` when none is listed.
    package subscript(name: String) -> UInt16? { self.ports.first { $0.name == name }?.port }
}

extension ConfigKind<ServicePorts> {
    /// A list of `name:port`.
    package static var servicePorts: Self {
        let shape = Shape.texts(.matching("\\s*[A-Za-z0-9-]+\\s*:\\s*[+]?[0-9]+\\s*"))
        return Self("list such as `rest:8080,grpc:9000`", isList: true, shape: shape, describe: \.text) {
            text throws(ConfigMistake) in try ServicePorts(text)
        }
    }
}
