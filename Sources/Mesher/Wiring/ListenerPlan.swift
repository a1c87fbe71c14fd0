// SPDX-License-Identifier: Apache-2.0

import Common
import Logging
import NIOCore
import Proxy
import TLS

/// Which listeners of traffic a configuration asks for, and what their connections obey.
struct ListenerPlan {
    let wiring: Wiring
    /// Connections of the local application.
    let outgoing: ConnectionBudget
    /// Connections of callers.
    let incoming: ConnectionBudget

    /// The listener of outgoing HTTP, which every sidecar has.
    var main: ListenerSpec {
        ListenerSpec(
            self.wiring.config.listeners.outgoing.socketAddress, plans: self.wiring.outgoingPlans,
            budget: self.outgoing, tls: self.wiring.tls.outgoing)
    }

    /// The others, in the order in which they are opened; without the first one of a group there is none of it.
    var others: [[ListenerSpec]] {
        let (addresses, tls) = (self.wiring.config.listeners, self.wiring.tls)
        let (outgoing, incoming) = (self.wiring.outgoingPlans, self.wiring.incomingPlans)
        let (mesh, allowsPlain) = (self.wiring.inboundTLS, self.wiring.config.registry.istio.inboundTLS == .permissive)
        func group(_ address: ListenAddress?, _ spec: (ListenAddress) -> ListenerSpec) -> [ListenerSpec] {
            guard let address else { return [] }
            return [spec(address)] + self.otherPlaces(of: address).map(spec)
        }
        return [
            self.otherPlaces(of: addresses.outgoing).map {
                ListenerSpec(
                    $0.socketAddress, plans: outgoing, budget: self.outgoing, tls: tls.outgoing, isOptional: true)
            },
            group(addresses.incoming) {
                ListenerSpec(
                    $0.socketAddress, plans: incoming, budget: self.incoming, tls: tls.incoming ?? mesh,
                    allowsPlain: tls.incoming == nil && allowsPlain)
            },
            group(addresses.grpcOutgoing) {
                ListenerSpec(
                    $0.socketAddress, plans: outgoing, budget: self.outgoing, tls: tls.outgoing, isGRPC: true,
                    isOptional: !addresses.isGRPCConfigured || $0 != addresses.grpcOutgoing)
            },
            group(addresses.grpcIncoming) {
                ListenerSpec(
                    $0.socketAddress, plans: incoming, budget: self.incoming, tls: tls.incomingGRPC ?? mesh,
                    allowsPlain: tls.incomingGRPC == nil && allowsPlain, isGRPC: true)
            },
        ]
    }

    /// Where else than at `address` the same is served, so far as this machine has IPv6.
    private func otherPlaces(of address: ListenAddress) -> [ListenAddress] {
        let places = self.wiring.config.listeners.otherPlaces(of: address)
        guard places.contains(where: { $0.host == "::1" }) else { return places }
        let own = MachineAddress.all()
        return places.filter { place in place.host != "::1" || own.contains { IPAddress(place.socketAddress) == $0 } }
    }

    /// Opens a listener; `nil` when nobody has asked for it and its port is taken.
    func open(_ spec: ListenerSpec, _ setup: Listener.Setup) async throws -> Listener? {
        do {
            return try await Listener.open(spec, setup)
        } catch  where spec.isOptional {
            self.wiring.logger.notice(
                spec.address.protocol == .inet6
                    ? "outgoing requests are taken by IPv4 alone: the port is taken"
                    : "no gRPC: its usual port is taken; cse.protocols.grpc.listenAddress names another one",
                metadata: ["address": "\(spec.address.text)"])
            return nil
        }
    }

    /// Says where traffic is taken.
    func report(_ listeners: [Listener]) {
        let (config, logger) = (self.wiring.config, self.wiring.logger)
        for direction in [Direction.outgoing, .incoming] {
            self.report(
                direction == .outgoing ? "taking outgoing requests" : "taking incoming requests",
                listeners.filter { $0.spec.direction == direction && !$0.spec.isGRPC })
        }
        if config.listeners.incoming != nil {
            if config.servicePorts.ports.isEmpty {
                logger.notice("no --service-ports: callers must name the port in the URL")
            }
            let endpoints = config.listeners.advertised.map(\.description).joined(separator: ", ")
            logger.info("registered endpoints", metadata: ["endpoints": "\(endpoints)"])
        } else if config.listeners.mode == .sidecar {
            logger.warning(
                "only a loopback listener: other hosts cannot call the local application through this sidecar")
        }
        for direction in [Direction.outgoing, .incoming] {
            self.report(
                "taking gRPC", listeners.filter { $0.spec.direction == direction && $0.spec.isGRPC },
                ["direction": "\(direction.rawValue)"])
        }
    }

    /// Says where one kind of requests is taken; nothing where it is not.
    private func report(_ text: Logger.Message, _ listeners: [Listener], _ metadata: Logger.Metadata = [:]) {
        guard let first = listeners.first else { return }
        var metadata = metadata
        metadata["address"] = "\(first.address.text)"
        // Both loopbacks are one place to whoever reads this.
        let others = listeners.dropFirst().filter { !$0.spec.isOptional }.map(\.address.text)
        if !others.isEmpty { metadata["also"] = "\(others.joined(separator: ", "))" }
        self.wiring.logger.notice(text, metadata: metadata)
    }
}

extension SocketAddress {
    /// `ip:port`, or `[ip]:port`.
    var text: String { "\((self.ipAddress ?? "?").asHost):\(self.port ?? 0)" }
}
