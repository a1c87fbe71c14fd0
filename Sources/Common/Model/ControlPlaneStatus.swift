// SPDX-License-Identifier: Apache-2.0

package import FoundationEssentials
import Synchronization

/// How things stand with Istio's control plane: a slot that its client writes and others read.
///
/// It outlives the client, which therefore remembers here what the control plane cannot do.
package final class ControlPlaneStatus: Sendable {
    /// The forms of the protocol.
    package enum Form: String, Sendable {
        /// What changes.
        case delta
        /// Everything of a kind each time.
        case stateOfTheWorld = "state of the world"
        /// The same in the second version of the protocol, which Istio up to 1.6 speaks.
        case version2 = "state of the world, xDS v2"
        /// Questions again and again, which Istio up to 0.8 answers.
        case version1 = "REST v1"
    }

    /// What is known of one kind of resources.
    package struct Resources: Sendable, Equatable {
        /// That of the last response; opaque.
        package var version = ""
        /// How many are held.
        package var count = 0
        /// How many responses were refused, wholly or in part.
        package var refusedResponses = 0
        /// Why resources were refused, by name, until they are said in a form that is taken.
        package var refusals: [String: String] = [:]

        /// Nothing was said yet.
        package init() {}
    }

    /// What is known of the identity that the mesh's authority proves.
    package struct Identity: Sendable, Equatable {
        /// `spiffe://…`; `nil` as long as there has been none.
        package var name: String?
        /// When the certificate in use ends.
        package var expiry: Date?
        /// How many certificates there have been.
        package var certificates = 0
        /// Why the authority was last asked without success; `nil` since it was with success.
        package var failure: String?

        /// Nothing was asked yet.
        package init() {}
    }

    /// One moment.
    package struct Value: Sendable, Equatable {
        /// Whether it answers on a stream that is open.
        package var isConnected = false
        /// Where it was called last: an address as configured, perhaps with the one that its name stands for.
        package var server: String?
        /// Which form is spoken; delta until a control plane has refused it.
        package var form = Form.delta
        /// Why the last stream ended, or could not begin; `nil` while one is open.
        package var failure: String?
        /// When it said something last.
        package var lastUpdate: Date?
        /// What requests need and was not told yet: names of clusters and tables, sorted; a hundred at most.
        package var waiting: [String] = []
        /// What it asks for and is not done, in words, since the start; a hundred at most.
        package var notDone: [String] = []
        /// By a word for the kind: `clusters`, `endpoints`, `routes`.
        package var resources: [String: Resources] = [:]
        /// `nil` where nobody asks for one.
        package var identity: Identity?

        /// Nothing was asked yet.
        package init() {}
    }

    private let value = Mutex(Value())

    /// Nothing was asked yet.
    package init() {}

    /// How things stand now.
    package var current: Value { self.value.withLock { $0 } }

    /// Changes what others read.
    package func update(_ body: (inout Value) -> Void) { self.value.withLock { body(&$0) } }
}
