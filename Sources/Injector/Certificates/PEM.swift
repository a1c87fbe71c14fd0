// SPDX-License-Identifier: Apache-2.0

import SwiftASN1
import X509

/// Certificates as files, Secrets and webhook configurations have them.
enum PEM {
    /// The certificates of a text.
    ///
    /// - Returns: `nil` when there is none, or something else among them.
    static func certificates(_ bytes: some Sequence<UInt8>) -> [Certificate]? {
        let text = String(decoding: Array(bytes), as: UTF8.self)
        guard let documents = try? PEMDocument.parseMultiple(pemString: text), !documents.isEmpty else { return nil }
        return try? documents.map { try Certificate(pemDocument: $0) }
    }

    /// One below the other.
    static func text(_ certificates: [Certificate]) -> String {
        // What was read or made is written: there is nothing that could fail.
        certificates.compactMap { try? $0.serializeAsPEM().pemString }.map { "\($0)\n" }.joined()
    }
}
