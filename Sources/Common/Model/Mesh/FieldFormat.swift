// SPDX-License-Identifier: Apache-2.0

/// The value of a field that is made for each message: texts, and what is filled in between them.
///
/// - Source: the command operators of Envoy's substitution format strings.
package struct FieldFormat: Sendable, Equatable {
    /// A piece of the value.
    package enum Part: Sendable, Equatable {
        case text([UInt8])
        /// What is filled in, so many bytes of it at most.
        case filled(Filling, longest: Int)
    }

    /// What can be filled in; empty where a message does not have it.
    package enum Filling: Sendable, Equatable {
        /// A field of the request, or what has a name like one; without it the other.
        case request(FieldMatch.Subject, or: FieldMatch.Subject?)
        /// The same of the answer.
        case response(FieldMatch.Subject, or: FieldMatch.Subject?)
        /// The protocol of the client: `HTTP/1.1`.
        case protocolName
        /// The status of the answer; 0 while there is none.
        case status
        /// When the request came.
        case start([TimePart])
        /// The address of the client: that which a proxy before has told, or the other end of the connection.
        case client(AddressPart)
        /// The other end of the client's connection.
        case peer(AddressPart)
        /// The endpoint that the request is sent to.
        case endpoint(AddressPart)
        /// The name of the cluster.
        case cluster
        /// Bytes of the body that have come from the client.
        case requestBytes
        /// Bytes of the body that were sent to it.
        case responseBytes
        /// How many tries there were.
        case tries
        /// Why it was answered so, in the letters of Envoy, or in its words.
        case flags(isLong: Bool)
        /// The same as Envoy says it at length; nothing before the answer.
        case details
    }

    /// What is said of an address.
    package enum AddressPart: Sendable, Equatable {
        case whole, host, port
    }

    /// A piece of a time.
    package enum TimePart: Sendable, Equatable {
        case text([UInt8])
        /// Of the text that ``WallTime/append(to:)`` writes.
        case digits(Range<Int>)
        /// Seconds since 1970.
        case seconds
    }

    /// Why a format cannot be used.
    package enum Failure: Error, Equatable {
        /// It is none.
        case malformed(String)
        /// What it asks for is not known here.
        case missing(String)
    }

    /// In their order; no two texts beside each other.
    package private(set) var parts: [Part] = []

    /// What does not change while the process runs.
    package struct Surroundings {
        /// The name of the route.
        package var route = ""
        /// The name of the machine.
        package var host = ""
        /// A variable of the process's environment; `nil` for one that there is not.
        package var variable: (String) -> String? = { _ in nil }

        /// Nothing.
        package init() {}
    }

    /// The value where nothing is filled in; `nil` where something is.
    package var plain: String? {
        switch self.parts.first {
        case nil: ""
        case .text(let bytes) where self.parts.count == 1: String(decoding: bytes, as: UTF8.self)
        case .text, .filled: nil
        }
    }

    /// Reads a format: `%NAME%`, `%NAME(argument)%`, `%NAME(argument):10%` for the first ten bytes, and `%%` for a percent
    /// sign.
    package init(_ text: String, _ surroundings: Surroundings = Surroundings()) throws(Failure) {
        var rest = text.utf8[...]
        while let byte = rest.first {
            guard byte == UInt8(ascii: "%") else {
                let end = rest.firstIndex(of: UInt8(ascii: "%")) ?? rest.endIndex
                self.append(rest[..<end])
                rest = rest[end...]
                continue
            }
            rest = rest.dropFirst()
            if rest.first == UInt8(ascii: "%") {
                self.append(rest.prefix(1))
                rest = rest.dropFirst()
                continue
            }
            let name = rest.prefix {
                $0.isDigit || $0 == UInt8(ascii: "_") || UInt8(ascii: "A")...UInt8(ascii: "Z") ~= $0
            }
            rest = rest[name.endIndex...]
            var argument: Substring?
            if rest.first == UInt8(ascii: "(") {
                guard let end = rest.firstIndex(of: UInt8(ascii: ")")) else { throw .malformed("a bracket is open") }
                argument = Substring(rest[..<end].dropFirst())
                rest = rest[end...].dropFirst()
            }
            var longest = Int.max
            let hasLength = rest.first == UInt8(ascii: ":")
            if hasLength {
                let digits = rest.dropFirst().prefix { $0.isDigit }
                guard let number = Int(Substring(digits)) else { throw .malformed("no number stands behind a colon") }
                longest = number
                rest = rest[digits.endIndex...]
            }
            guard !name.isEmpty, rest.first == UInt8(ascii: "%") else {
                throw .malformed("a percent sign begins nothing; write two where one is meant")
            }
            rest = rest.dropFirst()
            let command = Command(name: String(Substring(name)), argument: argument, hasLength: hasLength)
            try self.append(command, longest, surroundings)
        }
    }

    private mutating func append(_ bytes: some Sequence<UInt8>) {
        let bytes = Array(bytes)
        if case .text(let before)? = self.parts.last {
            self.parts[self.parts.count - 1] = .text(before + bytes)
        } else if !bytes.isEmpty {
            self.parts.append(.text(bytes))
        }
    }
}

// MARK: Commands

extension FieldFormat {
    /// What stands between percent signs.
    private struct Command {
        let name: String
        let argument: Substring?
        /// Whether it says how much of the value is wanted.
        let hasLength: Bool

        /// Whether it says more than its name.
        var saysMore: Bool { self.argument != nil || self.hasLength }
    }

    private mutating func append(
        _ command: Command, _ longest: Int, _ surroundings: Surroundings
    ) throws(Failure) {
        switch command.name {
        case "HOSTNAME" where !command.saysMore: return self.append(surroundings.host.utf8)
        case "ROUTE_NAME" where !command.saysMore: return self.append(surroundings.route.utf8)
        case "HOSTNAME", "ROUTE_NAME": throw .malformed("\(command.name) has no argument")
        case "ENVIRONMENT":
            guard let name = command.argument, !name.isEmpty else { throw .malformed("ENVIRONMENT names no variable") }
            return self.append((surroundings.variable(String(name)) ?? "-").utf8.prefix(longest))
        default: break
        }
        self.parts.append(.filled(try Self.filling(command), longest: longest))
    }

    private static func filling(_ command: Command) throws(Failure) -> Filling {
        switch command.name {
        case "REQ":
            let (first, other) = try Self.fields(command)
            return .request(first, or: other)
        case "RESP":
            let (first, other) = try Self.fields(command)
            return .response(first, or: other)
        case "START_TIME":
            let text = command.argument ?? ""
            return .start(try Self.time(text.isEmpty ? "%Y-%m-%dT%H:%M:%E3SZ" : text))
        case "RESPONSE_CODE_DETAILS" where command.argument == "ALLOW_WHITESPACES" && !command.hasLength:
            return .details
        default: break
        }
        guard let filling = Self.plainFillings[command.name] else {
            if Self.others.contains(command.name) { throw .missing("\(command.name) is not filled in") }
            throw .malformed("\(command.name) is not known")
        }
        if command.saysMore { throw .malformed("\(command.name) has no argument") }
        return filling
    }

    private static let plainFillings: [String: Filling] = [
        "PROTOCOL": .protocolName, "RESPONSE_CODE": .status, "UPSTREAM_CLUSTER": .cluster,
        "DOWNSTREAM_REMOTE_ADDRESS": .client(.whole), "DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT": .client(.host),
        "DOWNSTREAM_REMOTE_PORT": .client(.port), "DOWNSTREAM_DIRECT_REMOTE_ADDRESS": .peer(.whole),
        "DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT": .peer(.host), "DOWNSTREAM_DIRECT_REMOTE_PORT": .peer(.port),
        "UPSTREAM_HOST": .endpoint(.whole), "UPSTREAM_REMOTE_ADDRESS": .endpoint(.whole),
        "UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT": .endpoint(.host), "UPSTREAM_REMOTE_PORT": .endpoint(.port),
        "BYTES_RECEIVED": .requestBytes, "BYTES_SENT": .responseBytes, "UPSTREAM_REQUEST_ATTEMPT_COUNT": .tries,
        "RESPONSE_FLAGS": .flags(isLong: false), "RESPONSE_FLAGS_LONG": .flags(isLong: true),
        "RESPONSE_CODE_DETAILS": .details,
    ]

    private static func fields(
        _ command: Command
    ) throws(Failure) -> (FieldMatch.Subject, or: FieldMatch.Subject?) {
        let names = (command.argument ?? "").split(separator: "?", omittingEmptySubsequences: false)
        guard (1...2).contains(names.count), names != [""], names.allSatisfy({ $0.utf8.allSatisfy(\.isFormatted) })
        else { throw .malformed("\(command.name) names no field, or more than two") }
        return (FieldMatch.Subject(names[0]), names.count > 1 ? FieldMatch.Subject(names[1]) : nil)
    }

    /// - Source: `strftime`, and what Envoy has of `absl::FormatTime`.
    private static func time(_ text: Substring) throws(Failure) -> [TimePart] {
        var parts: [TimePart] = []
        var plain: [UInt8] = []
        var rest = text.utf8[...]
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "%") else {
                plain.append(byte)
                continue
            }
            if rest.first == byte {
                plain.append(byte)
                rest = rest.dropFirst()
                continue
            }
            let known = Self.timeParts.first { rest.starts(with: $0.name.utf8) }
            guard let known else { throw .missing("START_TIME(\(text)) is not filled in") }
            if !plain.isEmpty { parts.append(.text(plain)) }
            plain = []
            parts.append(known.part)
            rest = rest.dropFirst(known.name.utf8.count)
        }
        if !plain.isEmpty { parts.append(.text(plain)) }
        return parts
    }

    /// Where each stands in `2026-11-28T00:12:34.567Z`.
    private static let timeParts: [(name: String, part: TimePart)] = [
        ("Y", .digits(0..<4)), ("m", .digits(5..<7)), ("d", .digits(8..<10)), ("H", .digits(11..<13)),
        ("M", .digits(14..<16)), ("S", .digits(17..<19)), ("E3S", .digits(17..<23)), ("3f", .digits(20..<23)),
        ("F", .digits(0..<10)), ("T", .digits(11..<19)), ("s", .seconds),
    ]

    /// What Envoy 1.40 knows besides.
    private static let others: Set<String> = [
        "ACCESS_LOG_TYPE", "BYTES_RETRANSMITTED", "CEL", "CLUSTER_METADATA", "COALESCE", "COMMON_DURATION",
        "CONNECTION_ID", "CONNECTION_TERMINATION_DETAILS", "CUSTOM_FLAGS", "DOWNSTREAM_DETECTED_CLOSE_TYPE",
        "DOWNSTREAM_DIRECT_LOCAL_ADDRESS", "DOWNSTREAM_DIRECT_LOCAL_ADDRESS_WITHOUT_PORT",
        "DOWNSTREAM_DIRECT_LOCAL_PORT", "DOWNSTREAM_HANDSHAKE_DURATION", "DOWNSTREAM_HEADER_BYTES_RECEIVED",
        "DOWNSTREAM_HEADER_BYTES_SENT", "DOWNSTREAM_LOCAL_ADDRESS", "DOWNSTREAM_LOCAL_ADDRESS_ENDPOINT_ID",
        "DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT", "DOWNSTREAM_LOCAL_CLOSE_REASON", "DOWNSTREAM_LOCAL_DNS_SAN",
        "DOWNSTREAM_LOCAL_EMAIL_SAN", "DOWNSTREAM_LOCAL_IP_SAN", "DOWNSTREAM_LOCAL_OTHERNAME_SAN",
        "DOWNSTREAM_LOCAL_PORT", "DOWNSTREAM_LOCAL_SUBJECT", "DOWNSTREAM_LOCAL_URI_SAN", "DOWNSTREAM_PEER_CERT",
        "DOWNSTREAM_PEER_CERT_V_END", "DOWNSTREAM_PEER_CERT_V_START", "DOWNSTREAM_PEER_CHAIN_FINGERPRINTS_1",
        "DOWNSTREAM_PEER_CHAIN_FINGERPRINTS_256", "DOWNSTREAM_PEER_CHAIN_SERIALS", "DOWNSTREAM_PEER_DNS_SAN",
        "DOWNSTREAM_PEER_EMAIL_SAN", "DOWNSTREAM_PEER_FINGERPRINT_1", "DOWNSTREAM_PEER_FINGERPRINT_256",
        "DOWNSTREAM_PEER_IP_SAN", "DOWNSTREAM_PEER_ISSUER", "DOWNSTREAM_PEER_OTHERNAME_SAN",
        "DOWNSTREAM_PEER_SERIAL", "DOWNSTREAM_PEER_SUBJECT", "DOWNSTREAM_PEER_URI_SAN",
        "DOWNSTREAM_TLS_CIPHER", "DOWNSTREAM_TLS_SESSION_ID", "DOWNSTREAM_TLS_VERSION",
        "DOWNSTREAM_TRANSPORT_FAILURE_REASON", "DOWNSTREAM_WIRE_BYTES_RECEIVED", "DOWNSTREAM_WIRE_BYTES_SENT",
        "DURATION", "DYNAMIC_METADATA", "EMIT_TIME", "EMIT_TIME_LOCAL", "FILTER_CHAIN_NAME", "FILTER_STATE",
        "GRPC_STATUS", "GRPC_STATUS_NUMBER", "LOCAL_REPLY_BODY", "METADATA", "PATH",
        "QUERY_PARAM", "QUERY_PARAMS", "REQUESTED_SERVER_NAME", "REQUEST_DURATION", "REQUEST_HEADERS_BYTES",
        "REQUEST_TX_DURATION", "RESPONSE_DURATION", "RESPONSE_HEADERS_BYTES", "RESPONSE_TRAILERS_BYTES",
        "RESPONSE_TX_DURATION",
        "ROUNDTRIP_DURATION", "SPAN_ID", "START_TIME_LOCAL", "STREAM_ID", "TLS_JA3_FINGERPRINT",
        "TLS_JA4_FINGERPRINT", "TRACE_ID", "TRAILER", "UNIQUE_ID", "UPSTREAM_CLUSTER_RAW", "UPSTREAM_CONNECTION_ID",
        "UPSTREAM_CONNECTION_POOL_READY_DURATION", "UPSTREAM_DETECTED_CLOSE_TYPE", "UPSTREAM_FILTER_STATE",
        "UPSTREAM_HEADER_BYTES_RECEIVED", "UPSTREAM_HEADER_BYTES_SENT", "UPSTREAM_HOSTS_ATTEMPTED",
        "UPSTREAM_HOSTS_ATTEMPTED_WITHOUT_PORT", "UPSTREAM_HOST_NAME", "UPSTREAM_HOST_NAMES_ATTEMPTED",
        "UPSTREAM_HOST_NAME_WITHOUT_PORT", "UPSTREAM_LOCAL_ADDRESS", "UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT",
        "UPSTREAM_LOCAL_CLOSE_REASON", "UPSTREAM_LOCAL_DNS_SAN", "UPSTREAM_LOCAL_IP_SAN", "UPSTREAM_LOCAL_PORT",
        "UPSTREAM_LOCAL_URI_SAN", "UPSTREAM_METADATA", "UPSTREAM_PEER_CERT",
        "UPSTREAM_PEER_CERT_V_END", "UPSTREAM_PEER_CERT_V_START", "UPSTREAM_PEER_DNS_SAN", "UPSTREAM_PEER_IP_SAN",
        "UPSTREAM_PEER_ISSUER", "UPSTREAM_PEER_SUBJECT", "UPSTREAM_PEER_URI_SAN", "UPSTREAM_PROTOCOL",
        "UPSTREAM_REMOTE_ADDRESS_ENDPOINT_ID", "UPSTREAM_TLS_CIPHER", "UPSTREAM_TLS_SESSION_ID",
        "UPSTREAM_TLS_VERSION", "UPSTREAM_TRANSPORT_FAILURE_REASON", "UPSTREAM_WIRE_BYTES_RECEIVED",
        "UPSTREAM_WIRE_BYTES_SENT", "VIRTUAL_CLUSTER_NAME",
    ]
}

extension UInt8 {
    /// Whether it can stand in a name of a format: that of a field, or `:path`.
    fileprivate var isFormatted: Bool { self.isToken || self == UInt8(ascii: ":") }
}
