// SPDX-License-Identifier: Apache-2.0

/// A certificate that this process shows to others, for operators: no key, and nothing else that is secret.
///
/// The names of the members are those of `/v1/mesher/certificates`.
package struct CertificateReport: Codable, Sendable, Equatable {
    /// The tag of `tls.yaml`; `istio` for that of a mesh.
    package var tag: String
    /// What it is for, in words.
    package var role: String
    /// Its file, or who has sent it.
    package var source: String
    /// The common name of its subject; `nil` without one.
    package var subject: String?
    /// DNS names, URIs and addresses that it is for.
    package var names: [String]
    /// From when on it is valid, in seconds since 1970; `nil` while none is in use.
    package var notBefore: Int?
    /// Until when.
    package var notAfter: Int?
    /// Whether this process has it renewed, at about half of its life: then that it ends soon is no news.
    package var renews: Bool
    /// Why the newest files are of no use, so that an older certificate, or none, is in use.
    package var error: String?

    /// With all of it.
    package init(
        tag: String, role: String, source: String, subject: String? = nil, names: [String] = [],
        notBefore: Int? = nil, notAfter: Int? = nil, renews: Bool = false, error: String? = nil
    ) {
        self.tag = tag
        self.role = role
        self.source = source
        self.subject = subject
        self.names = names
        self.notBefore = notBefore
        self.notAfter = notAfter
        self.renews = renews
        self.error = error
    }
}
