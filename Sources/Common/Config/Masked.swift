// SPDX-License-Identifier: Apache-2.0

/// Texts without what nobody should read.
package enum Masked {
    /// What stands in the place of a secret.
    private static let mask = "******"

    private static let secrets = [
        "password", "passwd", "pwd", "secret", "token", "accesskey", "apikey", "credential",
    ]

    /// Queries without a secret: that of endpoints with TLS.
    private static let harmless = ["", "sslEnabled=true", "sslEnabled=false"]

    /// The value of a key: nothing of it where the key's name says that it is a secret.
    package static func value(_ value: String, of key: String) -> String {
        let name = key.lowercased()
        let isSecret = Self.secrets.contains { name.contains($0) }
        if isSecret, !name.hasSuffix("file"), !value.isEmpty { return Self.mask }
        return Self.urls(in: value)
    }

    /// A text whose URLs say neither who uses them nor what is asked for: tokens stand in queries.
    ///
    /// It may have several, and a password may have an `@` of its own.
    package static func urls(in text: String) -> String {
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
            let path = rest.prefix { $0 != "?" && Self.isOfURL($0) }
            guard rest[path.endIndex...].first == "?", path.firstRange(of: "://") == nil else { continue }
            let query = Self.query(rest[path.endIndex...].dropFirst())
            shown += rest[..<query.startIndex]
            shown += Self.harmless.contains(String(query)) ? String(query) : Self.mask
            rest = rest[query.endIndex...]
        }
        return shown + rest
    }

    /// What of a text is the query that it begins with: not the next URL of a list, nor what closes a sentence.
    private static func query(_ text: Substring) -> Substring {
        var query = text.prefix(while: Self.isOfURL)
        if let next = query.firstRange(of: "://") {
            query = query[..<next.lowerBound]
            if let comma = query.lastIndex(of: ",") { query = query[..<comma] }
        }
        while let last = query.last, "]),.;:'".contains(last) { query = query.dropLast() }
        return query
    }

    private static func isOfURL(_ character: Character) -> Bool { !character.isWhitespace && character != "\"" }
}
