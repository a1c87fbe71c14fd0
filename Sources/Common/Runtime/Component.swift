// SPDX-License-Identifier: Apache-2.0

/// A long-running part of the program: an actor with one `run`.
///
/// The supervisor makes a fresh instance for every start and restart, so `run` never cleans up after a failed
/// predecessor. Mailboxes and snapshots are made once, in the assembly, and outlive the instances.
package protocol Component: Actor {
    /// Runs until cancelled.
    ///
    /// Ending earlier, by return or by throw, is a failure and restarts the component. A remote that is down is state,
    /// not failure: such an error is handled inside.
    func run() async throws

    /// Called once on shutdown, before `run` is cancelled: deregister, let requests finish.
    ///
    /// Must return when its task is cancelled, which happens at the component's drain limit. Components that are between
    /// two runs at that moment are not drained.
    func drain() async
}

extension Component {
    /// Nothing to finish.
    package func drain() async {}
}
