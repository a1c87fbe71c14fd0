// SPDX-License-Identifier: Apache-2.0

package import NIOCore

/// An `ip:port` to listen on.
package struct ListenAddress: Sendable, Equatable {
    /// IPv4 or IPv6, without brackets.
    package let host: String
    /// 0…65535; 0 lets the kernel choose, for tests.
    package let port: Int
    /// The same for sockets.
    package let socketAddress: SocketAddress

    /// Reads `ip:port` or `[ip]:port`.
    package init(_ text: String) throws(ConfigMistake) {
        guard let colon = text.lastIndex(of: ":"), let port = Int(text[text.index(after: colon)...]),
            (0...65535).contains(port)
        else {
            throw ConfigMistake(
                "\"\(text)\" is no listen address", remedy: "write ip:port, such as 127.0.0.1:30101")
        }
        var host = text[..<colon]
        let isBracketed = host.hasPrefix("[") && host.hasSuffix("]")
        if isBracketed { host = host.dropFirst().dropLast() }
        guard isBracketed == host.contains(":"),
            let address = try? SocketAddress(ipAddress: String(host), port: port)
        else {
            throw ConfigMistake(
                "IP format error, input is [\(text)]",
                remedy: "write four numbers from 0 to 255 and a port, such as 127.0.0.1:30101")
        }
        self.host = String(host)
        self.port = port
        self.socketAddress = address
    }

    /// Whether it is 0.0.0.0 or ::.
    package var isWildcard: Bool { self.host == "0.0.0.0" || self.host == "::" }

    /// Whether it is on this machine only.
    package var isLoopback: Bool { self.host.hasPrefix("127.") || self.host == "::1" }
}

extension ListenAddress: CustomStringConvertible {
    /// As it would be written.
    package var description: String {
        "\(self.host.asHost):\(self.port)"
    }
}

extension ConfigKind<ListenAddress?> {
    /// An address to listen on.
    package static var listenAddress: Self {
        Self("ip:port", describe: { $0?.description ?? "" }) { text throws(ConfigMistake) in try ListenAddress(text) }
    }
}
