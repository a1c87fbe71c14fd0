// SPDX-License-Identifier: Apache-2.0

/// Which requests belong to which virtual host of `mesh.yaml`: by the host that they name, and its port.
package struct DomainTable: Sendable {
    /// A domain of a virtual host.
    package struct Domain: Sendable, Equatable {
        /// In lower case: a host, or one with a `*` at one end.
        package let pattern: String
        /// The port that a request must name, 80 where it names none; `nil` for any.
        package let port: UInt16?
        /// The virtual host's name.
        package let host: String

        /// A domain.
        package init(_ pattern: String, port: UInt16?, host: String) {
            self.pattern = pattern
            self.port = port
            self.host = host
        }
    }

    /// All of them.
    package let domains: [Domain]

    /// A table; of two domains that are equal the first one counts.
    package init(_ domains: [Domain] = []) { self.domains = domains }

    /// Whether a text, in lower case, can be a domain: letters, digits, `-`, `_` and `.`, with a `*` at one end at most.
    package static func isDomain(_ text: String) -> Bool {
        var name = text[...]
        if name.hasPrefix("*") { name = name.dropFirst() } else if name.hasSuffix("*") { name = name.dropLast() }
        guard text.utf8.count <= 253, !text.isEmpty else { return false }
        return name.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"): true
            case UInt8(ascii: "-"), UInt8(ascii: "_"), UInt8(ascii: "."): true
            default: false
            }
        }
    }
}
