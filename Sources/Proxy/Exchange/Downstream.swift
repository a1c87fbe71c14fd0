// SPDX-License-Identifier: Apache-2.0
// request path

package import NIOCore

/// The side that a request came from: an HTTP/1.1 connection, or one stream of an HTTP/2 connection.
///
/// The driver calls it on the event loop, and never after ``exchangeEnded()``. What is to be sent stands in the driver's
/// exchange; it is read before anything is written, since a failing write may end the exchange right then.
package protocol Downstream: AnyObject {
    /// Sends an interim (1xx) response, whose head the exchange holds.
    func sendInterim(_ driver: ExchangeDriver)

    /// Sends the head of the response, which the exchange holds, and with it the first of its body.
    ///
    /// - Parameter bodyLength: The body's length where it is known in advance; `nil` when only its end will tell.
    /// - Parameter isComplete: Nothing follows.
    func sendResponse(_ driver: ExchangeDriver, bodyLength: Int?, body: ByteBuffer?, isComplete: Bool)

    /// Sends more of the body; with the last piece the trailers, if the exchange has some.
    func sendBody(_ driver: ExchangeDriver, body: ByteBuffer?, isComplete: Bool)

    /// Sends a complete answer of mesher's own.
    func sendReply(_ reply: LocalReply)

    /// Ends the response where it is, so that the client sees that it is cut.
    func abortResponse()

    /// The exchange is over; the next request may begin.
    func exchangeEnded()

    /// Back-pressure: whether more of the request is wanted.
    func setReading(_ isReading: Bool)

    /// Sends the head of a 101 response; from now on both sides exchange bytes.
    func beginTunnel(_ driver: ExchangeDriver)

    /// Sends bytes of the tunnel.
    func writeTunnel(_ bytes: ByteBuffer)

    /// The upstream will send no more.
    func endTunnelOutput()
}

/// The side that a request goes to: an HTTP/1.1 connection, or one stream of an HTTP/2 connection.
///
/// The driver calls it on the event loop, and never after ``cancel()`` or after it has reported the end of the response
/// or its own failure.
package protocol Upstream: AnyObject {
    /// Whether it can say afterwards that it has not looked at a request, so that this may be sent elsewhere.
    var mayRefuse: Bool { get }

    /// Sends the head of the request, which the exchange holds, and with it the first of its body.
    ///
    /// - Parameter isComplete: Nothing follows.
    func sendRequest(_ driver: ExchangeDriver, body: ByteBuffer?, isComplete: Bool)

    /// Sends more of the body; with the last piece the trailers, if the exchange has some.
    func sendBody(_ driver: ExchangeDriver, body: ByteBuffer?, isComplete: Bool)

    /// Becomes the far end of a tunnel, without a word of HTTP.
    ///
    /// - Returns: `false` when the connection is gone already.
    func openTunnel(_ driver: ExchangeDriver) -> Bool

    /// Nobody waits for the response any more.
    func cancel()

    /// Back-pressure: whether more of the response is wanted.
    func setReading(_ isReading: Bool)

    /// Sends bytes of the tunnel.
    func writeTunnel(_ bytes: ByteBuffer)

    /// The client will send no more.
    func endTunnelOutput()
}
