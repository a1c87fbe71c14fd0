// SPDX-License-Identifier: Apache-2.0

import FoundationEssentials
import X509

/// `caBundle` of a webhook: whom the API server believes.
struct CABundle {
    private let isEmpty: Bool
    /// `nil` when it makes no sense.
    private let authorities: [Certificate]?

    /// - Parameter base64: As JSON has it; `nil` for none.
    init(_ base64: String?) {
        self.isEmpty = base64?.isEmpty ?? true
        self.authorities = base64.flatMap { Data(base64Encoded: $0) }.flatMap { PEM.certificates($0) }
    }

    /// Whether all of these are believed, and nothing is there that makes no sense or has ended.
    ///
    /// Others may be there: replicas that do not know the same must not take turns in writing it.
    func serves(_ wanted: [Certificate], at now: Date) -> Bool {
        guard let authorities = self.authorities, Set(wanted).isSubset(of: authorities) else { return false }
        return authorities.allSatisfy { $0.notValidAfter > now || wanted.contains($0) }
    }

    /// For messages.
    var text: String {
        if self.isEmpty { return "empty" }
        return self.authorities.map { $0.map { "\($0.subject)" }.joined(separator: "; ") } ?? "nonsense"
    }
}
