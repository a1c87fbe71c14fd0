// SPDX-License-Identifier: Apache-2.0

package import Common
import Synchronization

/// One place where services come from, and what it has said last.
///
/// It outlives the restarts of whoever follows that place, and of the component that merges all parts.
package final class MeshSource: Sendable {
    private struct State {
        var part: ServiceDirectory
        var routes: ControlPlaneRoutes?
        /// The component has been told, and has not looked yet.
        var isTold = false
    }

    /// What it is called.
    package let name: String
    /// Where it stands in the configured order.
    package let place: Int
    private let inbox: Mailbox<MeshMessage>
    private let state: Mutex<State>

    /// A source that has said `part` until now.
    ///
    /// - Parameter inbox: Of the mesh component; there is one message in it at most, however often the part changes.
    package init(_ name: String, place: Int, part: ServiceDirectory, inbox: Mailbox<MeshMessage>) {
        self.name = name
        self.place = place
        self.inbox = inbox
        self.state = Mutex(State(part: part))
    }

    /// What it has said last.
    package var part: ServiceDirectory { self.state.withLock { $0.part } }

    /// Says something new.
    ///
    /// - Parameter routes: What a control plane says of routes; they hold from the same moment as the services do.
    package func publish(_ part: ServiceDirectory, routes: ControlPlaneRoutes? = nil) {
        let isTold = self.state.withLock { state in
            state.part = part
            state.routes = routes
            defer { state.isTold = true }
            return state.isTold
        }
        if !isTold { self.inbox.send(.partChanged(self.place)) }
    }

    /// What it has said last; a change from now on is told anew.
    func take() -> (part: ServiceDirectory, routes: ControlPlaneRoutes?) {
        self.state.withLock { state in
            state.isTold = false
            return (state.part, state.routes)
        }
    }
}
