// SPDX-License-Identifier: Apache-2.0

import Proxy
import Testing

@Suite struct HTTP1ServerStateTests {
    private func head(minor: UInt8 = 1, flags: RequestHead.Flags = [], length: Int = 0) -> RequestHead {
        var head = RequestHead()
        head.minorVersion = minor
        head.flags = flags
        head.contentLength = length
        return head
    }

    @Test("an ordinary exchange is followed by the next")
    func keepAlive() {
        var state = HTTP1ServerState()
        state.requestBegan(self.head())
        #expect(state.input == .later)
        #expect(!state.isIdle)
        let (framing, connection) = state.responseBegan(hasUnknownLength: false, hasLater: false, isDraining: false)
        #expect(framing == .byHead && connection == .none)
        #expect(state.responseEnded() == .nextRequest)
        #expect(state.isIdle)
    }

    @Test(
        "what a response says about the connection",
        arguments: [
            (1, [], false, false, .byHead, .none),
            (1, [], true, false, .chunked, .none), (1, .close, false, false, .byHead, .close),
            (1, [], false, true, .byHead, .close), (0, [], false, false, .byHead, .close),
            (0, .keepAlive, false, false, .byHead, .keepAlive), (0, .keepAlive, true, false, .untilClose, .close),
        ] as [(UInt8, RequestHead.Flags, Bool, Bool, HTTP1Writer.Framing, HTTP1Writer.ConnectionField)])
    func response(
        minor: UInt8, flags: RequestHead.Flags, unknown: Bool, draining: Bool, framing: HTTP1Writer.Framing,
        connection: HTTP1Writer.ConnectionField
    ) {
        var state = HTTP1ServerState()
        state.requestBegan(self.head(minor: minor, flags: flags))
        let decided = state.responseBegan(hasUnknownLength: unknown, hasLater: false, isDraining: draining)
        #expect(decided.framing == framing)
        #expect(decided.connection == connection)
        #expect(state.responseEnded() == (connection == .close ? .close : .nextRequest))
    }

    @Test("an answer to half a request closes, and lets the client see it")
    func earlyAnswer() {
        var state = HTTP1ServerState()
        state.requestBegan(self.head(length: 10))
        #expect(state.input == .body)
        #expect(state.responseBegan(hasUnknownLength: false, hasLater: false, isDraining: false).connection == .close)
        #expect(state.responseEnded() == .linger)
        #expect(state.input == .discarded)
    }

    @Test("a body that ends while the answer is sent still closes: the answer said so")
    func lateEnd() {
        var state = HTTP1ServerState()
        state.requestBegan(self.head(length: 10))
        _ = state.responseBegan(hasUnknownLength: true, hasLater: false, isDraining: false)
        state.requestEnded()
        #expect(state.responseEnded() == .close)
    }

    @Test("a client that closed its side: before, in the middle of and after its request")
    func inputClosed() {
        var idle = HTTP1ServerState()
        #expect(idle.inputClosed() == .close)
        var half = HTTP1ServerState()
        half.requestBegan(self.head(length: 10))
        #expect(half.inputClosed() == .abort)
        var whole = HTTP1ServerState()
        whole.requestBegan(self.head())
        #expect(whole.inputClosed() == .awaitResponse)
        #expect(whole.responseBegan(hasUnknownLength: false, hasLater: false, isDraining: false).connection == .close)
        #expect(whole.responseEnded() == .close)
        var tunnel = HTTP1ServerState()
        tunnel.requestBegan(self.head())
        tunnel.tunnelBegan()
        #expect(tunnel.inputClosed() == .endTunnelInput)
    }

    @Test("a client that closed its side after several requests gets all answers")
    func inputClosedPipelined() {
        var state = HTTP1ServerState()
        state.requestBegan(self.head())
        #expect(state.inputClosed() == .awaitResponse)
        #expect(state.responseBegan(hasUnknownLength: false, hasLater: true, isDraining: false).connection == .none)
        #expect(state.responseEnded() == .nextRequest)
        state.requestBegan(self.head())
        #expect(state.responseBegan(hasUnknownLength: false, hasLater: false, isDraining: false).connection == .close)
        #expect(state.responseEnded() == .close)
    }

    @Test("after a broken request nothing is read any more")
    func broken() {
        var state = HTTP1ServerState()
        state.requestFailed()
        #expect(state.input == .discarded)
        #expect(state.responseBegan(hasUnknownLength: false, hasLater: false, isDraining: false).connection == .close)
        #expect(state.responseEnded() == .linger)
    }
}
