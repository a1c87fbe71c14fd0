// SPDX-License-Identifier: Apache-2.0
// request path

/// The life of one HTTP/1.1 client connection, request after request.
///
/// Pure: events in, decisions out.
///
/// - Source: RFC 9112 §9.
package struct HTTP1ServerState {
    /// What the next bytes from the client are.
    package enum Input: Equatable {
        /// A request, or the rest of its head.
        case head
        /// The body of the request in flight.
        case body
        /// Later requests: kept until the one in flight is answered.
        case later
        case tunnel
        /// Whatever they are, nobody wants them: the connection is closing.
        case discarded
    }

    /// What follows a complete response.
    package enum AfterResponse: Equatable {
        /// The next request may begin.
        case nextRequest
        /// Close; the client has sent everything that it was asked to.
        case close
        /// Close, but read on for a while: the client may still be sending, and a reset would destroy the answer.
        case linger
    }

    /// What follows when the client has closed its sending side.
    package enum OnInputClosed: Equatable {
        /// Nothing is in flight: close.
        case close
        /// The request is complete, so its answer is still sent.
        ///
        /// Wait for its beginning only so long.
        case awaitResponse
        /// The request will never be complete.
        case abort
        /// Pass it on to the other end of the tunnel.
        case endTunnelInput
    }

    /// See ``Input``.
    package private(set) var input = Input.head
    /// Whether the client has closed its sending side.
    package private(set) var isInputClosed = false
    private var isExchanging = false
    private var isResponseBegun = false
    private var isHTTP10 = false
    private var keepsAlive = true
    /// Whether there was a request.
    package private(set) var hasServed = false

    /// A connection that waits for its first request.
    package init() {}

    /// Whether nothing is in flight.
    package var isIdle: Bool { !self.isExchanging && self.input == .head }

    /// The head of a request is complete.
    package mutating func requestBegan(_ head: RequestHead) {
        self.isExchanging = true
        self.hasServed = true
        self.isResponseBegun = false
        self.isHTTP10 = head.minorVersion == 0
        self.keepsAlive = head.wantsKeepAlive
        self.input = head.hasBody ? .body : .later
    }

    /// The body of the request is complete.
    package mutating func requestEnded() {
        if self.input == .body { self.input = .later }
    }

    /// Where requests begin and end is lost: nothing after this is read as one.
    package mutating func requestFailed() {
        self.isExchanging = true
        self.keepsAlive = false
        if self.input != .tunnel { self.input = .discarded }
    }

    /// A response begins: how its body is delimited, and what its head says about the connection.
    ///
    /// - Parameter hasUnknownLength: Whether a body follows, of a length that the head does not tell.
    /// - Parameter hasLater: Whether bytes of later requests are waiting.
    /// - Parameter isDraining: The process is stopping.
    package mutating func responseBegan(hasUnknownLength: Bool, hasLater: Bool, isDraining: Bool) -> (
        framing: HTTP1Writer.Framing, connection: HTTP1Writer.ConnectionField
    ) {
        self.isResponseBegun = true
        let framing: HTTP1Writer.Framing =
            hasUnknownLength ? (self.isHTTP10 ? .untilClose : .chunked) : .byHead
        // An answer to half a request: what the client sends from here on cannot be told from a next request.
        let isHalfAnswered = framing == .untilClose || self.input == .body
        let isLast = self.isInputClosed && !hasLater
        if isDraining || isHalfAnswered || isLast { self.keepsAlive = false }
        return (framing, self.keepsAlive ? (self.isHTTP10 ? .keepAlive : .none) : .close)
    }

    /// The response is complete.
    package mutating func responseEnded() -> AfterResponse {
        let isWholeRequest = self.input == .later
        self.isExchanging = false
        if self.keepsAlive, isWholeRequest {
            self.input = .head
            return .nextRequest
        }
        self.input = .discarded
        return isWholeRequest || self.isInputClosed ? .close : .linger
    }

    /// Both sides exchange bytes from now on.
    package mutating func tunnelBegan() {
        self.input = .tunnel
        self.isResponseBegun = true
        self.keepsAlive = false
    }

    /// A CONNECT was answered that leads to a service: requests of HTTP follow, whatever this one said.
    package mutating func tunnelLeadsInside() {
        self.isResponseBegun = true
        self.keepsAlive = true
    }

    /// The client has closed its sending side.
    package mutating func inputClosed() -> OnInputClosed {
        self.isInputClosed = true
        switch self.input {
        case .head, .discarded: return .close
        case .body: return .abort
        case .tunnel: return .endTunnelInput
        case .later: return .awaitResponse
        }
    }

    /// Whether the head of the final response was sent.
    package var hasResponseBegun: Bool { self.isResponseBegun }
}
