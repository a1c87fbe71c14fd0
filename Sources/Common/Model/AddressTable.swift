// SPDX-License-Identifier: Apache-2.0

/// Which service is at which IP address, and which endpoint at which address and port.
///
/// In shards like ``NameTable``: a table that is made upon another one has those of its shards in which nothing has changed.
package struct AddressTable: Sendable {
    /// Whose instance is at an address.
    package enum Owner: Sendable {
        /// One service's; the instance is one of those that it has there.
        case one(Service, Instance)
        /// Several services share the address.
        case several
    }

    /// A service that is known at one moment, and how.
    struct Entry {
        let service: Service
        /// Whether it is found by its addresses only: it comes after all others.
        let isIndexed: Bool
    }

    struct Place: SpreadKey {
        let address: IPAddress
        let port: Int
        var spread: UInt64 { self.address.spread &+ UInt64(self.port) }
    }

    private(set) var owners = ResidentTable<IPAddress>()
    private(set) var places = ResidentTable<Place>()

    /// Nothing is anywhere.
    init() {}

    /// The table without the services of `removed`, and with those of `added`.
    ///
    /// Of two services at the same address and port the first by name has it.
    func updating(removing removed: [Entry], adding added: [Entry]) -> AddressTable {
        var (owners, places) = (self.owners.edits, self.places.edits)
        for entry in removed {
            for endpoint in entry.service.instances.lazy.flatMap(\.endpoints) {
                owners.remove(entry.service, at: endpoint.ip)
                places.remove(entry.service, at: Place(address: endpoint.ip, port: endpoint.port))
            }
        }
        for entry in added {
            for instance in entry.service.instances {
                for endpoint in instance.endpoints {
                    let resident = Resident(entry, instance, endpoint)
                    owners.add(resident, at: endpoint.ip) { $0.service === resident.service }
                    places.add(resident, at: Place(address: endpoint.ip, port: endpoint.port)) {
                        $0.service === resident.service && $0.endpoint === resident.endpoint
                    }
                }
            }
        }
        var table = self
        table.owners = owners.table
        table.places = places.table
        return table
    }

    subscript(address: IPAddress) -> Owner? {
        switch self.owners[address] {
        case nil: nil
        case .one(let resident): .one(resident.service, resident.instance)
        case .several: .several
        }
    }

    func service(at address: IPAddress, _ port: Int) -> Service? {
        self.places[Place(address: address, port: port)]?.first.service
    }

    /// The endpoint there that is described so.
    func endpoint(_ description: String, at address: IPAddress, _ port: Int) -> Endpoint? {
        switch self.places[Place(address: address, port: port)] {
        case nil: nil
        case .one(let resident): resident.endpoint.description == description ? resident.endpoint : nil
        case .several(let residents): residents.first { $0.endpoint.description == description }?.endpoint
        }
    }
}

/// Who is at an address.
struct Resident: Sendable {
    let service: Service
    let instance: Instance
    let endpoint: Endpoint
    let isIndexed: Bool

    init(_ entry: AddressTable.Entry, _ instance: Instance, _ endpoint: Endpoint) {
        self.service = entry.service
        self.instance = instance
        self.endpoint = endpoint
        self.isIndexed = entry.isIndexed
    }

    func precedes(_ other: Resident) -> Bool {
        self.isIndexed == other.isIndexed ? self.service.name < other.service.name : other.isIndexed
    }
}

/// All who are at an address; mostly one.
enum Residents: Sendable {
    case one(Resident)
    /// At least two, in order.
    case several([Resident])

    init?(_ residents: [Resident]) {
        guard let first = residents.first else { return nil }
        self = residents.count == 1 ? .one(first) : .several(residents)
    }

    var first: Resident {
        switch self {
        case .one(let resident): resident
        case .several(let residents): residents[0]
        }
    }

    var all: [Resident] {
        switch self {
        case .one(let resident): [resident]
        case .several(let residents): residents
        }
    }
}

/// A key with a number that tells most of them apart.
protocol SpreadKey: Hashable, Sendable {
    var spread: UInt64 { get }
}

extension IPAddress: SpreadKey {
    var spread: UInt64 { self.low ^ self.high }
}

/// Residents by key, in shards.
struct ResidentTable<Key: SpreadKey>: Sendable {
    final class Shard: Sendable {
        let residents: [Key: Residents]
        init(_ residents: [Key: Residents]) { self.residents = residents }
    }

    /// Changes that are being gathered: the shards they concern, as they will be.
    struct Edits {
        private let old: ResidentTable
        private var shards: [Int: [Key: Residents]] = [:]

        init(_ table: ResidentTable) { self.old = table }

        mutating func remove(_ service: Service, at key: Key) {
            self.change(key) { residents in residents.flatMap { Residents($0.all.filter { $0.service !== service }) } }
        }

        mutating func add(_ resident: Resident, at key: Key, unless isKnown: (Resident) -> Bool) {
            self.change(key) { residents in
                guard var all = residents?.all else { return .one(resident) }
                if all.contains(where: isKnown) { return residents }
                all.insert(resident, at: all.firstIndex { resident.precedes($0) } ?? all.count)
                return Residents(all)
            }
        }

        private mutating func change(_ key: Key, _ body: (Residents?) -> Residents?) {
            let index = ResidentTable.shard(of: key)
            let old = self.old
            let residents = body(self.shards[index].map { $0[key] } ?? old.shards[index].residents[key])
            self.shards[index, default: old.shards[index].residents][key] = residents
        }

        var table: ResidentTable {
            var table = self.old
            for (index, residents) in self.shards { table.shards[index] = Shard(residents) }
            return table
        }
    }

    private static var shardCount: Int { 256 }

    private(set) var shards: [Shard]

    init() { self.shards = Array(repeating: Shard([:]), count: Self.shardCount) }

    subscript(key: Key) -> Residents? { self.shards[Self.shard(of: key)].residents[key] }

    var edits: Edits { Edits(self) }

    /// The upper bits of a product are the best mixed.
    private static func shard(of key: Key) -> Int { Int((key.spread &* 0x9e37_79b9_7f4a_7c15) >> 56) }
}
