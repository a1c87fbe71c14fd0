// SPDX-License-Identifier: Apache-2.0
// request path

import NIOCore

/// A client connection of either protocol, as the worker sees all of them.
protocol ClientConnection: AnyObject {
    /// Closes when nothing is in flight; HTTP/2 says that no more requests are wanted.
    func closeIfIdle(_ direction: Direction)

    /// Tells the client that no more requests are wanted on this connection, where its protocol can say so between two
    /// answers. What is on its way is served.
    func announceEnd(_ direction: Direction)

    /// Waits no longer for the next request than this from now.
    func limitIdle(_ amount: TimeAmount)

    /// Ends what is in flight, so that its client sees it, and closes.
    ///
    /// - Parameter direction: Only a connection of this one, because the process stops; `nil` for whatever it is, because
    ///   memory is short.
    func cut(_ direction: Direction?)

    /// Bytes that wait on the connection: to be written, or to be sent on.
    var heldBytes: Int { get }
}
