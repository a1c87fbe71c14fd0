// SPDX-License-Identifier: Apache-2.0

package import Common
import Synchronization

/// The material of connections whose TLS a control plane describes, by what it names.
///
/// Whoever reads the control plane's resources says here what they need, off the event loops; a loop asks when it first meets
/// a cluster after a change.
package final class MeshSecrets: Sendable {
    private let identity: IdentitySlot?
    private let materials = Mutex<[MeshTLS.Credentials: TLSMaterial]>([:])

    /// - Parameter identity: `nil` for a workload without one.
    package init(identity: IdentitySlot?) { self.identity = identity }

    /// Whether this workload has an identity, or is to get one.
    package var hasIdentity: Bool { self.identity != nil }

    /// Makes what is needed and not there, and forgets the rest.
    ///
    /// - Returns: What is wrong with files: there are no connections until they are better.
    package func use(_ needed: Set<MeshTLS.Credentials>) -> [ConfigProblem] {
        let known = self.materials.withLock { $0 }
        if known.keys.count == needed.count, known.keys.allSatisfy(needed.contains) { return [] }
        var problems: [ConfigProblem] = []
        var materials = known.filter { needed.contains($0.key) }
        for credentials in needed where materials[credentials] == nil {
            materials[credentials] = self.make(credentials, &problems)
        }
        self.materials.withLock { $0 = materials }
        return problems
    }

    private func make(_ credentials: MeshTLS.Credentials, _ problems: inout [ConfigProblem]) -> TLSMaterial? {
        switch credentials {
        case .identity: return self.identity?.material(.mesh)
        case .files(let certificate, let key, let authorities):
            var tag = TLSTag("istio \(certificate) \(authorities)", .consumer, verifiesPeer: !authorities.isEmpty)
            tag.certFile = certificate
            tag.keyFile = key
            tag.caFile = authorities
            do throws(ConfigProblem) {
                return try TLSMaterial(tag)
            } catch {
                problems.append(error)
                return TLSMaterial(waitingFor: tag, failure: error.problem)
            }
        }
    }

    /// What connections of a cluster use; `nil` where nobody has said that it is needed.
    package func material(_ credentials: MeshTLS.Credentials) -> TLSMaterial? {
        self.materials.withLock { $0[credentials] }
    }

    /// Those that come from files, which may change.
    package var ofFiles: [TLSMaterial] {
        self.materials.withLock { materials in materials.values.filter { !$0.tag.files.isEmpty } }
    }
}

extension TLSTag {
    /// How connections to workloads of the mesh speak TLS.
    package static var mesh: TLSTag {
        var tag = TLSTag("istio", .consumer, verifiesPeer: true)
        tag.isOfMesh = true
        return tag
    }

    /// How a listener does.
    package static var meshServer: TLSTag {
        var tag = TLSTag("istio", .provider, verifiesPeer: true)
        tag.isOfMesh = true
        return tag
    }
}
