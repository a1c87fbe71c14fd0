// SPDX-License-Identifier: Apache-2.0

package import NIOCore

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
    /// Whether a name that is not here is unknown to the registry too.
    ///
    /// Otherwise the directory holds what traffic has asked for, and the registry has to be asked for the rest.
    package let isComplete: Bool
    /// What the registry was asked for and has answered with a service, were it without instances.
    private let known: Set<ServiceDemand>
    private let absences: [ServiceDemand: Absence]

    /// Why there is nothing of a name, as the registry was asked for it.
    package struct Absence: Sendable {
        /// The reasons.
        package enum Reason: Sendable {
            /// The registry does not know the name.
            case unknown
            /// The registry could not be asked.
            case unreachable
        }

        /// The reason.
        package let reason: Reason
        /// When the registry may be asked again.
        package let until: NIODeadline

        /// An absence.
        package init(_ reason: Reason, until: NIODeadline) {
            self.reason = reason
            self.until = until
        }
    }

    /// Nothing known, nothing asked yet.
    package static var empty: ServiceDirectory { ServiceDirectory([], isSynced: false) }

    /// A directory of `services`, whose names must differ.
    ///
    /// - Parameter known: What of them is known of which application; `nil` for all of them in the own one.
    /// - Parameter absences: What the registry was asked for in vain.
    /// - Parameter indexed: Services that are found by their addresses only, unless they are among the others.
    package init(
        _ services: [Service], isSynced: Bool, isComplete: Bool = true, ownApp: String = "default",
        known: Set<ServiceDemand>? = nil, absences: [ServiceDemand: Absence] = [:], indexed: [Service] = []
    ) {
        self.services = NameTable(Dictionary(services.map { ($0.name, $0) }) { first, _ in first })
        let names = self.services
        self.addresses = AddressTable(names.values + indexed.filter { names[$0.name] == nil })
        self.isSynced = isSynced
        self.isComplete = isComplete
        self.known = known ?? Set(services.map { ServiceDemand(app: ownApp, name: $0.name) })
        self.absences = absences
    }

    /// Why there is nothing of what is demanded; `nil` when the registry has to be asked.
    package func absence(of demand: ServiceDemand, at now: NIODeadline) -> Absence.Reason? {
        if self.isComplete { return self.isSynced ? .unknown : .unreachable }
        guard let absence = self.absences[demand], now < absence.until else { return nil }
        return absence.reason
    }

    /// Whether nothing need be asked about what is demanded.
    package func settles(_ demand: ServiceDemand, at now: NIODeadline) -> Bool {
        self.known.contains(demand) || self.absence(of: demand, at: now) != nil
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
    /// What was added so far.
    package private(set) var added: [Service] = []
    private let ownApp: String
    /// See ``ServiceDirectory/isSynced``.
    package var isSynced = true
    /// See ``ServiceDirectory/isComplete``.
    package var isComplete = true
    /// What is known of which application; `nil` for every service in the own one.
    package var known: Set<ServiceDemand>?
    /// What the registry was asked for in vain.
    package var absences: [ServiceDemand: ServiceDirectory.Absence] = [:]
    /// Services that are found by their addresses only.
    package var indexed: [Service] = []

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

    /// The endpoint that `text` describes when its host has this address: the one that is known already, or a new one.
    ///
    /// - Returns: `nil` when `address` is none.
    package mutating func endpoint(_ text: EndpointText, at address: String) -> Endpoint? {
        let description = text.text(at: address)
        if let known = self.endpoints[description] { return known }
        guard let endpoint = try? Endpoint(description) else { return nil }
        self.endpoints[description] = endpoint
        return endpoint
    }

    /// Adds a service.
    package mutating func add(_ name: String, _ instances: [Instance]) {
        let known = self.services[name]
        let service = Service(
            name: name, instances: instances, ownApp: self.ownApp, use: known?.use ?? UseMark())
        if let known, known == service {
            self.added.append(known)
        } else {
            self.added.append(service)
        }
    }

    /// Adds the service `name` as the previous directory has it.
    ///
    /// - Returns: `false` when that has none.
    package mutating func keep(_ name: String) -> Bool {
        guard let known = self.services[name] else { return false }
        self.added.append(known)
        return true
    }

    /// The directory of all services that were added.
    package func build() -> ServiceDirectory {
        ServiceDirectory(
            self.added, isSynced: self.isSynced, isComplete: self.isComplete, ownApp: self.ownApp, known: self.known,
            absences: self.absences, indexed: self.indexed)
    }
}
