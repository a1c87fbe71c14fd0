// SPDX-License-Identifier: Apache-2.0
// request path

extension SessionTable {
    private static let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".utf8)

    /// A session id that nobody can guess: 32 random bytes of the system, as base64url with padding.
    package static func newID() -> String {
        var random = SystemRandomNumberGenerator()
        return Self.base64URL((0..<32).map { _ in UInt8.random(in: .min ... .max, using: &random) })
    }

    /// The bytes as text.
    ///
    /// - Source: RFC 4648 §5.
    package static func base64URL(_ bytes: [UInt8]) -> String {
        var text: [UInt8] = []
        text.reserveCapacity((bytes.count + 2) / 3 * 4)
        for start in stride(from: 0, to: bytes.count, by: 3) {
            let group = bytes[start..<min(start + 3, bytes.count)]
            let bits = group.reduce(0) { $0 << 8 | Int($1) } << (8 * (3 - group.count))
            for digit in 0..<4 {
                text.append(digit <= group.count ? Self.alphabet[bits >> (18 - 6 * digit) & 63] : UInt8(ascii: "="))
            }
        }
        return String(decoding: text, as: UTF8.self)
    }
}
