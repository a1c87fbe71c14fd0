// SPDX-License-Identifier: Apache-2.0
// request path

package import Common
import Synchronization

/// The sidecar's own listeners, to which it must never send a request: neither when a client names them, nor when a
/// registry publishes them as an instance.
///
/// The listener of incoming requests is none of them where a registry publishes it: the local application may call its
/// own service.
///
/// - Source: promise T4.
package struct OwnListeners: Sendable {
    /// Which one.
    package enum Listener: Sendable {
        case outgoing
        case incoming
        case admin
    }

    private struct Place: Sendable {
        let listener: Listener
        let port: Int
        /// The listener's addresses, or every one of the machine when it listens on all.
        let addresses: [IPAddress]
        let isWildcard: Bool

        func holds(_ address: IPAddress) -> Bool {
            let address = address.inner
            // Connecting to 0.0.0.0 reaches this machine as 127.0.0.1 does.
            if address.isUnspecified { return self.isWildcard || self.addresses.contains(where: \.isLoopback) }
            return (self.isWildcard && address.isLoopback) || self.addresses.contains(address)
        }
    }

    /// What was said already, by whichever event loop.
    private final class Reports: Sendable {
        let places = Mutex<Set<String>>([])
    }

    private let reports = Reports()
    private let places: [Place]
    /// The ports of all, some of them perhaps the same: what most requests are told apart by.
    private let ports: (Int, Int, Int, Int)

    /// The listeners of `config`.
    ///
    /// - Parameter machine: The addresses of this machine.
    package init(_ config: ListenerConfig, machine: [IPAddress] = MachineAddress.all()) {
        let outgoing = config.outgoing.port
        self.ports = (
            outgoing, config.incoming?.port ?? outgoing, config.admin?.port ?? outgoing,
            config.grpcOutgoing?.port ?? outgoing
        )
        let listeners: [(Listener, ListenAddress?)] = [
            (.outgoing, config.outgoing), (.incoming, config.incoming), (.admin, config.admin),
            (.outgoing, config.grpcOutgoing), (.incoming, config.grpcIncoming),
        ]
        self.places = listeners.compactMap { listener, address in
            guard let address else { return nil }
            let own = ([address] + config.otherPlaces(of: address)).compactMap { IPAddress($0.socketAddress) }
            return Place(
                listener: listener, port: address.port, addresses: address.isWildcard ? machine : own,
                isWildcard: address.isWildcard)
        }
    }

    @inline(__always)
    private func hasPort(_ port: Int) -> Bool {
        port == self.ports.0 || port == self.ports.1 || port == self.ports.2 || port == self.ports.3
    }

    /// Whether connecting to `endpoint` would lead back here.
    ///
    /// Cost: four comparisons, unless the port is one of ours.
    func contains(_ endpoint: Endpoint) -> Bool {
        guard self.hasPort(endpoint.port) else { return false }
        for place in self.places
        where place.port == endpoint.port && place.listener != .incoming && place.holds(endpoint.ip) {
            return true
        }
        return false
    }

    /// Whether it was not said before that this instance of a service is one of them; takes a lock.
    func isFirstReport(of endpoint: Endpoint, in service: String) -> Bool {
        self.reports.places.withLock { places in
            // Only what a registry publishes at our own ports comes here.
            places.count < 1_000 && places.insert("\(service) \(endpoint)").inserted
        }
    }

    /// The listener that a client means with this host and port; `nil` when it is none.
    ///
    /// - Parameter port: 80 where the URL has none.
    func named(_ host: RawSpan, port: Int) -> Listener? {
        guard self.hasPort(port) else { return nil }
        for place in self.places where place.port == port {
            if Self.isLocalhost(host), place.isWildcard || place.addresses.contains(where: \.isLoopback) {
                return place.listener
            }
            if let literal = IPLiteral(host), place.holds(literal.address) { return place.listener }
        }
        return nil
    }

    /// Whether outgoing requests are taken at this port.
    func isOutgoing(port: UInt16) -> Bool {
        self.hasPort(Int(port)) && self.places.contains { $0.listener == .outgoing && $0.port == Int(port) }
    }

    /// Whether `host` is `localhost` or ends in `.localhost`, which stands for loopback everywhere.
    ///
    /// - Source: RFC 6761 §6.3.
    static func isLocalhost(_ host: RawSpan) -> Bool {
        var count = host.byteCount
        if count > 1, host.byte(at: count - 1) == .dot { count -= 1 }
        guard count >= 9, host.matches("localhost", at: count - 9) else { return false }
        return count == 9 || host.byte(at: count - 10) == .dot
    }

    /// Whether nobody may be taken to `host` for the asking, unless the registry has a service of that name.
    static func isInternal(_ host: RawSpan) -> Bool {
        // Nobody but a deceiver writes an IPv4 address inside an IPv6 one; DNS64 does, so what was looked up is judged by
        // the address alone.
        if let literal = IPLiteral(host) { return literal.isEmbedded || literal.address.isInternal }
        return Self.isLocalhost(host)
    }
}
