// SPDX-License-Identifier: Apache-2.0

import FoundationEssentials

/// What a service account's token says of the workload: read without being verified, since the control plane does that.
///
/// - Source: RFC 7519 §3; Kubernetes' claims of bound tokens, and the subject of all of them.
struct AccountToken: Sendable, Equatable {
    let serviceAccount: String

    private struct Claims: Decodable {
        struct Kubernetes: Decodable {
            struct Account: Decodable { let name: String }
            let serviceaccount: Account
        }

        let sub: String?
        let kubernetes: Kubernetes?

        enum CodingKeys: String, CodingKey {
            case sub
            case kubernetes = "kubernetes.io"
        }
    }

    /// - Returns: `nil` for what is no token of a service account.
    init?(_ token: String) {
        let parts = token.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 3 else { return nil }
        var text = String(parts[1]).replacing("-", with: "+").replacing("_", with: "/")
        text += String(repeating: "=", count: (4 - text.count % 4) % 4)
        guard let data = Data(base64Encoded: text), let claims = try? JSONDecoder().decode(Claims.self, from: data)
        else {
            return nil
        }
        let subject = (claims.sub ?? "").split(separator: ":", omittingEmptySubsequences: false)
        let isAccount = subject.count == 4 && subject.starts(with: ["system", "serviceaccount"])
        let name = claims.kubernetes?.serviceaccount.name ?? (isAccount ? String(subject[3]) : "")
        guard !name.isEmpty else { return nil }
        self.serviceAccount = name
    }
}
