// SPDX-License-Identifier: Apache-2.0

import Common
import NIOCore
import Testing

@Suite struct IPAddressTests {
    private func literal(_ text: String) -> IPLiteral? { IPLiteral(Array(text.utf8).rawSpan) }

    @Test(
        "reads what the system reads, in every notation",
        arguments: [
            ("10.0.0.5", "10.0.0.5"), ("10.5", "10.0.0.5"), ("10.0.5", "10.0.0.5"), ("0xA.0.0.5", "10.0.0.5"),
            ("012.0.0.5", "10.0.0.5"), ("167772165", "10.0.0.5"), ("10.0.0.5.", "10.0.0.5"), ("0", "0.0.0.0"),
            ("0x", "0.0.0.0"),
            ("255.255.255.255", "255.255.255.255"), ("::", "::"), ("::1", "::1"), ("1::", "1::"),
            ("fe80::1:2", "fe80::1:2"), ("1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8"), ("::2:3:4:5:6:7:8", "0:2:3:4:5:6:7:8"),
            ("1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"), ("1:2::7:8", "1:2:0:0:0:0:7:8"), ("1:2:3:4::8", "1:2:3:4::8"),
            ("1:2:3:4:5::8", "1:2:3:4:5:0:0:8"), ("::ffff:10.0.0.5", "10.0.0.5"),
            ("64:ff9b::1.2.3.4", "64:ff9b::102:304"),
            ("1:2:3:4:5:6:1.2.3.4", "1:2:3:4:5:6:102:304"), ("ABCD::", "abcd::"),
        ])
    func reads(text: String, same: String) throws {
        let expected = try #require(IPAddress(try SocketAddress(ipAddress: same, port: 1)))
        #expect(self.literal(text)?.address == expected)
    }

    @Test(
        "what is no address is a name",
        arguments: [
            "", ".", "cart", "1.2.3.4.5", "256.1.1.1", "1.2.3.256", "1.2.65536", "4294967296", "0x1g", "08",
            "1..2",
            "1.2.3.4..", "-1", "+1", ":", ":::", ":1", "1:", "1:2", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "1::2::3",
            "12345::", "::1.2.3.256", "1:2:3:4:5:6:7:1.2.3.4", "1:2:3:4:5:6:7::8", "fe80::1%eth0", "g::",
            "1.2.3.4x", "99999999999999999999",
        ])
    func names(text: String) {
        #expect(self.literal(text) == nil)
    }

    @Test("knows the two ends of each internal range")
    func ranges() throws {
        for (text, isInternal) in [
            ("126.255.255.255", false), ("127.0.0.0", true), ("127.255.255.255", true), ("128.0.0.0", false),
            ("0.255.255.255", true), ("1.0.0.0", false), ("169.253.255.255", false), ("169.254.0.0", true),
            ("169.254.255.255", true), ("169.255.0.0", false), ("fe7f::1", false), ("fe80::", true), ("febf::1", true),
            ("fec0::", false), ("::", true), ("::1", true), ("::2", true),  // 0.0.0.2
            ("fd00:ec2::254", true), ("fd00:ec2::253", false), ("fd00:ec2::23", true), ("fd20:ce::254", true),
            ("fd20:ce::253", false), ("fd20:ce:1::254", false), ("100.100.100.200", true), ("168.63.129.16", true),
            ("::127.0.0.1", true), ("::8.8.8.8", false), ("::ffff:0:127.0.0.1", true), ("::ffff:0:8.8.8.8", false),
            ("64:ff9b::127.0.0.1", true), ("64:ff9b::169.254.169.254", true), ("64:ff9b::0.0.0.0", true),
            ("64:ff9b::8.8.8.8", false), ("64:ff9b::1:7f00:1", false), ("2002:7f00:1::1", true),
            ("2002:a9fe:a9fe::", true), ("2002:808:808::", false), ("2001:db8::7f00:1", false),
        ] {
            #expect(self.literal(text)?.address.isInternal == isInternal, "\(text)")
        }
    }

    @Test("an address that was looked up is judged as one that was written")
    func lookedUp() throws {
        for text in [
            "::127.0.0.1", "64:ff9b::127.0.0.1", "64:ff9b::169.254.169.254", "fd20:ce::254", "::ffff:127.0.0.1",
        ] {
            let endpoint = try Endpoint("rest://[\(text)]:80")
            #expect(endpoint.ip.isInternal, "\(text)")
        }
        // What DNS64 makes of a public address.
        #expect(try !Endpoint("rest://[64:ff9b::8.8.8.8]:80").ip.isInternal)
    }

    @Test(
        "an IPv4 address inside an IPv6 one is told apart",
        arguments: [
            ("::ffff:1.2.3.4", true), ("::1.2.3.4", true), ("64:ff9b::1.2.3.4", true), ("2002:102:304::", true),
            ("::ffff:0:1.2.3.4", true), ("1.2.3.4", false), ("::1", false), ("::", false), ("2001:db8::1", false),
        ])
    func embedded(text: String, isEmbedded: Bool) { #expect(self.literal(text)?.isEmbedded == isEmbedded) }
}
