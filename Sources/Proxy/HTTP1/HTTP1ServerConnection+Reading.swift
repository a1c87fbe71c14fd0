// SPDX-License-Identifier: Apache-2.0
// request path

import Common
import NIOCore

/// When an HTTP/1.1 client is read from, and what is kept of what it sends.
extension HTTP1ServerConnection {
    /// Why a client is not read from.
    struct Pauses: OptionSet {
        let rawValue: UInt8
        /// The upstream takes no more of the request.
        static var upstream: Self { Self(rawValue: 1) }
        /// More was sent ahead than is kept.
        static var unread: Self { Self(rawValue: 2) }
        /// The client does not take the answers to earlier requests.
        static var answers: Self { Self(rawValue: 4) }
    }

    /// More than this is not kept of what a client sends ahead, or sends before it closes its side, which the channel
    /// reads whatever it is told.
    private static var mostUnread: Int { 1 << 20 }

    /// Has the channel read once in an event, where it did not from the beginning.
    ///
    /// It reads again only after a read that filled its buffer, and the first buffers are small: until then nothing needs
    /// to be said, and most connections never send as much. Saying it to each costs a fiftieth of its instructions.
    func readOnce(_ context: ChannelHandlerContext) {
        guard self.mayReadOften else { return }
        self.mayReadOften = false
        try? context.channel.syncOptions?.setOption(.maxMessagesPerRead, value: ProxySettings.readsPerEvent)
    }

    func keep(_ input: ByteBuffer) {
        guard input.readableBytes > 0, self.state.input != .discarded else { return }
        self.unread = input
        guard self.state.input == .later else { return }
        if input.readableBytes > self.plan.settings.buffer { self.pause(.unread, true) }
        if input.readableBytes > max(Self.mostUnread, self.plan.settings.buffer) {
            self.worker.metrics.count(.sentAhead)
            self.state.requestFailed()
            self.unread = nil
            self.context?.close(promise: nil)
        }
    }

    /// No further request is taken, and nothing is read, until the client takes the answers that it has.
    func awaitReader() {
        self.pause(.answers, true)
        self.setDeadline(after: self.plan.settings.stream)
    }

    package func setReading(_ isReading: Bool) { self.pause(.upstream, !isReading) }

    /// Reads only while nothing speaks against it.
    func pause(_ reason: Pauses, _ isPaused: Bool) {
        let before = self.pauses
        if isPaused { self.pauses.insert(reason) } else { self.pauses.remove(reason) }
        guard before.isEmpty != self.pauses.isEmpty else { return }
        try? self.context?.channel.syncOptions?.setOption(.autoRead, value: self.pauses.isEmpty)
    }

    /// An exchange is over: what was sent ahead is looked at, and read on.
    func readOn() {
        if !self.pauses.isEmpty {
            self.pause(.upstream, false)
            self.pause(.unread, false)
        }
    }
}
