// SPDX-License-Identifier: Apache-2.0

import Foundation
import NIOSSL
package import TLS

/// A certificate that has signed itself, and its key.
///
/// It holds from 2000 to 2100, and has no name but `mesher-test` as its common one.
package enum TestCertificate {
    /// Seconds since 1970 at which it ends.
    package static var expiry: Int { 4_102_444_800 }

    /// The certificate.
    package static var chain: TLSSecret.Part { Self.pem("CERTIFICATE", Self.certificateText, "test certificate") }
    /// Its key.
    package static var key: TLSSecret.Part { Self.pem("PRIVATE KEY", Self.keyText, "test key") }
    /// The same key, with ``password``.
    package static var encryptedKey: TLSSecret.Part {
        Self.pem("ENCRYPTED PRIVATE KEY", Self.encryptedText, "encrypted test key")
    }
    /// The password of ``encryptedKey``.
    package static var password: String { "sesame" }
    /// A key that belongs to nothing.
    package static var otherKey: TLSSecret.Part { Self.pem("PRIVATE KEY", Self.otherKeyText, "other key") }

    /// The bytes inside a PEM block of this type.
    package static func der(_ part: TLSSecret.Part) -> TLSSecret.Part {
        let lines = String(decoding: part.bytes, as: UTF8.self).split(separator: "\n").filter { !$0.hasPrefix("-----") }
        return TLSSecret.Part(Array(Data(base64Encoded: lines.joined()) ?? Data()), .der, from: part.origin)
    }

    private static func pem(_ name: String, _ text: String, _ origin: String) -> TLSSecret.Part {
        TLSSecret.Part(Array("-----BEGIN \(name)-----\n\(text)\n-----END \(name)-----\n".utf8), .pem, from: origin)
    }

    private static let certificateText = """
        MIIBFTCBvAIBATAKBggqhkjOPQQDAjAWMRQwEgYDVQQDDAttZXNoZXItdGVzdDAg
        Fw0wMDAxMDEwMDAwMDBaGA8yMTAwMDEwMTAwMDAwMFowFjEUMBIGA1UEAwwLbWVz
        aGVyLXRlc3QwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAARxnQ3OmIMhqNpNGxXq
        p270GjIX0/La6jui51E9bvSYEpvj5ajdoxURVNrXGtku+v8VDMuKYWxAjoDZl2b7
        hj0TMAoGCCqGSM49BAMCA0gAMEUCIQDk/ExHCKGwcKaxzSu03HPL19yfLdhHmXFi
        ntsZkx3sHQIgRJVcAOByWHI3tcyyp/jL9ekNkIBUh+4T2bnOrN8bNL0=
        """
    private static let keyText = """
        MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgsOsWrNZt5qUJTlQq
        E1oL09yJmcvwYQQHxFBzcwLx8GOhRANCAARxnQ3OmIMhqNpNGxXqp270GjIX0/La
        6jui51E9bvSYEpvj5ajdoxURVNrXGtku+v8VDMuKYWxAjoDZl2b7hj0T
        """
    private static let encryptedText = """
        MIHsMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAihMK7ucXpQdAICA+gw
        DAYIKoZIhvcNAgkFADAdBglghkgBZQMEAQIEEF9WAb+XT7iMUIlG4a5Xq9EEgZBQ
        Yrhphx9BMgr0PmnsHHNRFchmjULEeSEp8+09H4aE/JkWyy7nIIt/IoZawZWnbsrU
        cl74xbc8s+aNA3g6YZiLoOAfvF94jX04Pes9Ld/VPXllP+1dFPs6vtCcfHSXyPZz
        hdu5nQdKwxkWewNA63k096U5MDnTQKr151nIaGc/uQrzoUHxweI3o45YmU/KVuE=
        """
    private static let otherKeyText = """
        MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgkzT5Gyp+e4nhCR1d
        zvUoywVzVeszpdWhona0cnxjm4ahRANCAATJ94+ZzTxtwYeKMX3K6SEP7fT8Wcpm
        uKK5CY6inMBbsRCwr6AofcKQx1a2Gw7GbuPm3n9VFHonZP540AX0F5Vk
        """
}
