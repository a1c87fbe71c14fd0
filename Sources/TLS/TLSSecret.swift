// SPDX-License-Identifier: Apache-2.0

package import Common
import FoundationEssentials
package import NIOSSL

/// What TLS is made of, in memory: read from the files of a tag, or handed over by whoever has secrets.
package struct TLSSecret: Sendable {
    /// Some bytes of it.
    package struct Part: Sendable {
        /// A file's path, or a name of its own: what messages call it.
        package let origin: String
        /// Certificates one after the other, or one key.
        package let bytes: [UInt8]
        /// How `bytes` are written.
        package let format: NIOSSLSerializationFormats

        /// Bytes that came from `origin`.
        package init(_ bytes: [UInt8], _ format: NIOSSLSerializationFormats, from origin: String) {
            self.bytes = bytes
            self.format = format
            self.origin = origin
        }
    }

    /// Certificates of the authorities that may vouch for the other side; `nil` for none.
    package var authorities: Part?
    /// Own certificate chain, with the own certificate first; `nil` for none.
    package var chain: Part?
    /// The private key of the own certificate.
    package var key: Part?
    /// The key's password; empty when it has none.
    package var password: String

    /// A secret of these parts.
    package init(authorities: Part? = nil, chain: Part? = nil, key: Part? = nil, password: String = "") {
        self.authorities = authorities
        self.chain = chain
        self.key = key
        self.password = password
    }

    /// Reads the files of a tag.
    ///
    /// - Throws: Which of them cannot be read.
    package init(filesOf tag: TLSTag) throws(ConfigProblem) {
        typealias Keys = TrafficTLSConfig.Keys
        self.authorities = try Self.part(tag, Keys.caFile, tag.caFile)
        self.chain = try Self.part(tag, Keys.certFile, tag.certFile)
        self.key = try Self.part(tag, Keys.keyFile, tag.keyFile)
        self.password = ""
        guard let password = try Self.part(tag, Keys.certPwdFile, tag.passwordFile) else { return }
        guard let text = String(validating: password.bytes, as: UTF8.self) else {
            throw Self.nonsense(tag, Keys.certPwdFile, password)
        }
        self.password = text.trimmed
    }

    private static func part(_ tag: TLSTag, _ key: String, _ path: String) throws(ConfigProblem) -> Part? {
        if path.isEmpty { return nil }
        guard FileManager.default.isReadableFile(atPath: path) else {
            throw tag.problem(
                key, "\(path) cannot be read", remedy: "write it, and let the user that mesher runs as read it")
        }
        // What can be read and has no content to be read, such as a folder, makes no sense.
        return Part(FileManager.default.contents(atPath: path).map { Array($0) } ?? [], .pem, from: path)
    }

    // MARK: Meaning

    /// Refuses what is only half there.
    ///
    /// Of files, the configuration has told it when their keys were read.
    func checkParts(_ tag: TLSTag) throws(ConfigProblem) {
        typealias Keys = TrafficTLSConfig.Keys
        if tag.verifiesPeer, self.authorities == nil {
            throw tag.problem(
                Keys.caFile, "there are no authorities to verify the other side with", remedy: "send some")
        }
        guard let chain = self.chain else {
            if tag.side == .consumer, self.key == nil { return }
            throw tag.problem(Keys.certFile, "there is no certificate", remedy: "send it with its key")
        }
        if self.key == nil {
            throw tag.problem(
                Keys.keyFile, "there is no key for the certificate in \(chain.origin)", remedy: "send both")
        }
    }

    /// The certificates of a part; empty without one.
    ///
    /// - Parameter key: Whose value it is, for the message.
    static func certificates(_ part: Part?, _ tag: TLSTag, _ key: String) throws(ConfigProblem) -> [NIOSSLCertificate] {
        guard let part else { return [] }
        do {
            let certificates =
                switch part.format {
                // The library wants to be given a buffer.
                case .pem: part.bytes.isEmpty ? [] : try NIOSSLCertificate.fromPEMBytes(part.bytes)
                case .der: try Self.elements(part.bytes).map { try NIOSSLCertificate(bytes: $0, format: .der) }
                }
            guard certificates.isEmpty else { return certificates }
        } catch {}
        throw Self.nonsense(tag, key, part)
    }

    /// The private key; `nil` without one.
    func privateKey(_ tag: TLSTag) throws(ConfigProblem) -> NIOSSLPrivateKey? {
        guard let part = self.key else { return nil }
        let password = Array(self.password.utf8)
        guard !part.bytes.isEmpty,
            let key = try? NIOSSLPrivateKey(
                bytes: part.bytes, format: part.format, passphraseCallback: { $0(password) })
        else { throw Self.nonsense(tag, TrafficTLSConfig.Keys.keyFile, part) }
        return key
    }

    /// The elements of DER that stand one after the other.
    private static func elements(_ bytes: [UInt8]) throws -> [[UInt8]] {
        var reader = DERReader(bytes[...])
        var elements: [[UInt8]] = []
        while !reader.isAtEnd {
            guard let element = reader.nextElement() else { throw NIOSSLError.failedToLoadCertificate }
            elements.append(Array(element))
        }
        return elements
    }

    private static func nonsense(_ tag: TLSTag, _ key: String, _ part: Part) -> ConfigProblem {
        let format = part.format == .pem ? "PEM" : "DER"
        return tag.problem(
            key, "\(part.origin) makes no sense", remedy: "write it as \(format), with the right password if it has one"
        )
    }
}
