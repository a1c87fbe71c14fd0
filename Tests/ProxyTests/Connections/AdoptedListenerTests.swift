// SPDX-License-Identifier: Apache-2.0

import Common
import NIOCore
import TestSupport
import Testing

@testable import Proxy

#if canImport(Glibc)
    import Glibc
#endif

/// A listening socket that is handed over by its descriptor.
@Suite struct AdoptedListenerTests {
    /// A socket of its own, bound to a free port.
    private struct Socket {
        let descriptor: CInt
        let address: SocketAddress

        init(_ type: __socket_type) async throws {
            self.descriptor = socket(AF_INET, CInt(type.rawValue), 0)
            self.address = try SocketAddress(ipAddress: "127.0.0.1", port: try await TestSidecar.freePort())
            let descriptor = self.descriptor
            let failed = unsafe self.address.withSockAddr { pointer, size in
                unsafe bind(descriptor, pointer, socklen_t(size))
            }
            #expect(failed == 0)
        }

        /// How many connections may wait to be accepted.
        ///
        /// - Source: tcp(7): `tcpi_sacked` of a socket that listens.
        var backlog: UInt32 {
            var info = [UInt32](repeating: 0, count: 8)
            var length = socklen_t(info.count * 4)
            let failed = unsafe getsockopt(self.descriptor, CInt(IPPROTO_TCP), TCP_INFO, &info, &length)
            return failed == 0 ? info[7] : 0
        }
    }

    @Test("who connected before it was handed over is served, and so is who comes later")
    func served() async throws {
        let socket = try await Socket(SOCK_STREAM)
        #expect(listen(socket.descriptor, 4_096) == 0)
        let (backlog, early) = (socket.backlog, try await TestClient.open(socket.address, tls: nil))
        try await early.send(TestListener.request)

        let listener = try await TestListener.open(adopting: socket.descriptor)
        #expect(listener.listener.address == socket.address)
        // As long as before: the library's own one is shorter.
        #expect(socket.backlog == backlog && backlog > 128)
        let late = try await listener.connect()
        try await late.send(TestListener.request)
        for client in [early, late] { try await client.answer() }
        #expect(try await listener.holds(2))
        for client in [early, late] { await client.close() }
        #expect(try await listener.holds(0))
        try await listener.close()
        // It is the listener's, which has stopped.
        await #expect(throws: (any Error).self) { try await TestConnection.open(socket.address) }
    }

    @Test("what does not listen is refused, and stays whose it was")
    func refused() async throws {
        let known = try await TestListener.open()
        let setup = Listener.Setup(workers: known.workers, metrics: known.metrics, logger: known.log.logger)
        let (silent, datagrams) = (try await Socket(SOCK_STREAM), try await Socket(SOCK_DGRAM))
        let file = unsafe open("/dev/null", O_RDONLY)
        for descriptor in [silent.descriptor, datagrams.descriptor, file] {
            await #expect(throws: MesherError.self) {
                try await Listener.adopt(descriptor: descriptor, as: known.listener.spec, setup)
            }
            #expect(fcntl(descriptor, F_GETFD) >= 0)
            close(descriptor)
        }
        await #expect(throws: MesherError.self) {
            try await Listener.adopt(descriptor: -1, as: known.listener.spec, setup)
        }
        try await known.close()
    }
}
