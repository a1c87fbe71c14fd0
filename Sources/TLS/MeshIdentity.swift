// SPDX-License-Identifier: Apache-2.0

package import FoundationEssentials

/// Who this workload is in a mesh, and what proves it: in memory only.
package struct MeshIdentity: Sendable {
    /// `spiffe://…`, the one name of the certificate.
    package let name: String
    /// When the certificate ends.
    package let expiry: Date
    /// Chain, key, and the mesh's authorities.
    package let secret: TLSSecret

    /// An identity of these parts, which have been looked at: see ``TLSSecret``.
    package init(name: String, expiry: Date, secret: TLSSecret) {
        self.name = name
        self.expiry = expiry
        self.secret = secret
    }
}
