// SPDX-License-Identifier: Apache-2.0

/// The hosts outside the mesh that may be called.
///
/// - Source: egress rules of the original.
package struct ExternalHosts: Sendable {
    /// A port of a host.
    package struct Port: Sendable, Hashable {
        /// The number.
        package let number: UInt16
        /// What is spoken there; only `HTTP`, in any letter case, means something.
        package let protocolName: String
        /// Where it is; `nil` for where its host is.
        package let places: [Place]?
        /// The sum of their weights.
        package let weight: Int
        /// The virtual host that has what is no tunnel, where one has; `nil` for none.
        package let virtualHost: String?

        /// A port.
        package init(
            _ number: UInt16, protocolName: String, places: [Place]? = nil, besides virtualHost: String? = nil
        ) {
            self.number = number
            self.protocolName = protocolName
            self.places = places
            self.weight = places?.reduce(0) { $0 + $1.weight } ?? 0
            self.virtualHost = virtualHost
        }

        var isHTTP: Bool { self.protocolName.lowercased() == "http" }
    }

    /// A place that a port of a host is at.
    package struct Place: Sendable, Hashable, CustomStringConvertible {
        /// An address, or a name in lower case.
        package let host: String
        /// The port there.
        package let port: UInt16
        /// Its part of the sum of the weights of all places; positive.
        package let weight: Int

        /// A place.
        package init(_ host: String, _ port: UInt16, weight: Int = 1) {
            self.host = host
            self.port = port
            self.weight = weight
        }

        /// `10.0.0.1:443*1`.
        package var description: String { "\(self.host):\(self.port)*\(self.weight)" }
    }

    /// One host, or all with a suffix.
    package struct Rule: Sendable, Hashable {
        /// As it was written, in lower case.
        package let pattern: String
        /// The ports.
        package let ports: [Port]

        /// A rule for `pattern`, which may begin with `*`.
        package init(_ pattern: String, _ ports: [Port]) {
            self.pattern = pattern
            self.ports = ports
        }

        /// Whether it stands for more than one host.
        package var isWildcard: Bool { self.pattern.hasPrefix("*") }

        /// Whether a tunnel may lead to this port.
        package func allows(port: UInt16) -> Bool { self.port(port) != nil }

        /// What is said of a port; `nil` for one that is not listed.
        package func port(_ number: UInt16) -> Port? { self.ports.first { $0.number == number } }

        /// The port of a plain request: the one that was asked for when it is listed, else the first that is spoken HTTP
        /// on, else 80.
        package func httpPort(requested: UInt16?) -> UInt16 {
            if let requested, self.allows(port: requested) { return requested }
            return self.ports.first { $0.isHTTP }?.number ?? 80
        }
    }

    /// In the order in which they count: single hosts first, then wildcards, the longest first.
    package let rules: [Rule]
    /// Whether hosts may have addresses of this machine, its link or its cloud.
    package let allowsLoopback: Bool

    /// Rules in any order.
    package init(_ rules: [Rule] = [], allowsLoopback: Bool = false) {
        self.rules = rules.sorted { left, right in
            (left.isWildcard ? 1 : 0, -left.pattern.count, left.pattern)
                < (right.isWildcard ? 1 : 0, -right.pattern.count, right.pattern)
        }
        self.allowsLoopback = allowsLoopback
    }

    /// Whether a text, in lower case, can be a host or a pattern: at most 255 characters; labels of at most 63 letters, digits
    /// and inner hyphens; `*` may begin the first one.
    package static func isHost(_ name: String) -> Bool {
        guard (1...255).contains(name.utf8.count) else { return false }
        let labels = name.split(separator: ".", omittingEmptySubsequences: false)
        for (index, label) in labels.enumerated() {
            var label = label
            if index == 0, label.hasPrefix("*") {
                label = label.dropFirst()
                if label.isEmpty, labels.count > 1 { continue }
            }
            guard (1...63).contains(label.utf8.count), label.first != "-", label.last != "-",
                label.utf8.allSatisfy({ byte in
                    (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte)
                        || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) || byte == UInt8(ascii: "-")
                })
            else { return false }
        }
        return true
    }

    /// Whether no host may be called.
    package var isEmpty: Bool { self.rules.isEmpty }

    /// What the rules are in the model of the mesh, by their patterns: virtual hosts with one route, which leads to the host
    /// that the request names, along the chain of external hosts.
    ///
    /// - Parameter location: Where the rules are written.
    package func virtualHosts(at location: ConfigLocation) -> [String: VirtualHost] {
        self.rules.reduce(into: [:]) { hosts, rule in
            guard hosts[rule.pattern] == nil else { return }
            let ports = rule.ports.map { port in
                let places = port.places.map { $0.map { " \($0)" }.joined() } ?? ""
                return "\(port.number) \(port.protocolName)\(places)"
            }.joined(separator: ",")
            hosts[rule.pattern] = VirtualHost(
                [(Route(match: .always, weights: [1], at: location), [Cluster(.requested(rule))])],
                chain: .external, plain: "\(rule.pattern) \(ports)")
        }
    }
}
