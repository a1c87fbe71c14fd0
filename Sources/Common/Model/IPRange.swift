// SPDX-License-Identifier: Apache-2.0

package import NIOCore

/// The addresses that share a prefix: `10.0.0.0/8`, or one address.
///
/// - Source: RFC 4632 §3.1, RFC 4291 §2.3.
package struct IPRange: Sendable, Equatable {
    private let bytes: [UInt8]
    /// How many leading bits count.
    private let prefix: Int

    /// Reads `address` or `address/prefix`; `nil` when it is neither.
    package init?(_ text: String) {
        let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        guard let address = try? SocketAddress(ipAddress: String(parts[0]), port: 0) else { return nil }
        self.bytes = address.ipBytes
        let bits = self.bytes.count * 8
        if parts.count == 2 {
            guard let prefix = Int(parts[1]), (0...bits).contains(prefix) else { return nil }
            self.prefix = prefix
        } else {
            self.prefix = bits
        }
    }

    /// Whether `address` is one of them; an IPv4 address is no IPv6 address, however it is written.
    package func contains(_ address: SocketAddress) -> Bool {
        let other = address.ipBytes
        guard other.count == self.bytes.count, !other.isEmpty else { return false }
        for index in 0..<(self.prefix + 7) / 8 {
            let bits = min(self.prefix - index * 8, 8)
            let mask = UInt8(truncatingIfNeeded: 0xff << (8 - bits))
            if (self.bytes[index] ^ other[index]) & mask != 0 { return false }
        }
        return true
    }
}

extension SocketAddress {
    /// The 4 or 16 bytes of the IP address in network order; empty for an address of another kind.
    ///
    /// An IPv4 address that is written as an IPv6 one (`::ffff:10.0.0.1`) has 4.
    package var ipBytes: [UInt8] {
        // Where <netinet/in.h> has them: behind family and port, and an IPv6 address behind the flow label too.
        let start: Int
        let count: Int
        switch self {
        case .v4: (start, count) = (4, 4)
        case .v6: (start, count) = (8, 16)
        case .unixDomainSocket: return []
        }
        let bytes = unsafe self.withSockAddr { address, size in
            unsafe Array(UnsafeRawBufferPointer(start: address, count: size).dropFirst(start).prefix(count))
        }
        return bytes.starts(with: [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff]) ? Array(bytes[12...]) : bytes
    }
}
