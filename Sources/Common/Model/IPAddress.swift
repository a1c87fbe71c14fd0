// SPDX-License-Identifier: Apache-2.0
// request path

package import NIOCore

/// An IP address as a number, to compare and look up without memory of its own.
///
/// An IPv4 address is the IPv6 address `::ffff:a.b.c.d` that stands for it, so each address has one value however it was
/// written.
package struct IPAddress: Sendable, Hashable {
    /// The first eight bytes in network order.
    package let high: UInt64
    /// The last eight bytes in network order.
    package let low: UInt64

    /// An IPv6 address.
    @inline(__always)
    package init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }

    /// An IPv4 address.
    @inline(__always)
    package init(v4: UInt32) { self.init(high: 0, low: 0xffff_0000_0000 | UInt64(v4)) }

    /// The address of a socket; `nil` for a socket that has none.
    ///
    /// Allocates: once per connection, or when a snapshot is made.
    package init?(_ address: SocketAddress) {
        let bytes = address.ipBytes
        switch bytes.count {
        case 4: self.init(v4: bytes.reduce(0) { $0 << 8 | UInt32($1) })
        case 16:
            self.init(
                high: bytes[..<8].reduce(0) { $0 << 8 | UInt64($1) },
                low: bytes[8...].reduce(0) { $0 << 8 | UInt64($1) })
        default: return nil
        }
    }

    /// The IPv4 address; `nil` when it is an IPv6 one.
    package var v4: UInt32? {
        self.high == 0 && self.low >> 32 == 0xffff ? UInt32(truncatingIfNeeded: self.low) : nil
    }

    /// Whether it is on this machine only: 127/8 or ::1.
    package var isLoopback: Bool {
        if let v4 = self.v4 { return v4 >> 24 == 127 }
        return self.high == 0 && self.low == 1
    }

    /// Whether it is 0.0.0.0 or ::, which systems take for this machine.
    package var isUnspecified: Bool { self.v4 == 0 || (self.high == 0 && self.low == 0) }

    /// Where packets may end up: the IPv4 address inside an IPv6 one that translators and old rules take out of it, and
    /// the address itself for all others.
    ///
    /// - Source: RFC 6052 §2.1 for `64:ff9b::/96`, RFC 3056 for `2002::/16`, RFC 4291 §2.5.5.1 for `::a.b.c.d`, RFC 2765
    ///   for `::ffff:0:a.b.c.d`.
    package var inner: IPAddress {
        let last = UInt32(truncatingIfNeeded: self.low)
        if self.high == 0x0064_ff9b_0000_0000, self.low >> 32 == 0 { return IPAddress(v4: last) }
        if self.high >> 48 == 0x2002 { return IPAddress(v4: UInt32(truncatingIfNeeded: self.high >> 16)) }
        guard self.high == 0 else { return self }
        // :: and ::1 are addresses of their own.
        let isCompatible = self.low >> 32 == 0 && self.low > 1
        return isCompatible || self.low >> 32 == 0xffff_0000 ? IPAddress(v4: last) : self
    }

    /// Whether no client may be taken there for the asking: this machine, its link, and where clouds keep the secrets of
    /// a machine; or an IPv6 address that hides such a one.
    ///
    /// - Source: RFC 6890: 0/8, 127/8, 169.254/16, ::, ::1, fe80::/10; the metadata addresses of AWS (`fd00:ec2::254`,
    ///   and `fd00:ec2::23` for pods), Google (`fd20:ce::254`), Alibaba (100.100.100.200), Oracle (192.0.0.192) and Azure
    ///   (168.63.129.16), where they are not link-local.
    package var isInternal: Bool {
        if let v4 = self.inner.v4 {
            switch v4 >> 24 {
            case 0, 127: return true
            default: return v4 >> 16 == 0xa9fe || v4 == 0x6464_64c8 || v4 == 0xc000_00c0 || v4 == 0xa83f_8110
            }
        }
        if self.high == 0, self.low <= 1 { return true }
        switch self.high {
        case 0xfd00_0ec2_0000_0000: return self.low == 0x254 || self.low == 0x23
        case 0xfd20_00ce_0000_0000: return self.low == 0x254
        default: return self.high >> 54 == 0xfe80 >> 6
        }
    }
}

/// What a client wrote as the host of a URL, if any library would read it as an IP address.
package struct IPLiteral: Sendable, Equatable {
    /// The address.
    package let address: IPAddress
    /// Whether it is an IPv4 address inside an IPv6 one, which hides it from filters that look at one family.
    package let isEmbedded: Bool

    /// Reads four decimal numbers, all the shorter, octal and hexadecimal ways of `inet_aton`, and IPv6 without brackets;
    /// `nil` when it is a name.
    ///
    /// A dot at the end does not count.
    ///
    /// Cost: one pass, no allocation.
    package init?(_ host: RawSpan) {
        var end = host.byteCount
        if end > 1, host.byte(at: end - 1) == .dot { end -= 1 }
        guard end > 0 else { return nil }
        if host.byte(at: 0).isDigit, let v4 = Self.v4(host, 0..<end) {
            self.address = IPAddress(v4: v4)
            self.isEmbedded = false
            return
        }
        guard let v6 = Self.v6(host) else { return nil }
        self.isEmbedded = v6.inner.v4 != nil
        self.address = v6
    }

    /// - Source: `inet_aton`: one to four numbers, the last of which fills the bytes that are left.
    private static func v4(_ host: RawSpan, _ range: Range<Int>) -> UInt32? {
        var index = range.lowerBound
        var address: UInt64 = 0
        for part in 0..<4 {
            guard let number = Self.number(host, &index, range.upperBound) else { return nil }
            if index == range.upperBound {
                let bits = UInt64(8 * (4 - part))
                return number >> bits == 0 ? UInt32(truncatingIfNeeded: address << bits | number) : nil
            }
            guard host.byte(at: index) == .dot, number < 256 else { return nil }
            address = address << 8 | number
            index += 1
        }
        return nil
    }

    /// A decimal number, an octal one after `0`, or a hexadecimal one after `0x`; at most 32 bits.
    private static func number(_ host: RawSpan, _ index: inout Int, _ end: Int) -> UInt64? {
        guard index < end, host.byte(at: index).isDigit else { return nil }
        var base: UInt64 = 10
        if host.byte(at: index) == 0x30, index + 1 < end {
            if host.byte(at: index + 1).lowercased == 0x78 {
                base = 16
                index += 2
            } else if host.byte(at: index + 1).isDigit {
                base = 8
            }
        }
        var value: UInt64 = 0
        while index < end, host.byte(at: index) != .dot {
            let digit = UInt64(host.byte(at: index).hexValue)
            guard digit < base else { return nil }
            value = value * base + digit
            guard value <= UInt64(UInt32.max) else { return nil }
            index += 1
        }
        return value
    }

    /// - Source: RFC 4291 §2.2.
    private static func v6(_ host: RawSpan) -> IPAddress? {
        var groups = (high: UInt64(0), low: UInt64(0))
        var count = 0
        var gap: Int?
        var tail = (high: UInt64(0), low: UInt64(0))
        func push(_ group: UInt64, _ into: inout (high: UInt64, low: UInt64)) {
            into.high = into.high << 16 | into.low >> 48
            into.low = into.low << 16 | group
        }
        var index = 0
        let end = host.byteCount
        guard end >= 2 else { return nil }
        if host.byte(at: 0) == .colon {
            guard host.byte(at: 1) == .colon else { return nil }
            gap = 0
            index = 2
        }
        while index < end {
            guard count < 8 else { return nil }
            let start = index
            var group: UInt64 = 0
            while index < end, index - start < 4, host.byte(at: index).hexValue < 16 {
                group = group << 4 | UInt64(host.byte(at: index).hexValue)
                index += 1
            }
            guard index > start else { return nil }
            if index < end, host.byte(at: index) == .dot {
                guard count <= 6, let v4 = Self.v4(host, start..<end) else { return nil }
                for part in [UInt64(v4 >> 16), UInt64(v4 & 0xffff)] {
                    if gap == nil { push(part, &groups) } else { push(part, &tail) }
                }
                count += 2
                index = end
                break
            }
            if gap == nil { push(group, &groups) } else { push(group, &tail) }
            count += 1
            guard index < end else { break }
            guard host.byte(at: index) == .colon, index + 1 < end else { return nil }
            index += 1
            if host.byte(at: index) == .colon {
                guard gap == nil else { return nil }
                gap = count
                index += 1
            }
        }
        guard let gap else { return count == 8 ? IPAddress(high: groups.high, low: groups.low) : nil }
        guard count < 8 else { return nil }
        // What stands before the gap moves to the front.
        let shift = UInt64(16 * (8 - gap))
        let front: (high: UInt64, low: UInt64)
        switch shift {
        case 128: front = (0, 0)
        case 64...: front = (groups.low << (shift - 64), 0)
        case 0: front = groups
        default: front = (groups.high << shift | groups.low >> (64 - shift), groups.low << shift)
        }
        return IPAddress(high: front.high | tail.high, low: front.low | tail.low)
    }
}
