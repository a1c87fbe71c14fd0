// SPDX-License-Identifier: Apache-2.0

import Common
import IstioMessages
import SwiftProtobuf

/// A table of routes of the control plane: the virtual hosts of a port, or of one service at a port.
struct HeldTable: Sendable {
    /// `8080`, or `cart.shop.svc.cluster.local:8080`.
    let name: String
    /// The port that its requests name; `nil` where the name says none.
    let port: UInt16?
    /// By name.
    let hosts: [String: HeldHost]

    /// A table that the control plane does not have.
    init(empty name: String) {
        self.name = name
        self.port = Self.port(of: name)
        self.hosts = [:]
    }

    /// Reads a table.
    ///
    /// - Parameter previous: The same before: hosts that say the same are the same objects.
    /// - Source: Envoy's `config.route.v3.RouteConfiguration`, which is refused as a whole.
    init(_ message: XDSRouteConfiguration, _ place: MeshPlace, upon previous: HeldTable?) throws(ResourceMistake) {
        self.name = message.name
        let port = Self.port(of: message.name)
        self.port = port
        var hosts: [String: HeldHost] = [:]
        var owners: [String: String] = [:]
        var shared = message
        shared.virtualHosts = []
        for host in message.virtualHosts {
            if host.name.isEmpty { throw ResourceMistake("a virtual host has no name") }
            if hosts[host.name] != nil { throw ResourceMistake("the virtual host \(host.name) is there twice") }
            if host.domains.isEmpty { throw ResourceMistake("the virtual host \(host.name) has no domains") }
            for domain in host.domains {
                if domain.isEmpty { throw ResourceMistake("the virtual host \(host.name) has an empty domain") }
                if let owner = owners.updateValue(host.name, forKey: domain.lowercased()) {
                    throw ResourceMistake("the domain \(domain) belongs to \(owner) and to \(host.name)")
                }
            }
            let known = previous?.hosts[host.name]
            if let known, known.message == host, known.table == shared {
                hosts[host.name] = known
            } else {
                hosts[host.name] = try HeldHost(host, of: shared, at: port, place)
            }
        }
        self.hosts = hosts
    }

    static func port(of name: String) -> UInt16? {
        UInt16(name.split(separator: ":", omittingEmptySubsequences: false).last ?? "")
    }
}

/// A virtual host of the control plane.
final class HeldHost: Sendable {
    let message: XDSVirtualHost
    /// What holds for all hosts of its table; without the hosts.
    let table: XDSRouteConfiguration
    /// What limits and metrics know it as.
    let label: String
    /// Whether it is called after a host and its port, as those of services are.
    let isOfService: Bool
    /// Which requests are for it.
    let domains: [String]
    /// In their order, each with the names of the clusters that its targets lead to.
    let routes: [(route: Route, clusters: [String])]
    /// What is not done that it asks for, as logs say it.
    let gaps: Set<String>

    /// The names of all clusters that its routes lead to.
    var clusters: Set<String> { Set(self.routes.flatMap(\.clusters)) }

    init(
        _ message: XDSVirtualHost, of table: XDSRouteConfiguration, at port: UInt16?, _ place: MeshPlace
    ) throws(ResourceMistake) {
        self.message = message
        self.table = table
        // Istio calls it `host:port`.
        let end = message.name.lastIndex(of: ":") ?? message.name.endIndex
        let isPort = UInt16(message.name[end...].dropFirst()) != nil
        let host = isPort ? String(message.name[..<end]) : message.name
        self.label = place.label(of: host)
        self.isOfService = isPort
        self.domains = Self.domains(message, table, at: port, host: isPort ? host : nil, place)
        var compiler = RouteCompiler(message, of: table)
        self.routes = try compiler.routes()
        self.gaps = compiler.gaps
    }

    /// The domains as requests of the port can name them, in lower case.
    ///
    /// A table is that of the requests for one port, so a domain with that port and the same without are one.
    private static func domains(
        _ message: XDSVirtualHost, _ table: XDSRouteConfiguration, at port: UInt16?, host: String?, _ place: MeshPlace
    ) -> [String] {
        // The table of one service has this domain only: who else asks at the port is not meant.
        if message.domains == ["*"], let host, table.name == "\(host):\(port ?? 0)" { return place.names(of: host) }
        var domains: [String] = []
        for domain in message.domains {
            var text = domain.lowercased()
            if let port, text.hasSuffix(":\(port)") {
                // With this, a port of a request is taken away before it is compared.
                if table.ignorePortInHostMatching { continue }
                text.removeLast("\(port)".count + 1)
            } else if !table.ignorePortInHostMatching, let port, port != 80, text != "*", !text.hasSuffix("*") {
                // It is meant for requests without a port, which are for port 80.
                continue
            }
            if text.count > 1, text.hasSuffix(".") { text.removeLast() }
            // Requests have IPv6 addresses in brackets, and are compared without.
            let isV6 = text.hasPrefix("[") && text.hasSuffix("]")
            if isV6 { text = String(text.dropFirst().dropLast()) }
            let isDomain = isV6 ? IPLiteral(Array(text.utf8).rawSpan) != nil : DomainTable.isDomain(text)
            if isDomain, !domains.contains(text) { domains.append(text) }
        }
        return domains
    }
}
