// SPDX-License-Identifier: Apache-2.0

import NIOSSL
import Testing

@testable import TLS

/// Which certificates are those of authorities.
@Suite struct CertificateUseTests {
    private static func element(_ tag: UInt8, _ parts: [UInt8]...) -> [UInt8] {
        let content = parts.flatMap { $0 }
        let length = content.count
        return [tag] + (length < 0x80 ? [UInt8(length)] : [0x82, UInt8(length >> 8), UInt8(length & 0xff)]) + content
    }

    /// A certificate in outline, with these extensions; `nil` for one of version 1, which has none.
    private static func certificate(_ extensions: [[UInt8]]?) -> [UInt8] {
        var fields = Self.element(0xa0, [2, 1, 2]) + [2, 1, 7]
        for _ in 0..<5 { fields += Self.element(0x30, [UInt8](repeating: 5, count: 60)) }
        if let extensions { fields += Self.element(0xa3, Self.element(0x30, extensions.flatMap { $0 })) }
        return Self.element(0x30, Self.element(0x30, fields), Self.element(0x30), Self.element(3, [0, 1]))
    }

    private static func part(_ last: UInt8, isCritical: Bool, _ value: [UInt8]) -> [UInt8] {
        Self.element(
            0x30, Self.element(6, [0x55, 0x1d, last]), isCritical ? [1, 1, 0xff] : [], Self.element(4, value))
    }

    private static func constraints(_ content: [UInt8]) -> [UInt8] {
        Self.part(0x13, isCritical: true, Self.element(0x30, content))
    }

    private static func usage(_ bits: [UInt8]) -> [UInt8] {
        Self.part(0x0f, isCritical: false, Self.element(3, bits))
    }

    private static let name = Self.part(0x11, isCritical: false, Self.element(0x30, [0x86, 1, 0x61]))

    @Test(
        "is what may sign certificates or lists of them",
        arguments: [
            (nil, false), ([], false), ([Self.name], false), ([Self.constraints([])], false),
            ([Self.constraints([1, 1, 0])], false), ([Self.constraints([1, 1, 0xff])], true),
            ([Self.name, Self.constraints([1, 1, 0xff, 2, 1, 0])], true), ([Self.usage([5, 0xa0])], false),
            ([Self.usage([2, 0x04])], true), ([Self.usage([1, 0x02])], true),
            ([Self.constraints([]), Self.usage([1, 0x86])], true),
        ] as [([[UInt8]]?, Bool)])
    func authority(extensions: [[UInt8]]?, isAuthority: Bool) {
        #expect(CertificateUse.isAuthority(Self.certificate(extensions)) == isAuthority)
    }

    @Test("is what cannot be read")
    func cutShort() {
        let whole = Self.certificate([Self.name, Self.constraints([]), Self.usage([5, 0xa0])])
        #expect(!CertificateUse.isAuthority(whole))
        // The signed part comes first: once it is whole, nothing behind it matters.
        for length in 0..<whole.count - 5 { #expect(CertificateUse.isAuthority(Array(whole.prefix(length)))) }
        #expect(CertificateUse.isAuthority([0x30, 0x84, 0xff, 0xff, 0xff, 0xff]))
        #expect(CertificateUse.isAuthority([0x30, 0x83, 0xff, 0xff, 0xff, 0x30]))
    }
}

@Suite struct SessionCacheTests {
    @Test("a server keeps no sessions in memory")
    func off() throws {
        let context = try NIOSSLContext(configuration: .makeClientConfiguration())
        // The library's own choice is to keep those of servers: SSL_SESS_CACHE_SERVER.
        #expect(context.keepNoSessions() == 2)
        #expect(context.keepNoSessions() == 0)
    }
}
