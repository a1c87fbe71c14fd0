// SPDX-License-Identifier: Apache-2.0

/// All services that are known at one moment: what the registry bridge publishes and the request path reads.
///
/// A class, so that taking it along with a request is one reference.
package final class ServiceDirectory: Sendable {
    private let services: NameTable<Service>
    private let addresses: AddressTable
    /// Whether the registry has answered at least once.
    ///
    /// Before that, an unknown service means "not ready".
    package let isSynced: Bool

    /// Nothing known, nothing asked yet.
    package static var empty: ServiceDirectory { ServiceDirectory([], isSynced: false) }

    /// A directory of `services`, whose names must differ.
    package init(_ services: [Service], isSynced: Bool) {
        self.services = NameTable(Dictionary(services.map { ($0.name, $0) }) { first, _ in first })
        self.addresses = AddressTable(self.services.values)
        self.isSynced = isSynced
    }

    /// The service whose name these bytes spell: exactly, or in another letter case when that is unambiguous.
    package func service(named bytes: RawSpan) -> Service? { self.services.value(named: bytes) }

    /// Who is at an address.
    package func owner(of address: IPAddress) -> AddressTable.Owner? { self.addresses[address] }

    /// The service that has an endpoint at this address and port.
    package func service(at address: IPAddress, port: Int) -> Service? { self.addresses.service(at: address, port) }

    /// The same by text, off the request path.
    package subscript(name: String) -> Service? { self.services[name] }

    /// All services by name.
    package var all: [Service] { self.services.values }
}

/// Makes the next directory out of what a registry says, keeping the identity of whatever has not changed, so that
/// event loops keep their connections and their balancing state.
package struct ServiceDirectoryBuilder {
    private var endpoints: [String: Endpoint] = [:]
    private var services: [String: Service] = [:]
    private var next: [Service] = []
    private let ownApp: String

    /// Builds upon `previous`.
    package init(upon previous: ServiceDirectory, ownApp: String) {
        self.ownApp = ownApp
        for service in previous.all {
            self.services[service.name] = service
            for endpoint in service.instances.lazy.flatMap(\.endpoints) {
                self.endpoints[endpoint.description] = endpoint
            }
        }
    }

    /// The endpoint that `text` describes: the one that is known already, or a new one.
    package mutating func endpoint(_ text: String) throws(Endpoint.Mistake) -> Endpoint {
        let endpoint = try Endpoint(text)
        if let known = self.endpoints[endpoint.description] { return known }
        self.endpoints[endpoint.description] = endpoint
        return endpoint
    }

    /// Adds a service.
    package mutating func add(_ name: String, _ instances: [Instance]) {
        let service = Service(name: name, instances: instances, ownApp: self.ownApp)
        if let known = self.services[name], known == service {
            self.next.append(known)
        } else {
            self.next.append(service)
        }
    }

    /// The directory of all services that were added.
    package func build() -> ServiceDirectory { ServiceDirectory(self.next, isSynced: true) }
}
