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
    ///
    /// Also an IPv6 address without brackets, as `${INSTANCE_IP}:30101` becomes one: what is behind the last colon is the
    /// port.
    package init(_ text: String) throws(ConfigMistake) {
        guard let colon = text.lastIndex(of: ":"), let port = Int(text[text.index(after: colon)...]),
            (0...65535).contains(port)
        else { throw Self.mistake(in: text, "\"\(text)\" is no listen address") }
        var host = text[..<colon]
        let isBracketed = host.hasPrefix("[") && host.hasSuffix("]")
        if isBracketed { host = host.dropFirst().dropLast() }
        guard !isBracketed || host.contains(":"),
            let address = try? SocketAddress(ipAddress: String(host), port: port)
        else { throw Self.mistake(in: text, "IP format error, input is [\(text)]") }
        self.host = String(host)
        self.port = port
        self.socketAddress = address
    }

    /// With what was probably meant: of what people write, a port alone, a name, a scheme or bare IPv6.
    private static func mistake(in text: String, _ problem: String) -> ConfigMistake {
        func isAddress(_ host: some StringProtocol) -> Bool {
            (try? SocketAddress(ipAddress: String(host), port: 0)) != nil
        }
        let rest = text.firstRange(of: "://").map { text[$0.upperBound...] } ?? text[...]
        let colon = rest.lastIndex(of: ":")
        var host = rest[..<(colon ?? rest.endIndex)]
        let port = colon.map { rest[rest.index(after: $0)...] } ?? ""
        if let number = Int(port), number > 65_535, isAddress(host) {
            return ConfigMistake(problem, remedy: "ports end at 65535")
        }
        if host == "localhost" || host.isEmpty { host = "127.0.0.1" }
        if isAddress(host), Int(port).map({ (1...65_535).contains($0) }) == true {
            return ConfigMistake(problem, remedy: "write \(String(host).asHost):\(port)")
        }
        if let number = Int(rest), (1...65_535).contains(number) {
            return ConfigMistake(problem, remedy: "write 127.0.0.1:\(number)")
        }
        let example = isAddress(rest) ? String(rest).asHost : "127.0.0.1"
        return ConfigMistake(problem, remedy: "write ip:port, such as \(example):30101")
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

extension ConfigKind {
    /// Four numbers, or IPv6 with or without brackets, and a port.
    static var addressShape: Shape {
        .matching(
            "(?:[0-9]{1,3}(?:\\.[0-9]{1,3}){3}|\\[[0-9a-fA-F:.]+(?:%[^\\]]+)?\\]|[0-9a-fA-F:]+:[0-9a-fA-F:.]*(?:%[^\\]]+)?):[+]?[0-9]+"
        )
    }
}

extension ConfigKind<ListenAddress?> {
    /// An address to listen on.
    package static var listenAddress: Self {
        Self("ip:port", shape: Self.addressShape, describe: { $0?.description ?? "" }) {
            text throws(ConfigMistake) in try ListenAddress(text)
        }
    }
}
