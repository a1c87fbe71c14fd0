// SPDX-License-Identifier: Apache-2.0

/// Which service is at an address: for requests that name an instance instead of a service, and for callers.
///
/// An `ip:port` belongs to the service that registered it. An `ip` alone belongs to a service only when no other has
/// registered it too. Built when a directory is, and never changed.
///
/// - Source: the original's `autoIPIndex`.
struct AddressIndex: Sendable {
    private struct Owner: Sendable {
        let service: Service
        let instance: Instance
    }

    private let authorities: NameTable<Service>
    private let hosts: NameTable<Owner>

    init(_ services: [Service]) {
        var authorities: [String: Service] = [:]
        var hosts: [String: Owner] = [:]
        var shared: Set<String> = []
        for service in services {
            for instance in service.instances {
                for endpoint in instance.endpoints {
                    authorities[endpoint.authority] = service
                    if let owner = hosts[endpoint.host], owner.service !== service { shared.insert(endpoint.host) }
                    hosts[endpoint.host] = Owner(service: service, instance: instance)
                }
            }
        }
        for host in shared { hosts[host] = nil }
        self.authorities = NameTable(authorities)
        self.hosts = NameTable(hosts)
    }

    /// - Parameter host: An IP address, without brackets.
    /// - Parameter authority: The same with brackets and port, as written.
    func service(at host: RawSpan, authority: RawSpan) -> Service? {
        self.authorities.value(named: authority) ?? self.hosts.value(named: host)?.service
    }

    func caller(at address: String) -> (service: Service, instance: Instance)? {
        self.hosts[address].map { ($0.service, $0.instance) }
    }
}
