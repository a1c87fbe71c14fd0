// SPDX-License-Identifier: Apache-2.0

/// One check of the local application: an element of `localHealthCheck` in `mesher.yaml`.
package struct HealthCheckConfig: Sendable {
    /// How to find out whether the application is well.
    package enum Method: Sendable {
        /// It accepts a connection.
        case tcp
        /// It answers `GET` of this path as expected.
        case rest(path: String, Expectation)
        /// It answers the standard health check of gRPC with SERVING.
        ///
        /// Of this service; empty for the server as a whole.
        case grpc(service: String)
    }

    /// What an answer must be.
    package struct Expectation: Sendable {
        /// This status; `nil`: any from 200 to 399, or any at all when there is an expression for the body.
        package var status: Int?
        /// The body has a match of this somewhere.
        package var body: RegularExpression?

        /// An expectation.
        package init(status: Int? = nil, body: RegularExpression? = nil) {
            self.status = status
            self.body = body
        }
    }

    /// The local port.
    package var port: UInt16
    /// See ``Method``.
    package var method: Method
    /// Time between two checks.
    package var interval: Duration
    /// How many checks must fail one after the other before the application counts as ill.
    package var failureThreshold = 1
    /// How many must succeed before it counts as well again.
    package var successThreshold = 1

    /// A check.
    package init(port: UInt16, method: Method = .tcp, interval: Duration) {
        self.port = port
        self.method = method
        self.interval = interval
    }

    /// `protocol:port`, as operators see it.
    package var name: String {
        switch self.method {
        case .tcp: "tcp:\(self.port)"
        case .rest(let path, _): "rest:\(self.port)\(path)"
        case .grpc(let service): "grpc:\(self.port)\(service.isEmpty ? "" : "/\(service)")"
        }
    }

    /// The key of the list.
    package static let key = "localHealthCheck"

    /// The same for the reference.
    static let listKey = ConfigKey<[String]>(
        HealthCheckConfig.key,
        ConfigKind(
            "list of {port, protocol, uri, interval, match, failureThreshold, successThreshold}",
            shape: .onlyList(.map(HealthCheckConfig.shape)), describe: { _ in "" }
        ) {
            text throws(ConfigMistake) in
            throw ConfigMistake("this is no list", remedy: "write a list: - {port: 8080}")
        }, default: [], "Checks of the local application.")

    private static let matchShape = MapShape([
        .init("status", .integer(100...599), "The status that the answer must have; else any from 200 to 399."),
        .init("body", .text, "A regular expression that the body must have a match of."),
    ])

    /// An element of the list.
    static let shape = MapShape([
        .init("port", .integer(1...65_535), isRequired: true, "Port of the local application."),
        .init(
            "protocol", .suggested(["tcp", "rest", "grpc"]), "What is asked there; tcp: whether it can be connected to."
        ),
        .init("uri", .text, "The path of a check by rest; the service of one by grpc."),
        .init("interval", .duration(hasZero: false), "Time between two checks; 30s where it is left out."),
        .init("match", .map(Self.matchShape), "What the answer of a check by rest must be."),
        .init("failureThreshold", .integer(1...1_000), "Failures in a row before the application counts as ill; 1."),
        .init("successThreshold", .integer(1...1_000), "Successes in a row before it counts as well again; 1."),
    ])

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
        part.allow(Self.shape)
        let port = part.read("port", .port)
        if part.text("port") == nil {
            part.note(
                "port", ConfigMistake("port is empty", remedy: "write the port of the local application: port: 8080"))
        }
        let interval = part.read("interval", .duration(.milliseconds(1)...(.seconds(86_400))))
        let written = part.text("protocol")?.lowercased() ?? ""
        let kind = written == "http" ? "rest" : written
        if !["", "rest", "tcp", "grpc"].contains(kind) {
            part.warn("protocol", "there is no check for \(kind): the port is connected to")
        }
        if kind != "grpc", let uri = part.text("uri"), !uri.hasPrefix("/") {
            part.note("uri", ConfigMistake("uri must start with /", remedy: "write /\(uri)"))
        }
        for key in kind == "grpc" ? ["match"] : ["uri", "match"] where part.has(key) && kind != "rest" {
            part.warn(key, "only checks with protocol: rest have it; here the port is connected to")
        }
        var expectation = Expectation()
        part.inside("match") { match in
            match.allow(Self.matchShape)
            expectation.status = match.read("status", .integer(100...599))
            expectation.body = match.read("body", .regularExpression)
        }
        let failures = part.read("failureThreshold", .integer(1...1_000))
        let successes = part.read("successThreshold", .integer(1...1_000))
        guard let port else { return nil }
        let method: Method =
            switch kind {
            case "rest": .rest(path: part.text("uri") ?? "/", expectation)
            case "grpc": .grpc(service: part.text("uri").map { $0.hasPrefix("/") ? String($0.dropFirst()) : $0 } ?? "")
            default: .tcp
            }
        var check = HealthCheckConfig(port: port, method: method, interval: interval ?? .seconds(30))
        check.failureThreshold = failures ?? 1
        check.successThreshold = successes ?? 1
        return check
    }
}

extension ConfigKind<UInt16> {
    /// A port.
    package static var port: Self {
        Self("port", shape: .integer(1...65_535), describe: { "\($0)" }) { text throws(ConfigMistake) in
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
        Self("regular expression", shape: .text, describe: \.text) { text throws(ConfigMistake) in
            try RegularExpression(text)
        }
    }
}
