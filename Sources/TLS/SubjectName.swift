// SPDX-License-Identifier: Apache-2.0

/// A name that a certificate may have, and whether one has it.
///
/// Pure. Names are compared octet by octet, DNS names without regard to letter case; a `*` stands for one whole leftmost
/// label. The common name does not count.
///
/// - Source: RFC 6125 §6.4, the SPIFFE ID standard §2; promise T2.
package enum SubjectName {
    /// A name in a certificate.
    package enum Presented: Equatable {
        case dns([UInt8])
        case uri([UInt8])
    }

    /// Whether one of `presented` is one of `wanted`.
    package static func matches(_ presented: [Presented], anyOf wanted: [String]) -> Bool {
        wanted.contains { name in presented.contains { Self.matches($0, name) } }
    }

    private static func matches(_ presented: Presented, _ wanted: String) -> Bool {
        switch presented {
        case .uri(let bytes): return wanted.contains("://") && !bytes.isEmpty && bytes == Array(wanted.utf8)
        case .dns(let bytes):
            guard !wanted.contains("://"), !bytes.isEmpty, !bytes.contains(0) else { return false }
            return Self.matchesDNS(Self.lowercased(bytes), Self.lowercased(Array(wanted.utf8)))
        }
    }

    private static func matchesDNS(_ pattern: [UInt8], _ name: [UInt8]) -> Bool {
        guard pattern.starts(with: [UInt8(ascii: "*"), UInt8(ascii: ".")]) else {
            return pattern == name && !pattern.contains(UInt8(ascii: "*"))
        }
        let rest = pattern.dropFirst()
        // One label at least must be written out behind the one that is free, and it is a whole label that is free.
        guard rest.dropFirst().contains(UInt8(ascii: ".")), !rest.contains(UInt8(ascii: "*")),
            let dot = name.firstIndex(of: UInt8(ascii: ".")), dot > 0
        else { return false }
        return Array(rest) == Array(name[dot...])
    }

    private static func lowercased(_ bytes: [UInt8]) -> [UInt8] {
        bytes.map { $0 &- 0x41 < 26 ? $0 | 0x20 : $0 }
    }
}
