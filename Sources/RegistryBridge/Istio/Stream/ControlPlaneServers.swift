// SPDX-License-Identifier: Apache-2.0

import Common

/// The replicas of a control plane, and which of them to call when.
actor ControlPlaneServers {
    /// One call that is due.
    struct Turn: Sendable {
        let place: ServerPlace
        let server: ServerAddress
        /// Without brackets; `nil` while nobody knows what the name stands for.
        let address: String?
    }

    private let servers: [String: ServerAddress]
    private var addresses: AddressPool
    private let names: NameBook

    /// - Parameter resolver: Looks up the names of servers.
    init(_ servers: [ServerAddress], pace: Reconnect.Pace, resolver: NameResolver = .shared) {
        self.servers = Dictionary(servers.map { ($0.text, $0) }) { first, _ in first }
        let names = NameBook(resolver, for: .servers)
        self.names = names
        self.addresses = AddressPool(servers.map(\.text), pace: pace) { names[$0] }
        names.use(self.addresses.names)
    }

    /// Where to call, when that may be; `nil` when cancelled.
    func next() async -> Turn? {
        while !Task.isCancelled {
            if let place = self.addresses.pick(at: .now), !place.isKnown, let name = place.name {
                await self.names.firstAnswer(about: name)
            }
            if let place = self.addresses.take(at: .now), let server = self.servers[place.url] {
                let literal = server.isName ? nil : server.host
                return Turn(place: place, server: server, address: place.address ?? literal)
            }
            try? await Task.sleep(for: max(self.addresses.pause(at: .now), .milliseconds(1)))
        }
        return nil
    }

    /// A server has answered.
    func succeeded(_ place: ServerPlace) { self.addresses.succeeded(place, at: .now) }

    /// A call has failed, or its stream has ended.
    func failed(_ place: ServerPlace) { self.addresses.failed(place, at: .now) }
}

/// A name of a server is not known to anybody.
struct UnknownHost: Error, CustomStringConvertible {
    var description: String { "no address is known of this host" }
}
