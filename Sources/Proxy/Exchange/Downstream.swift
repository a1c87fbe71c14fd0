// SPDX-License-Identifier: Apache-2.0
// request path

package import NIOCore

/// The side that a request came from: an HTTP/1.1 connection, or one stream of an HTTP/2 connection.
///
/// The driver calls it on the event loop, and never after ``exchangeEnded()``. What is to be sent stands in the driver's
/// exchange. It answers by its return values and never calls the driver back inside a call.
package protocol Downstream: AnyObject {
    /// Sends an interim (1xx) response, whose head the exchange holds.
    func sendInterim(_ driver: ExchangeDriver)

    /// Sends the head of the response, which the exchange holds, and with it the first of its body.
    ///
    /// - Parameter bodyLength: The body's length where it is known in advance; `nil` when only its end will tell.
    /// - Parameter isComplete: Nothing follows.
    /// - Returns: Whether it takes more now; if not it says so later, see ``ExchangeDriver/downstreamWritable(_:)``.
    func sendResponse(_ driver: ExchangeDriver, bodyLength: Int?, body: ByteBuffer?, isComplete: Bool) -> Bool

    /// Sends more of the body; with the last piece the trailers, if the exchange has some.
    ///
    /// - Returns: Whether it takes more now.
    func sendBody(_ driver: ExchangeDriver, body: ByteBuffer?, isComplete: Bool) -> Bool

    /// Sends a complete answer of mesher's own.
    func sendReply(_ reply: LocalReply, _ driver: ExchangeDriver)

    /// Ends the response where it is, so that the client sees that it is cut.
    func abortResponse(_ driver: ExchangeDriver)

    /// The exchange is over, and the driver is free: the last call.
    func exchangeEnded()

    /// Back-pressure: whether more of the request is wanted.
    func setReading(_ isReading: Bool)

    /// Sends the head of a response after which both sides exchange bytes.
    ///
    /// - Returns: What the client has sent already.
    func beginTunnel(_ driver: ExchangeDriver) -> ByteBuffer?

    /// Sends bytes of the tunnel.
    ///
    /// - Returns: Whether it takes more now.
    func writeTunnel(_ bytes: ByteBuffer) -> Bool

    /// The upstream will send no more.
    func endTunnelOutput()
}

/// The side that a request goes to: an HTTP/1.1 connection, or one stream of an HTTP/2 connection.
///
/// It serves one ticket at a time, and calls the driver with it. It answers by its return values and never calls the
/// driver back inside a call.
package protocol Upstream: AnyObject {
    /// Whether it can say afterwards that it has not looked at a request, so that this may be sent elsewhere.
    var mayRefuse: Bool { get }

    /// Sends the head of the request, which the exchange holds, and with it the first of its body.
    ///
    /// - Parameter isComplete: Nothing follows.
    func sendRequest(_ ticket: Ticket, body: ByteBuffer?, isComplete: Bool) -> SentRequest

    /// Sends more of the body; with the last piece the trailers, if the exchange has some.
    ///
    /// - Returns: Whether it takes more now; if not it says so later, see
    ///   ``ExchangeDriver/upstreamWritable(_:_:)``.
    func sendBody(_ ticket: Ticket, body: ByteBuffer?, isComplete: Bool) -> Bool

    /// Becomes the far end of a tunnel, without a word of HTTP.
    ///
    /// - Returns: `false` when the connection is gone already, or is none that could.
    func openTunnel(_ ticket: Ticket) -> Bool

    /// Nobody waits for the response any more; does nothing when another ticket is served.
    func cancel(_ ticket: Ticket, because reason: Cancellation)

    /// Back-pressure: whether more of the response is wanted.
    func setReading(_ isReading: Bool)

    /// Sends bytes of the tunnel.
    ///
    /// - Returns: Whether it takes more now.
    func writeTunnel(_ bytes: ByteBuffer) -> Bool

    /// The client will send no more.
    func endTunnelOutput()
}

/// What became of the head of a request.
package enum SentRequest {
    /// It is on its way.
    ///
    /// - Parameter takesMore: Whether the upstream takes more now.
    case sent(takesMore: Bool)
    /// Nothing was sent: the connection is gone already.
    case lost
}

/// Why an upstream is let go before it has answered.
package enum Cancellation {
    /// The client is gone, or what it sends is broken.
    case gone
    /// The upstream took too long.
    case late
    /// Its answer is not wanted: the call is tried again, or its interim answers are too many.
    case unwanted
}
