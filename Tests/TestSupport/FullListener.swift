// SPDX-License-Identifier: Apache-2.0

import Foundation
import NIOCore
import NIOPosix

/// A listener that accepts nothing and whose queue is full: connecting to it goes on until someone gives up.
package final class FullListener: Sendable {
    private let channel: any Channel
    private let queued: [any Channel]

    private init(_ channel: any Channel, _ queued: [any Channel]) {
        self.channel = channel
        self.queued = queued
    }

    /// Listens on a free port of 127.0.0.1 and fills the queue.
    package static func start() async throws -> FullListener {
        let group = MultiThreadedEventLoopGroup.singleton
        let channel = try await ServerBootstrap(group: group)
            .serverChannelOption(.backlog, value: 1)
            .serverChannelOption(.autoRead, value: false)
            .bind(host: "127.0.0.1", port: 0).get()
        var queued: [any Channel] = []
        let client = ClientBootstrap(group: group).connectTimeout(.milliseconds(200))
        let port = channel.localAddress?.port ?? 0
        while let one = try? await client.connect(host: "127.0.0.1", port: port).get() { queued.append(one) }
        return FullListener(channel, queued)
    }

    /// Where it listens.
    package var port: Int { self.channel.localAddress?.port ?? 0 }

    /// Whether somebody is connecting to it at this moment.
    ///
    /// - Source: proc(5): the addresses of a connection in hexadecimal, then its state; 02 is SYN_SENT.
    package var isCalled: Bool {
        let called = String(format: ":%04X 02 ", self.port)
        // Its size is said to be 0, which is what whole files are read by.
        let table = FileHandle(forReadingAtPath: "/proc/net/tcp")?.readDataToEndOfFile() ?? Data()
        return String(decoding: table, as: UTF8.self).contains(called)
    }

    /// Listens no more.
    package func stop() async {
        for channel in self.queued + [self.channel] { try? await channel.close().get() }
    }
}
