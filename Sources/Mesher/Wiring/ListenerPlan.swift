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

    /// The others, in the order in which they are opened.
    var others: [ListenerSpec] {
        let (addresses, tls) = (self.wiring.config.listeners, self.wiring.tls)
        let (outgoing, incoming) = (self.wiring.outgoingPlans, self.wiring.incomingPlans)
        let (mesh, allowsPlain) = (self.wiring.inboundTLS, self.wiring.config.registry.istio.inboundTLS == .permissive)
        let specs = [
            addresses.incoming.map {
                ListenerSpec(
                    $0.socketAddress, plans: incoming, budget: self.incoming, tls: tls.incoming ?? mesh,
                    allowsPlain: tls.incoming == nil && allowsPlain)
            },
            addresses.grpcOutgoing.map {
                ListenerSpec(
                    $0.socketAddress, plans: outgoing, budget: self.outgoing, tls: tls.outgoing, isGRPC: true,
                    isOptional: !addresses.isGRPCConfigured)
            },
            addresses.grpcIncoming.map {
                ListenerSpec(
                    $0.socketAddress, plans: incoming, budget: self.incoming, tls: tls.incomingGRPC ?? mesh,
                    allowsPlain: tls.incomingGRPC == nil && allowsPlain, isGRPC: true)
            },
        ]
        return specs.compactMap { $0 }
    }

    /// Opens a listener; `nil` when nobody has asked for it and its usual port is taken.
    func open(_ spec: ListenerSpec, _ setup: Listener.Setup) async throws -> Listener? {
        do {
            return try await Listener.open(spec, setup)
        } catch  where spec.isOptional {
            self.wiring.logger.notice(
                "no gRPC: its usual port is taken; cse.protocols.grpc.listenAddress names another one",
                metadata: ["address": "\(spec.address.text)"])
            return nil
        }
    }

    /// Says where traffic is taken.
    func report(_ listeners: [Listener]) {
        let (config, logger) = (self.wiring.config, self.wiring.logger)
        for listener in listeners where !listener.spec.isGRPC {
            logger.notice(
                listener.spec.direction == .outgoing ? "taking outgoing requests" : "taking incoming requests",
                metadata: ["address": "\(listener.address.text)"])
        }
        if config.listeners.incoming != nil {
            if config.servicePorts.ports.isEmpty {
                logger.notice("no --service-ports: callers must name the port in the URL")
            }
            let endpoints = config.listeners.advertised.map(\.description).joined(separator: ", ")
            logger.info("what others are told", metadata: ["endpoints": "\(endpoints)"])
        } else if config.listeners.mode == .sidecar {
            logger.warning(
                "only a loopback listener: other hosts cannot call the local application through this sidecar")
        }
        for listener in listeners where listener.spec.isGRPC {
            logger.notice(
                "taking gRPC",
                metadata: [
                    "address": "\(listener.address.text)", "direction": "\(listener.spec.direction.rawValue)",
                ])
        }
    }
}

extension SocketAddress {
    /// `ip:port`, or `[ip]:port`.
    var text: String { "\((self.ipAddress ?? "?").asHost):\(self.port ?? 0)" }
}
