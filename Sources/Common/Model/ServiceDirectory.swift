// SPDX-License-Identifier: Apache-2.0

package import NIOCore

/// All services that are known at one moment: what the registry bridge publishes and the request path reads.
///
/// A class, so that taking it along with a request is one reference.
package final class ServiceDirectory: Sendable {
    /// Services that are found by their addresses only.
    final class Index: Sendable {
        let services: [Service]
        private let byName: [String: [Service]]

        init(_ services: [Service]) {
            self.services = services
            self.byName = Dictionary(grouping: services, by: \.name)
        }

        /// What is found of a name whose service is this one, were it none.
        func entries(_ name: String, _ service: Service?) -> [AddressTable.Entry] {
            if let service {
                return service.kind == .cluster ? [] : [AddressTable.Entry(service: service, isIndexed: false)]
            }
            return (self.byName[name] ?? []).map { AddressTable.Entry(service: $0, isIndexed: true) }
        }
    }

    /// By name.
    package let names: NameTable<Service>
    let addresses: AddressTable
    let index: Index
    /// Whether the registry has answered at least once; of several registries, whether all have.
    ///
    /// Before that, an unknown service means "not ready".
    package let isSynced: Bool
    /// Whether a name that is not here is unknown to the registry too.
    ///
    /// Otherwise the directory holds what traffic has asked for, and the registry has to be asked for the rest.
    package let isComplete: Bool
    private let ownApp: String
    /// What the registry was asked for and has answered with a service, were it without instances; `nil` for every service
    /// in the own application.
    private let known: Set<ServiceDemand>?
    private let absences: [ServiceDemand: Absence]
    /// What the registries say by themselves, in their order, when there are several.
    package let parts: [ServiceDirectory]

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
    package convenience init(
        _ services: [Service], isSynced: Bool, isComplete: Bool = true, ownApp: String = "default",
        known: Set<ServiceDemand>? = nil, absences: [ServiceDemand: Absence] = [:], indexed: [Service] = []
    ) {
        self.init(
            NameTable(Dictionary(services.map { ($0.name, $0) }) { first, _ in first }), upon: nil,
            index: Index(indexed), isSynced: isSynced, isComplete: isComplete, ownApp: ownApp, known: known,
            absences: absences)
    }

    /// - Parameter previous: What to take over the addresses from, as far as they have not changed.
    init(
        _ names: NameTable<Service>, upon previous: ServiceDirectory?, index: Index, isSynced: Bool, isComplete: Bool,
        ownApp: String, known: Set<ServiceDemand>? = nil, absences: [ServiceDemand: Absence] = [:],
        parts: [ServiceDirectory] = []
    ) {
        self.names = names
        self.addresses = Self.addresses(names, index, upon: previous)
        self.index = index
        self.isSynced = isSynced
        self.isComplete = isComplete
        self.ownApp = ownApp
        self.known = known
        self.absences = absences
        self.parts = parts
    }

    private static func addresses(
        _ names: NameTable<Service>, _ index: Index, upon previous: ServiceDirectory?
    ) -> AddressTable {
        var (removed, added): ([AddressTable.Entry], [AddressTable.Entry]) = ([], [])
        names.changes(since: previous?.names ?? NameTable()) { old, new in
            guard let name = (new ?? old)?.name else { return }
            if let previous { removed += previous.index.entries(name, old) }
            added += index.entries(name, new)
        }
        if previous?.index !== index {
            let known = previous?.index.services ?? []
            let (before, now) = (Set(known.map(ObjectIdentifier.init)), Set(index.services.map(ObjectIdentifier.init)))
            for service in known where !now.contains(ObjectIdentifier(service)) {
                removed.append(AddressTable.Entry(service: service, isIndexed: true))
            }
            for service in index.services
            where !before.contains(ObjectIdentifier(service)) && names[spelled: service.name] == nil {
                added.append(AddressTable.Entry(service: service, isIndexed: true))
            }
        }
        return (previous?.addresses ?? AddressTable()).updating(removing: removed, adding: added)
    }

    /// Why there is nothing of what is demanded; `nil` when the registry has to be asked.
    package func absence(of demand: ServiceDemand, at now: NIODeadline) -> Absence.Reason? {
        if !self.parts.isEmpty { return self.absenceInParts(of: demand, at: now) }
        if self.isComplete { return self.isSynced ? .unknown : .unreachable }
        guard let absence = self.absences[demand], now < absence.until else { return nil }
        return absence.reason
    }

    /// Whether nothing need be asked about what is demanded.
    package func settles(_ demand: ServiceDemand, at now: NIODeadline) -> Bool {
        if !self.parts.isEmpty { return self.partsSettle(demand, at: now) }
        let isKnown =
            self.known?.contains(demand) ?? (demand.app == self.ownApp && self.names[spelled: demand.name] != nil)
        return isKnown || self.absence(of: demand, at: now) != nil
    }

    /// The service whose name these bytes spell: exactly, or in another letter case when that is unambiguous.
    package func service(named bytes: RawSpan) -> Service? { self.names.value(named: bytes) }

    /// Who is at an address.
    package func owner(of address: IPAddress) -> AddressTable.Owner? { self.addresses[address] }

    /// The service that has an endpoint at this address and port.
    package func service(at address: IPAddress, port: Int) -> Service? { self.addresses.service(at: address, port) }

    /// The same by text, off the request path.
    package subscript(name: String) -> Service? { self.names[name] }

    /// The same directory without these services, for others to have them.
    package func hiding(_ hidden: some Sequence<String>) -> ServiceDirectory {
        ServiceDirectory(
            self.names.updating(Dictionary(hidden.map { ($0, nil) }) { first, _ in first }), upon: self,
            index: self.index, isSynced: self.isSynced, isComplete: self.isComplete, ownApp: self.ownApp,
            known: self.known, absences: self.absences)
    }

    /// All services by name.
    package var all: [Service] { self.names.values }
}
