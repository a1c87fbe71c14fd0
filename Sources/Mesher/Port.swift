// SPDX-License-Identifier: Apache-2.0

import NIOCore
import NIOPosix

#if canImport(Glibc)
    import Glibc
#endif

/// Ports of commands for a person at a terminal.
enum Port {
    /// Whether nobody listens there; waits for the answer of the system.
    static func isFree(_ port: Int, of host: String = "127.0.0.1") -> Bool {
        do {
            try Self.bootstrap.bind(host: host, port: port).wait().close().wait()
            return true
        } catch {
            return false
        }
    }

    // It accepts nobody: who comes now is refused when it closes, and would wait in vain otherwise.
    private static var bootstrap: ServerBootstrap {
        ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .serverChannelOption(.autoRead, value: false)
    }

    /// Ends at once when a port is taken: components would try again and again, which is no way to greet a newcomer.
    static func check(_ port: Int, of host: String = "127.0.0.1", option: String) async throws {
        do {
            try await Self.bootstrap.bind(host: host, port: port).get().close().get()
        } catch let error as IOError where error.errnoCode == EADDRINUSE {
            throw Exit.because("port \(port) is taken; free it, or choose another with \(option)")
        } catch {
            throw Exit.because("cannot listen at \(host), port \(port): \(error); choose another with \(option)")
        }
    }
}
