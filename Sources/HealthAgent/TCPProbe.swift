// SPDX-License-Identifier: Apache-2.0

import Common
import NIOCore
import NIOPosix

/// Well is what accepts a connection.
struct TCPProbe: Probe {
    let port: UInt16
    let timeout: Duration
    let loops: any EventLoopGroup

    func check() async -> String? {
        do {
            let channel = try await ClientBootstrap(group: self.loops)
                .connectTimeout(TimeAmount(self.timeout))
                .connect(to: SocketAddress(ipAddress: "127.0.0.1", port: Int(self.port)))
                .getCancellable(late: { $0.close(promise: nil) })
            channel.close(promise: nil)
            return nil
        } catch {
            return "cannot connect to port \(self.port)"
        }
    }
}
