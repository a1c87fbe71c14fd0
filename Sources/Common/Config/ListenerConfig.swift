// SPDX-License-Identifier: Apache-2.0

/// Where the sidecar listens, and what addresses it tells others: `cse.protocols.*` of `chassis.yaml`.
package struct ListenerConfig: Sendable, Equatable {
    /// Whose sidecar this is.
    package var mode: Mode
    /// Requests of local applications; on loopback only, unless a machine shares the sidecar.
    package var outgoing: ListenAddress
    /// Requests from elsewhere; `nil` when the configured address is a loopback one, so that nobody else can call.
    package var incoming: ListenAddress?
    /// gRPC of local applications; `nil` when HTTP has the port.
    package var grpcOutgoing: ListenAddress?
    /// gRPC from elsewhere.
    package var grpcIncoming: ListenAddress?
    /// Whether the address of gRPC was written down: the default one may be taken by another sidecar.
    package var isGRPCConfigured: Bool
    /// The admin API; `nil` when it is off.
    package var admin: ListenAddress?
    /// What a registry publishes of this instance.
    package var advertised: [AdvertisedEndpoint]
    /// All addresses of the pod; whatever listens at one of them listens at all.
    private let instanceHosts: [String]

    /// Reads the addresses.
    package init(_ reader: inout ConfigReader) {
        self.mode = reader.read(Keys.mode)
        self.instanceHosts = Self.instanceHosts(&reader)
        let override = Self.listenIP(&reader)
        let http = (reader.read(Keys.http) ?? Self.standard).moved(to: override)
        let configuredGRPC = reader.read(Keys.grpc)
        // The usual place is there for the local application only, whatever the others are bound to.
        let grpc = configuredGRPC?.moved(to: override) ?? Self.standardGRPC
        self.isGRPCConfigured = configuredGRPC != nil
        self.admin = reader.read(Keys.admin)?.moved(to: override)
        switch self.mode {
        case .sidecar:
            self.outgoing = ListenAddress(loopback: http.port)
            self.incoming = http.host == "127.0.0.1" ? nil : http
            self.grpcOutgoing = ListenAddress(loopback: grpc.port)
            self.grpcIncoming = grpc.host == "127.0.0.1" ? nil : grpc
            for (key, address) in [(Keys.http.name, http), (Keys.grpc.name, grpc)] where address.isWildcard {
                Self.note(
                    &reader, key, "in sidecar mode, forbidden to listen on \(address.host)",
                    remedy:
                        "write the address of one network interface, such as 10.1.2.3:\(address.port), or use --mode per-host"
                )
            }
        case .perHost:
            self.outgoing = http
            self.incoming = nil
            self.grpcOutgoing = grpc
            self.grpcIncoming = nil
        }
        if !self.isGRPCConfigured, grpc.port == http.port { self.grpcOutgoing = nil }
        self.advertised = []

        let isEnabled = reader.readIfPresent(Keys.adminEnable)
        if isEnabled == true, self.admin == nil, !reader.isPartial {
            Self.note(
                &reader, Keys.adminEnable.name, "the admin API is enabled but has no address",
                remedy: "write cse.protocols.rest-admin.listenAddress: 127.0.0.1:30102 in chassis.yaml")
        }
        if isEnabled == false { self.admin = nil }
        self.advertised = self.readAdvertised(&reader)
        self.noteCollisions(&reader)
    }

    private static let standard = ListenAddress(loopback: 30101)
    private static let standardGRPC = ListenAddress(loopback: 40101)

    /// The IP address that replaces the one of every listener.
    private static func listenIP(_ reader: inout ConfigReader) -> String? {
        let text = reader.read(Keys.listenIP)
        if text.isEmpty { return nil }
        guard text == "auto" else {
            if (try? ListenAddress("\(text.asHost):0")) == nil {
                Self.note(&reader, Keys.listenIP.name, "\"\(text)\" is no IP address", remedy: "write one, or auto")
            }
            return text
        }
        return reader.machineAddress()
    }

    /// The addresses of the pod, without brackets.
    private static func instanceHosts(_ reader: inout ConfigReader) -> [String] {
        let hosts = reader.read(Keys.instanceIPs).split(separator: ",").map { $0.filter { !$0.isWhitespace } }
        if let host = hosts.first(where: { (try? ListenAddress("\($0.asHost):0")) == nil }) {
            Self.note(
                &reader, Keys.instanceIPs.name, "\"\(host)\" is no IP address",
                remedy: "write the pod's addresses, with commas between them")
        }
        return hosts
    }

    /// Where else than at `address` the same is served: on the other addresses of the pod, and on the loopback of IPv6
    /// where it is that of IPv4.
    ///
    /// A machine that is shared by applications is listened on just as it is told.
    package func otherPlaces(of address: ListenAddress) -> [ListenAddress] {
        // Whoever wants the kernel to choose a port cannot have the same one twice.
        if address.port == 0 || self.mode == .perHost { return [] }
        let isOutgoing = address == self.outgoing || address == self.grpcOutgoing
        let hosts = isOutgoing ? ["127.0.0.1", "::1"] : self.instanceHosts
        guard hosts.contains(address.host) else { return [] }
        let configured = [self.outgoing, self.incoming, self.grpcOutgoing, self.grpcIncoming, self.admin]
        return hosts.map { address.moved(to: $0) }.filter { place in
            !configured.contains { $0.map(place.collides) ?? false }
        }
    }

    private func noteCollisions(_ reader: inout ConfigReader) {
        let http = [self.outgoing, self.incoming].compactMap { $0 }
        let grpc = [self.grpcOutgoing, self.grpcIncoming].compactMap { $0 }
        func note(_ key: String, _ address: ListenAddress, _ name: String, _ others: [ListenAddress]) {
            guard let other = others.first(where: { $0.collides(with: address) }) else { return }
            Self.note(
                &reader, key, "\(address) is taken by the listener of \(name), \(other)", remedy: "write another port")
        }
        if let address = grpc.last { note(Keys.grpc.name, address, "HTTP", http) }
        if let admin = self.admin {
            note(Keys.admin.name, admin, "HTTP", http)
            if self.isGRPCConfigured { note(Keys.admin.name, admin, "gRPC", grpc) }
        }
    }

    /// Notes that another listener has the address of profiles.
    func noteCollision(ofProfiles address: ListenAddress, _ reader: inout ConfigReader) {
        let others = [self.outgoing, self.incoming, self.grpcOutgoing, self.grpcIncoming, self.admin].compactMap { $0 }
        guard let other = others.first(where: { $0.collides(with: address) }) else { return }
        let listen = AdminConfig.Keys.pprofListen.name
        let key = reader.store.entry(listen) == nil ? AdminConfig.Keys.pprofEnable.name : listen
        Self.note(
            &reader, key, "\(address), where profiles are served, is taken by the listener \(other)",
            remedy: "write another port for \(listen)")
    }

    /// The endpoints that others may use: what is bound to loopback only is of no use to them.
    private func readAdvertised(_ reader: inout ConfigReader) -> [AdvertisedEndpoint] {
        var endpoints: [AdvertisedEndpoint] = []
        func add(_ name: String, _ key: ConfigKey<ListenAddress?>, _ listener: ListenAddress?) {
            let configured = reader.read(key)
            guard let address = configured ?? listener, configured != nil || !address.isLoopback || address.isAlias
            else { return }
            guard address.isWildcard else {
                endpoints.append(AdvertisedEndpoint(protocolName: name, address: address))
                return
            }
            if let own = reader.machineAddress() {
                endpoints.append(AdvertisedEndpoint(protocolName: name, address: address.moved(to: own)))
            }
        }
        // Frameworks look for "rest", so that is what the listener called http is published as.
        add("rest", Keys.httpAdvertised, self.incoming)
        add("grpc", Keys.grpcAdvertised, self.grpcIncoming)
        add("rest-admin", Keys.adminAdvertised, self.admin)
        return endpoints
    }

    /// The ports of all listeners.
    package var ports: [Int] {
        [self.outgoing, self.incoming, self.grpcOutgoing, self.grpcIncoming, self.admin].compactMap { $0?.port }
    }

    private static func note(_ reader: inout ConfigReader, _ key: String, _ problem: String, remedy: String) {
        guard let entry = reader.store.entry(key) else { return }
        reader.note(entry, ConfigMistake(problem, remedy: remedy))
    }

    /// The keys of ``ListenerConfig``.
    package enum Keys {
        static let mode = ConfigKey(
            "mesher.mode", .mode, default: .sidecar,
            "One sidecar for each application, or one for a machine. Also `--mode`.")
        static let http = ConfigKey(
            "cse.protocols.http.listenAddress", .listenAddress, default: nil,
            "Where HTTP is taken; 127.0.0.1:30101 when absent. In sidecar mode outgoing requests always go to 127.0.0.1 with this port, and any other address takes incoming ones."
        )
        static let httpAdvertised = ConfigKey(
            "cse.protocols.http.advertiseAddress", .listenAddress, default: nil,
            "What is registered instead of the listen address. For 0.0.0.0 an address of the machine is taken.")
        static let grpc = ConfigKey(
            "cse.protocols.grpc.listenAddress", .listenAddress, default: nil,
            "Where gRPC is taken, as HTTP at its own address. When absent 127.0.0.1:40101, unless that is taken.")
        static let grpcAdvertised = ConfigKey(
            "cse.protocols.grpc.advertiseAddress", .listenAddress, default: nil,
            "What is registered instead of the listen address.")
        static let admin = ConfigKey(
            "cse.protocols.rest-admin.listenAddress", .listenAddress, default: nil,
            "Where the admin API is served.")
        static let adminAdvertised = ConfigKey(
            "cse.protocols.rest-admin.advertiseAddress", .listenAddress, default: nil,
            "What is registered instead of the listen address.")
        static let adminEnable = ConfigKey(
            "admin.enable", .bool, default: true,
            "Whether the admin API is served. Absent: when rest-admin has an address; `true` without one is an error.")
        static let listenIP = ConfigKey(
            "mesher.listenIP", .text, default: "",
            "Replaces the IP address of every listenAddress; `auto`: by that of the interface of the default route, as containers need it."
        )

        static let instanceIPs = ConfigKey(
            "mesher.instanceIPs", .text, default: "",
            "All IP addresses of the pod, with commas between them: listeners for others that have one of them are there on each. Also the environment variable `INSTANCE_IPS`."
        )

        /// All of them, in the order of the reference.
        package static let all: [any AnyConfigKey] = [
            Self.mode, Self.http, Self.httpAdvertised, Self.grpc, Self.grpcAdvertised, Self.admin, Self.adminAdvertised,
            Self.adminEnable,
            Self.listenIP, Self.instanceIPs,
        ]
    }
}

/// One `protocol://ip:port` of this instance.
package struct AdvertisedEndpoint: Sendable, Equatable, CustomStringConvertible {
    /// `rest`, `grpc`, `rest-admin`.
    package let protocolName: String
    /// Where others reach it.
    package let address: ListenAddress

    /// As registries keep it.
    package var description: String { "\(self.protocolName)://\(self.address)" }
}

extension ListenAddress {
    /// 127.0.0.1 with `port`.
    package init(loopback port: Int) {
        do {
            self = try ListenAddress("127.0.0.1:\(port)")
        } catch {
            preconditionFailure("\(port) is no port")
        }
    }

    /// Whether two listeners cannot have both.
    fileprivate func collides(with other: ListenAddress) -> Bool {
        self.port == other.port && self.port != 0 && (self.host == other.host || self.isWildcard || other.isWildcard)
    }

    /// The same port of another address; unchanged when `host` is `nil` or no address.
    fileprivate func moved(to host: String?) -> ListenAddress {
        guard let host else { return self }
        return (try? ListenAddress("\(host.asHost):\(self.port)")) ?? self
    }

    /// A loopback address other than 127.0.0.1: how several sidecars of one machine take incoming requests.
    fileprivate var isAlias: Bool { self.isLoopback && self.host != "127.0.0.1" && self.host != "::1" }
}
