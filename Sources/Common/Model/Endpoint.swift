// SPDX-License-Identifier: Apache-2.0

package import NIOCore

/// One address at which an instance speaks one protocol.
///
/// A class, so that its identity stays the same from one directory to the next: the event loops key their connection
/// pools and balancing state by it.
package final class Endpoint: Sendable {
    /// What an endpoint text lacks.
    package enum Mistake: Error, Equatable {
        /// No `scheme://` in front.
        case scheme
        /// No port, or one outside 1…65535.
        case port
        /// The host is no IP address, and where names are looked up no name either.
        case host
    }

    /// The registry's name of the protocol: `rest`, `grpc`, `rest-admin` ….
    package let protocolName: String
    /// An IPv4 or IPv6 address, without brackets.
    package let host: String
    /// 1…65535.
    package let port: Int
    /// `scheme://ip:port`, as logs have it.
    package let url: String
    /// Where to connect to.
    package let address: SocketAddress
    /// The same without the port, to compare.
    package let ip: IPAddress
    /// Whether ``host`` is an IPv6 address, which stands in brackets where a port follows.
    package var isV6: Bool { if case .v6 = self.address { true } else { false } }
    /// Whether the endpoint asks for TLS (`?sslEnabled=true`).
    package let usesTLS: Bool
    /// How it has served lately.
    package let health = EndpointHealth()
    /// What was sent to it.
    package let traffic = Sharded { EndpointShard() }

    /// Reads `scheme://ip:port[?sslEnabled=true]`, the form in which registries keep endpoints.
    package convenience init(_ text: String) throws(Mistake) {
        let parts = try EndpointText(text)
        guard let address = parts.address, let ip = IPAddress(address) else { throw .host }
        self.init(parts, address, ip)
    }

    private init(_ parts: EndpointText, _ address: SocketAddress, _ ip: IPAddress) {
        self.protocolName = parts.protocolName
        self.usesTLS = parts.usesTLS
        self.ip = ip
        self.host = parts.host
        self.port = parts.port
        self.address = address
        self.url =
            "\(parts.protocolName)://\(parts.host.asHost):\(parts.port)"
    }

    /// A plain-text endpoint on this machine.
    package init(loopbackPort port: UInt16, protocolName: String) {
        self.protocolName = protocolName
        self.host = "127.0.0.1"
        self.port = Int(port)
        self.usesTLS = false
        self.ip = IPAddress(v4: 0x7f00_0001)
        var bytes = ByteBuffer()
        bytes.writeBytes([127, 0, 0, 1])
        guard let address = try? SocketAddress(packedIPAddress: bytes, port: Int(port)) else {
            preconditionFailure("four bytes are an IPv4 address")
        }
        self.address = address
        self.url = "\(protocolName)://127.0.0.1:\(port)"
    }

    /// The same address with another port; `nil` when that is none.
    package func moved(to port: Int) -> Endpoint? {
        try? Endpoint("\(self.protocolName)://\(self.host.asHost):\(port)\(self.usesTLS ? "?sslEnabled=true" : "")")
    }

    /// Whether the address is one of this machine's own: 127/8 or ::1.
    package var isLoopback: Bool { self.host.hasPrefix("127.") || self.host == "::1" }
}

extension Endpoint: CustomStringConvertible {
    /// The text that it was read from, in its shortest form.
    package var description: String { self.usesTLS ? self.url + "?sslEnabled=true" : self.url }
}

extension String {
    /// Where `text` is found first; the standard library has it only with Foundation.
    package func range(ofFirst text: String) -> Range<Index>? {
        guard let first = text.first else { return nil }
        var start = self.startIndex
        while let found = self[start...].firstIndex(of: first) {
            if self[found...].hasPrefix(text) { return found..<self.index(found, offsetBy: text.count) }
            start = self.index(after: found)
        }
        return nil
    }
}
