// SPDX-License-Identifier: Apache-2.0
// request path

import Common
import Proxy

/// Finds the virtual host of `mesh.yaml` that a request belongs to, before external hosts and services.
///
/// - Source: the search of virtual hosts by domain in Envoy's route configuration.
struct VirtualHosts: Sendable {
    /// Those that name a port, by it.
    private let ofPorts: [(port: UInt16, hosts: HostTable<Service>)]
    private let ofAny: HostTable<Service>

    /// Whether there are none.
    let isEmpty: Bool

    init(_ table: DomainTable, _ governance: Governance) {
        func hosts(_ port: UInt16?) -> HostTable<Service> {
            HostTable(
                table.domains.filter { $0.port == port }.map { ($0.pattern, governance.placeholder(of: $0.host)) })
        }
        self.isEmpty = table.domains.isEmpty
        self.ofAny = hosts(nil)
        self.ofPorts = Set(table.domains.compactMap(\.port)).sorted().map { ($0, hosts($0)) }
    }

    /// The virtual host; as a service without instances, which stands for it in what loops keep.
    func find(_ exchange: borrowing Exchange) -> Service? {
        let authority = exchange.request.authority
        let port = authority.portDigits.isEmpty ? 80 : authority.port
        return exchange.requestHeaders.withBytes(in: authority.host) { self.find($0, port: port) }
    }

    /// The same for a name and a port.
    func find(_ host: RawSpan, port: UInt16) -> Service? {
        var count = host.byteCount
        if count > 1, host.byte(at: count - 1) == .dot { count -= 1 }
        let host = host.extracting(0..<count)
        for (own, hosts) in self.ofPorts where own == port {
            if let found = hosts.value(for: host) { return found }
        }
        return self.ofAny.value(for: host)
    }
}
