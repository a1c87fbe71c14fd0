// SPDX-License-Identifier: Apache-2.0

package import NIOCore

/// An endpoint as registries keep it: `scheme://host:port[?sslEnabled=true]`, with an address or a name for its host.
package struct EndpointText: Sendable, Hashable {
    /// The registry's name of the protocol.
    package let protocolName: String
    /// An address without brackets, or a name in lower case.
    package let host: String
    /// 1…65535.
    package let port: Int
    /// Whether the endpoint asks for TLS.
    package let usesTLS: Bool
    /// Where to connect to; `nil` when the host is a name.
    package let address: SocketAddress?

    /// Reads an endpoint.
    package init(_ text: String) throws(Endpoint.Mistake) {
        guard let scheme = text.range(ofFirst: "://"), scheme.lowerBound > text.startIndex else { throw .scheme }
        self.protocolName = String(text[..<scheme.lowerBound])
        let rest = text[scheme.upperBound...]
        let query = rest.firstIndex(of: "?")
        self.usesTLS = query.map { rest[$0...].contains("sslEnabled=true") } ?? false
        let authority = rest[..<(query ?? rest.endIndex)].prefix { $0 != "/" }
        guard let colon = authority.lastIndex(of: ":"), let port = Int(authority[authority.index(after: colon)...]),
            (1...65535).contains(port)
        else { throw .port }
        self.port = port
        let host = authority[..<colon].filter { $0 != "[" && $0 != "]" }
        self.address = try? SocketAddress(ipAddress: String(host), port: port)
        self.host = self.address == nil ? host.lowercased() : String(host)
        guard self.address != nil || HostName.isName(self.host) else { throw .host }
    }

    /// The endpoint's text with an address in the place of its host.
    package func text(at address: String) -> String {
        "\(self.protocolName)://\(address.asHost):\(self.port)\(self.usesTLS ? "?sslEnabled=true" : "")"
    }
}

extension ServiceDirectoryBuilder {
    /// What the endpoints of one instance are when its names are looked up.
    package enum Places {
        /// A name is still being looked up.
        case pending
        /// The endpoints at each of its addresses.
        case known([[Endpoint]])
    }

    /// The places of an instance with these endpoints.
    ///
    /// A name with several addresses makes as many places, like that many instances. An endpoint whose name has no address is
    /// left out.
    ///
    /// - Parameter names: What is known of names; `nil` where they are not looked up.
    package mutating func places(of texts: [EndpointText], _ names: NameBook?) -> Places {
        var choices: [[String]] = []
        for text in texts {
            if text.address != nil {
                choices.append([text.host])
            } else if let names {
                guard let addresses = names[text.host] else { return .pending }
                choices.append(addresses)
            } else {
                choices.append([])
            }
        }
        let count = choices.lazy.map(\.count).max() ?? 0
        var places: [[Endpoint]] = []
        for index in 0..<count {
            var endpoints: [Endpoint] = []
            for (text, addresses) in zip(texts, choices) where !addresses.isEmpty {
                if let endpoint = self.endpoint(text, at: addresses[index % addresses.count]) {
                    endpoints.append(endpoint)
                }
            }
            places.append(endpoints)
        }
        return .known(places)
    }
}
