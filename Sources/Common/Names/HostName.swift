// SPDX-License-Identifier: Apache-2.0

/// What may be the name of a host, wherever one is written.
enum HostName {
    /// Whether this is the name of a host, and nothing that could be meant as an address.
    ///
    /// - Source: RFC 1123 §2.1; underscores stand in names of containers.
    static func isName(_ host: String) -> Bool {
        let labels = (host.hasSuffix(".") ? host.dropLast() : host[...]).split(
            separator: ".", omittingEmptySubsequences: false)
        let isShaped = labels.allSatisfy { label in
            (1...63).contains(label.utf8.count) && label.first != "-" && label.last != "-" && label.last != "_"
                && label.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "-" || $0 == "_") }
        }
        guard isShaped, host.utf8.count <= 253, let last = labels.last, !last.allSatisfy(\.isNumber) else {
            return false
        }
        return IPLiteral(Array(host.utf8).rawSpan) == nil
    }
}

extension StringProtocol {
    /// A host as it stands before a port: an address of IPv6 in brackets.
    package var asHost: String { self.contains(":") ? "[\(self)]" : String(self) }
}
