// SPDX-License-Identifier: Apache-2.0

import FoundationEssentials

/// Texts without what nobody should read.
enum Masked {
    /// What stands in the place of a secret.
    static let mask = "******"

    private static let secrets = [
        "password", "passwd", "pwd", "secret", "token", "accesskey", "apikey", "credential",
    ]

    /// The value of a key: nothing of it where the key's name says that it is a secret.
    static func value(_ value: String, of key: String) -> String {
        let name = key.lowercased()
        let isSecret = Self.secrets.contains { name.contains($0) }
        if isSecret, !name.hasSuffix("file"), !value.isEmpty { return Self.mask }
        return Self.urls(in: value)
    }

    /// A text whose URLs say nothing of who uses them.
    ///
    /// It may have several, and a password may have an `@` of its own.
    static func urls(in text: String) -> String {
        var (shown, rest) = ("", text[...])
        while let scheme = rest.firstRange(of: "://") {
            let authority = rest[scheme.upperBound...].prefix { !"/?#\" ".contains($0) }
            shown += rest[..<scheme.upperBound]
            if let at = authority.lastIndex(of: "@") {
                shown += Self.mask
                rest = rest[at...]
            } else {
                rest = rest[scheme.upperBound...]
            }
        }
        return shown + rest
    }
}
