// SPDX-License-Identifier: Apache-2.0

package import NIOCore

/// Whose word counts: `mesher.trustedHops`.
package struct TrustConfig: Sendable, Equatable {
    /// The peers whose `X-Forwarded-*`, `Forwarded`, `X-Real-IP` and `X-Mark` are passed on instead of removed.
    package var hops: [IPRange]

    /// Nobody's.
    package init() { self.hops = [] }

    /// Reads the list.
    package init(_ reader: inout ConfigReader) { self.hops = reader.read(Keys.hops) }

    /// Whether `peer` is trusted.
    package func trusts(_ peer: SocketAddress) -> Bool { self.hops.contains { $0.contains(peer) } }

    /// The keys of ``TrustConfig``.
    package enum Keys {
        static let hops = ConfigKey(
            "mesher.trustedHops", .ipRanges, default: [], reload: .live,
            "Peers whose X-Forwarded-For, -Host, -Proto, Forwarded, X-Real-IP and X-Mark are passed on; those of all others are removed."
        )

        /// All of them, in the order of the reference.
        package static let all: [any AnyConfigKey] = [Self.hops]
    }
}

extension ConfigKind<[IPRange]> {
    fileprivate static var ipRanges: Self {
        Self(
            "list of addresses, such as `10.0.0.0/8,192.168.1.7`", isList: true,
            shape: .texts(.matching("[0-9a-fA-F:./+ \\t]+")), describe: { _ in "" }
        ) { text throws(ConfigMistake) in
            var ranges: [IPRange] = []
            for part in text.split(separator: ",").map({ $0.filter { !$0.isWhitespace } }) where !part.isEmpty {
                guard let range = IPRange(part) else {
                    throw ConfigMistake(
                        "\"\(part)\" is neither an IP address nor a range of them",
                        remedy: "write 10.1.2.3 or 10.0.0.0/8")
                }
                ranges.append(range)
            }
            return ranges
        }
    }
}
