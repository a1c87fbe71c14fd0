// SPDX-License-Identifier: Apache-2.0
// request path

import Common
import NIOCore

/// Reads hosts that are addresses, in every way in which they can be written, since whoever resolves one later may
/// understand it.
///
/// Pure; for requests whose host is no service.
///
/// - Source: inet_aton(3) for the short, the octal and the hexadecimal forms; RFC 4291 §2.5, RFC 6052 §2.1, RFC 6761 §6.3.
enum HostAddress {
    /// Whether `host`, without brackets, is an IP address in any form.
    static func isAddress(_ host: RawSpan) -> Bool { Self.ipv4(host) != nil || Self.ipv6(host) != nil }

    /// Whether a proxy must not connect to `host` on somebody's behalf: this machine and its surroundings, which are
    /// loopback, link-local (where clouds keep their metadata) and unspecified addresses.
    ///
    /// - Source: promise T4.
    static func isRefused(_ host: RawSpan) -> Bool {
        var count = host.byteCount
        if count > 1, host.byte(at: count - 1) == .dot { count -= 1 }
        let name = host.extracting(0..<count)
        if count == 9, name.matches("localhost", at: 0) { return true }
        if count > 10, name.matches(".localhost", at: count - 10) { return true }
        if let address = Self.ipv4(name) { return Self.isRefused(address) }
        return Self.ipv6(name).map(Self.isRefused) ?? false
    }

    private static func isRefused(_ address: UInt32) -> Bool {
        address >> 24 == 127 || address >> 24 == 0 || address >> 16 == 0xa9fe
    }

    /// `::`, `::1`, fe80::/10, and IPv4 addresses in IPv6 clothes.
    private static func isRefused(_ bytes: [UInt8]) -> Bool {
        if bytes.count == 16, bytes[0] == 0xfe, bytes[1] & 0xc0 == 0x80 { return true }
        let translated: [UInt8] = [0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0]
        let prefix = bytes.dropLast(4)
        guard prefix.allSatisfy({ $0 == 0 }) || prefix.elementsEqual(translated) else { return false }
        return Self.isRefused(bytes.suffix(4).reduce(0) { $0 << 8 | UInt32($1) })
    }

    /// The bytes of an IPv6 address; 4 of one that stands for an IPv4 address.
    private static func ipv6(_ name: RawSpan) -> [UInt8]? {
        let text = name.string(in: 0..<name.byteCount)
        guard text.contains(":"), let address = try? SocketAddress(ipAddress: text, port: 0) else { return nil }
        return address.ipBytes
    }

    /// One to four numbers, the last of which fills what the others leave; decimal, octal or hexadecimal.
    private static func ipv4(_ name: RawSpan) -> UInt32? {
        var parts: [UInt64] = []
        var start = 0
        for index in 0...name.byteCount where index == name.byteCount || name.byte(at: index) == .dot {
            guard parts.count < 4, let number = Self.number(name.extracting(start..<index)) else { return nil }
            parts.append(number)
            start = index + 1
        }
        guard let last = parts.popLast(), last < 1 << UInt64(8 * (4 - parts.count)) else { return nil }
        var address = last
        for (index, part) in parts.enumerated() {
            guard part < 256 else { return nil }
            address |= part << UInt64(24 - 8 * index)
        }
        return UInt32(truncatingIfNeeded: address)
    }

    private static func number(_ text: RawSpan) -> UInt64? {
        guard text.byteCount > 0, text.byteCount <= 16 else { return nil }
        var base: UInt64 = 10
        var index = 0
        if text.byte(at: 0) == 0x30, text.byteCount > 1 {
            base = text.byte(at: 1).lowercased == 0x78 ? 16 : 8
            index = base == 16 ? 2 : 1
        }
        var value: UInt64 = 0
        while index < text.byteCount {
            let digit = UInt64(text.byte(at: index).hexValue)
            guard digit < base else { return nil }
            value = value &* base &+ digit
            guard value <= UInt64(UInt32.max) else { return nil }
            index += 1
        }
        return value
    }
}
