// SPDX-License-Identifier: Apache-2.0

/// Where the sidecar listens: `cse.protocols.*` of `chassis.yaml`.
package struct ListenerConfig: Sendable {
    /// HTTP from the local application, on loopback only.
    package var outgoing: ListenAddress
    /// HTTP from elsewhere; `nil` when the configured address is a loopback one, so that nobody else can call.
    package var incoming: ListenAddress?
    /// The admin API; `nil` when it is off.
    package var admin: ListenAddress?

    private static let defaultPort = 30101

    /// Reads the addresses.
    package init(_ reader: inout ConfigReader) {
        let configured = reader.read(Keys.http)
        let address = configured ?? ListenAddress(loopback: Self.defaultPort)
        self.outgoing = ListenAddress(loopback: address.port)
        if address.isWildcard {
            Self.note(
                &reader, Keys.http.name, "in sidecar mode, forbidden to listen on \(address.host)",
                remedy: "write the address of one network interface, such as 10.1.2.3:30101")
        }
        self.incoming = address.host == "127.0.0.1" ? nil : address

        let admin = reader.read(Keys.admin)
        let isEnabled = reader.readIfPresent(Keys.adminEnable)
        if isEnabled == true, admin == nil {
            Self.note(
                &reader, Keys.adminEnable.name, "the admin API is enabled but has no address",
                remedy: "write cse.protocols.rest-admin.listenAddress: 127.0.0.1:30102 in chassis.yaml")
        }
        self.admin = isEnabled == false ? nil : admin
    }

    /// The ports of all listeners.
    package var ports: [Int] { [self.outgoing, self.incoming, self.admin].compactMap { $0?.port } }

    private static func note(_ reader: inout ConfigReader, _ key: String, _ problem: String, remedy: String) {
        guard let entry = reader.store.entry(key) else { return }
        reader.note(entry, ConfigMistake(problem, remedy: remedy))
    }

    /// The keys of ``ListenerConfig``.
    package enum Keys {
        static let http = ConfigKey(
            "cse.protocols.http.listenAddress", .listenAddress, default: nil,
            "Where HTTP is taken. Outgoing requests always go to 127.0.0.1 with this port; any other address takes incoming ones. Default 127.0.0.1:30101."
        )
        static let admin = ConfigKey(
            "cse.protocols.rest-admin.listenAddress", .listenAddress, default: nil,
            "Where the admin API is served.")
        static let adminEnable = ConfigKey(
            "admin.enable", .bool, default: true,
            "Whether the admin API is served. Absent: served when rest-admin has an address.")

        /// All of them, in the order of the reference.
        package static let all: [any AnyConfigKey] = [Self.http, Self.admin, Self.adminEnable]
    }
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
}
