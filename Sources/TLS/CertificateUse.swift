// SPDX-License-Identifier: Apache-2.0

/// What a certificate may be used for, as far as the TLS library does not look.
///
/// Pure.
enum CertificateUse {
    /// Whether a certificate is one that signs others: `cA`, `keyCertSign` or `cRLSign` is set.
    ///
    /// - Parameter certificate: DER, of which the library has made sense already.
    /// - Returns: Also `true` for what cannot be read.
    /// - Source: RFC 5280 §4.1, §4.2.1.3, §4.2.1.9; the X.509 SVID standard §5.
    static func isAuthority(_ certificate: [UInt8]) -> Bool {
        guard let extensions = Self.extensions(certificate) else { return true }
        for (identifier, value) in extensions {
            switch identifier {
            case [0x55, 0x1d, 0x13]:
                // SEQUENCE { cA BOOLEAN DEFAULT FALSE, … }
                var reader = DERReader(value)
                guard let fields = reader.next(0x30) else { return true }
                var inner = DERReader(fields)
                if let flag = inner.next(0x01), flag != [0] { return true }
            case [0x55, 0x1d, 0x0f]:
                // BIT STRING: how many bits are unused, then the bits, the first one highest.
                var reader = DERReader(value)
                guard let bits = reader.next(0x03), bits.count >= 2 else { return true }
                if bits[bits.startIndex + 1] & 0b0000_0110 != 0 { return true }
            default: break
            }
        }
        return false
    }

    /// The last common name of the subject; `nil` without one, and for what cannot be read.
    ///
    /// - Source: RFC 5280 §4.1.2.6, appendix A.1.
    static func commonName(_ certificate: [UInt8]) -> String? {
        guard var fields = Self.fields(certificate) else { return nil }
        // The version, which may be left out; then number, algorithm, issuer and times.
        _ = fields.next(0xa0)
        for _ in 0..<4 where fields.next() == nil { return nil }
        guard let subject = fields.next(0x30) else { return nil }
        var names = DERReader(subject)
        var found: String?
        while let set = names.next(0x31) {
            var parts = DERReader(set)
            while let pair = parts.next(0x30) {
                var reader = DERReader(pair)
                guard reader.next(0x06) == [0x55, 0x04, 0x03], let (tag, value) = reader.next() else { continue }
                // UTF8String, PrintableString, IA5String.
                if [0x0c, 0x13, 0x16].contains(tag) { found = String(decoding: value, as: UTF8.self) }
            }
        }
        return found
    }

    /// The fields of what is signed; `nil` for what is no certificate.
    private static func fields(_ certificate: [UInt8]) -> DERReader? {
        var outer = DERReader(certificate[...])
        guard let whole = outer.next(0x30) else { return nil }
        var signed = DERReader(whole)
        return signed.next(0x30).map { DERReader($0) }
    }

    /// The extensions by object identifier; `nil` for what is no certificate.
    private static func extensions(
        _ certificate: [UInt8]
    ) -> [(identifier: ArraySlice<UInt8>, value: ArraySlice<UInt8>)]? {
        guard var fields = Self.fields(certificate) else { return nil }
        while let (tag, value) = fields.next() {
            guard tag == 0xa3 else { continue }
            var explicit = DERReader(value)
            guard let list = explicit.next(0x30) else { return nil }
            var entries = DERReader(list)
            var found: [(ArraySlice<UInt8>, ArraySlice<UInt8>)] = []
            while let entry = entries.next(0x30) {
                var parts = DERReader(entry)
                guard let identifier = parts.next(0x06), var part = parts.next() else { return nil }
                // Whether it is critical, which is left out where it is not.
                if part.tag == 0x01 {
                    guard let next = parts.next() else { return nil }
                    part = next
                }
                guard part.tag == 0x04 else { return nil }
                found.append((identifier, part.value))
            }
            return entries.isAtEnd ? found : nil
        }
        return fields.isAtEnd ? [] : nil
    }
}
