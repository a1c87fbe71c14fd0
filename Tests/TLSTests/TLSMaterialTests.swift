// SPDX-License-Identifier: Apache-2.0

import Common
import NIOCore
import NIOEmbedded
import NIOSSL
import NIOTLS
import TestSupport
import Testing

@testable import TLS

/// Material that comes from memory.
@Suite struct TLSMaterialTests {
    private static let listener = TLSTag("a secret", .provider, verifiesPeer: false)
    private static let caller = TLSTag("a secret", .consumer, verifiesPeer: true)
    private static let secret = TLSSecret(chain: TestCertificate.chain, key: TestCertificate.key)

    @Test(
        "a listener has what a secret holds, as PEM or DER, with or without a password",
        arguments: [
            Self.secret,
            TLSSecret(
                chain: TestCertificate.chain, key: TestCertificate.encryptedKey, password: TestCertificate.password),
            TLSSecret(
                chain: TestCertificate.der(TestCertificate.chain), key: TestCertificate.der(TestCertificate.key)),
        ])
    func server(secret: TLSSecret) throws {
        let listener = try TLSMaterial(Self.listener, secret)
        #expect(listener.expiry == TestCertificate.expiry && !listener.hasFailed)
        let caller = try TLSMaterial(Self.caller, TLSSecret(authorities: TestCertificate.chain))
        #expect(caller.expiry == nil)
        #expect(Self.negotiated(caller, listener) == ["h2", "h2"])
    }

    @Test("certificates of DER stand one after the other")
    func severalAuthorities() throws {
        let one = TestCertificate.der(TestCertificate.chain)
        let two = TLSSecret.Part(one.bytes + one.bytes, .der, from: "two")
        #expect(try TLSSecret.certificates(two, Self.caller, "caFile").count == 2)
        let caller = try TLSMaterial(Self.caller, TLSSecret(authorities: two))
        let listener = try TLSMaterial(Self.listener, Self.secret)
        #expect(Self.negotiated(caller, listener) == ["h2", "h2"])
    }

    @Test("a client trusts the authorities of its secret alone")
    func trust() throws {
        var tag = Self.caller
        tag.verifiesPeer = false
        let listener = try TLSMaterial(Self.listener, Self.secret)
        let trusting = try TLSMaterial(tag, TLSSecret())
        #expect(Self.negotiated(trusting, listener) == ["h2", "h2"])
        // What verifies and has no authority would take those of the machine.
        #expect(throws: ConfigProblem.self) { try TLSMaterial(Self.caller, TLSSecret()) }
    }

    @Test(
        "what makes no sense is refused, and told by its name",
        arguments: [
            .init([], .pem, from: "the part"), .init([], .der, from: "the part"),
            .init([0x30, 5, 1], .der, from: "the part"), .init(Array("-----BEGIN".utf8), .pem, from: "the part"),
            .init(TestCertificate.chain.bytes, .der, from: "the part"),
            .init(TestCertificate.der(TestCertificate.chain).bytes, .pem, from: "the part"),
            .init(TestCertificate.der(TestCertificate.chain).bytes + [0x30], .der, from: "the part"),
        ] as [TLSSecret.Part])
    func nonsense(part: TLSSecret.Part) {
        let secrets = [
            TLSSecret(authorities: part), TLSSecret(chain: part, key: TestCertificate.key),
            TLSSecret(chain: TestCertificate.chain, key: part),
        ]
        for (secret, key) in zip(secrets, ["caFile", "certFile", "keyFile"]) {
            let problem = #expect(throws: ConfigProblem.self) {
                try TLSMaterial(secret.authorities == nil ? Self.listener : Self.caller, secret)
            }
            #expect(problem?.problem == "the part makes no sense" && problem?.key == "ssl.a secret.\(key)")
        }
    }

    @Test("what does not belong together is refused, and so is half of it")
    func halves() {
        let chain = TestCertificate.chain
        for (secret, problem) in [
            (TLSSecret(chain: chain, key: TestCertificate.otherKey), "is not that of the certificate"),
            (TLSSecret(chain: chain), "there is no key for the certificate in test certificate"),
            (TLSSecret(chain: chain, key: TestCertificate.encryptedKey, password: "wrong"), "makes no sense"),
            (TLSSecret(key: TestCertificate.key), "there is no certificate"), (TLSSecret(), "there is no certificate"),
        ] {
            let thrown = #expect(throws: ConfigProblem.self) { try TLSMaterial(Self.listener, secret) }
            #expect(thrown?.problem.contains(problem) == true)
        }
    }

    @Test("a new secret holds from then on, and one that is of no use leaves the old in its place")
    func renewal() throws {
        let material = TLSMaterial(waitingFor: Self.listener)
        #expect(material.context(.either) == nil && material.hasFailed)
        try material.renew(with: Self.secret)
        let first = try #require(material.context(.http2))
        #expect(!material.hasFailed && material.expiry == TestCertificate.expiry)
        #expect(throws: ConfigProblem.self) {
            try material.renew(with: TLSSecret(chain: TestCertificate.chain, key: TestCertificate.otherKey))
        }
        #expect(material.hasFailed && material.context(.http2) === first)
        try material.renew(with: Self.secret)
        #expect(!material.hasFailed && material.context(.http2) !== first)
    }

    // MARK: A handshake

    /// The protocols that a client and a server of these materials agree on; empty when they do not.
    private static func negotiated(_ caller: TLSMaterial, _ listener: TLSMaterial) -> [String] {
        let (client, server) = (EmbeddedChannel(), EmbeddedChannel())
        defer {
            for channel in [client, server] {
                channel.close(promise: nil)
                // Longer than either waits for the other's farewell.
                channel.embeddedEventLoop.advanceTime(by: .seconds(10))
            }
        }
        let (atClient, atServer) = (Completion(), Completion())
        do {
            guard let forClient = caller.context(.either), let forServer = listener.context(.either) else { return [] }
            try client.pipeline.syncOperations.addHandlers(
                NIOSSLClientHandler(context: forClient, serverHostname: nil), atClient)
            try server.pipeline.syncOperations.addHandlers(NIOSSLServerHandler(context: forServer), atServer)
            for channel in [server, client] { try channel.connect(to: .init(unixDomainSocketPath: "/x")).wait() }
            var isMoving = true
            while isMoving {
                isMoving = false
                for (from, to) in [(client, server), (server, client)] {
                    guard let bytes = try from.readOutbound(as: ByteBuffer.self) else { continue }
                    try to.writeInbound(bytes)
                    isMoving = true
                }
            }
        } catch {
            return []
        }
        return [atClient.negotiated, atServer.negotiated].compactMap { $0 }
    }

    /// Keeps what ALPN chose.
    private final class Completion: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        private(set) var negotiated: String?

        func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
            if case .handshakeCompleted(let negotiated) = event as? TLSUserEvent { self.negotiated = negotiated }
        }
    }
}
