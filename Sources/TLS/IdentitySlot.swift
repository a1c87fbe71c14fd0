// SPDX-License-Identifier: Apache-2.0

package import Common
import Synchronization

/// The identity of this workload in its mesh: one component publishes it, whoever speaks TLS by it follows.
///
/// It outlives the component. Connections that are open keep what they were made with.
package final class IdentitySlot: Sendable {
    private struct State {
        struct Follower { weak var material: TLSMaterial? }

        var current: MeshIdentity?
        var followers: [Follower] = []
    }

    private let state = Mutex(State())

    /// No identity yet.
    package init() {}

    /// The one in use; `nil` as long as there has been none.
    package var current: MeshIdentity? { self.state.withLock { $0.current } }

    /// Material for TLS by this identity, which each new one renews for as long as the caller holds it.
    ///
    /// Cost: with an identity, three contexts of the TLS library are made at once, so not on the request path.
    ///
    /// - Parameter tag: How it is used; it names no files.
    /// - Returns: Before there is an identity, what has no contexts.
    package func material(_ tag: TLSTag) -> TLSMaterial {
        let material = TLSMaterial(waitingFor: tag)
        self.state.withLock { state in
            state.followers.removeAll { $0.material == nil }
            state.followers.append(.init(material: material))
            // What is of no use to one tag stays without contexts, and says so itself.
            if let current = state.current { try? material.renew(with: current.secret) }
        }
        return material
    }

    /// Puts a new identity in use.
    ///
    /// - Throws: What is wrong with it; the old one stays in use then, everywhere.
    package func publish(_ identity: MeshIdentity) throws(ConfigProblem) {
        // Nothing is renewed by what is no pair, or has no certificate that holds now.
        _ = try TLSMaterial(TLSTag(identity.name, .consumer, verifiesPeer: true), identity.secret)
        self.state.withLock { state in
            state.current = identity
            state.followers.removeAll { $0.material == nil }
            for follower in state.followers { try? follower.material?.renew(with: identity.secret) }
        }
    }
}
