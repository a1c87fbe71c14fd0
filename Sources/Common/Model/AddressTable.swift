// SPDX-License-Identifier: Apache-2.0

/// Which service is at which IP address; made when a directory is, from all its instances.
package struct AddressTable: Sendable {
    /// Whose instance is at an address.
    package enum Owner: Sendable {
        /// One service's; the instance is one of those that it has there.
        case one(Service, Instance)
        /// Several services share the address.
        case several
    }

    private struct Place: Hashable {
        let address: IPAddress
        let port: Int
    }

    private let owners: [IPAddress: Owner]
    private let services: [Place: Service]

    /// A table of the instances of `services`; of two services with the same address and port the first one has it.
    init(_ services: [Service]) {
        var owners: [IPAddress: Owner] = [:]
        var places: [Place: Service] = [:]
        for service in services {
            for instance in service.instances {
                for endpoint in instance.endpoints {
                    let place = Place(address: endpoint.ip, port: endpoint.port)
                    if places[place] == nil { places[place] = service }
                    switch owners[endpoint.ip] {
                    case nil: owners[endpoint.ip] = .one(service, instance)
                    case .one(let other, _) where other !== service: owners[endpoint.ip] = .several
                    case .one, .several: break
                    }
                }
            }
        }
        self.owners = owners
        self.services = places
    }

    subscript(address: IPAddress) -> Owner? { self.owners[address] }

    func service(at address: IPAddress, _ port: Int) -> Service? {
        self.services[Place(address: address, port: port)]
    }
}
