// SPDX-License-Identifier: Apache-2.0

import NIOCore

/// Makes the next directory out of what a registry says, keeping the identity of whatever has not changed, so that
/// event loops keep their connections and their balancing state.
///
/// Cost: that of what is added, with ``keepsOthers``.
package struct ServiceDirectoryBuilder {
    private let previous: ServiceDirectory
    /// Where endpoints may be known besides.
    private let others: ServiceDirectory?
    private var endpoints: [String: Endpoint] = [:]
    private var changes: [String: Service?] = [:]
    /// What was added so far.
    package private(set) var added: [Service] = []
    private let ownApp: String
    /// Whether a service of the previous directory stays as it is unless it is added or removed; otherwise it goes unless it
    /// is added or kept.
    package var keepsOthers = false
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
    ///
    /// - Parameter others: A directory whose endpoints are taken over too, such as that of all registries.
    package init(upon previous: ServiceDirectory, ownApp: String, sharing others: ServiceDirectory? = nil) {
        self.previous = previous
        self.others = others
        self.ownApp = ownApp
    }

    /// The endpoint that `text` describes: the one that is known already, or a new one.
    package mutating func endpoint(_ text: String) throws(Endpoint.Mistake) -> Endpoint {
        let endpoint = try Endpoint(text)
        return self.known(endpoint.description, at: endpoint.ip, endpoint.port) ?? self.learn(endpoint)
    }

    /// The endpoint that `text` describes when its host has this address: the one that is known already, or a new one.
    ///
    /// - Returns: `nil` when `address` is none.
    package mutating func endpoint(_ text: EndpointText, at address: String) -> Endpoint? {
        let description = text.text(at: address)
        let socket = text.host == address ? text.address : try? SocketAddress(ipAddress: address, port: text.port)
        if let ip = socket.flatMap({ IPAddress($0) }), let known = self.known(description, at: ip, text.port) {
            return known
        }
        return (try? Endpoint(description)).map { self.learn($0) }
    }

    private func known(_ description: String, at address: IPAddress, _ port: Int) -> Endpoint? {
        self.endpoints[description] ?? self.previous.addresses.endpoint(description, at: address, port)
            ?? self.others?.addresses.endpoint(description, at: address, port)
    }

    private mutating func learn(_ endpoint: Endpoint) -> Endpoint {
        self.endpoints[endpoint.description] = endpoint
        return endpoint
    }

    /// Adds a service.
    ///
    /// - Parameter spansVersions: Whether requests that ask for no version go to all of them.
    package mutating func add(_ name: String, _ instances: [Instance], spansVersions: Bool = false) {
        let known = self.previous.names[spelled: name]
        let service = Service(
            name: name, instances: instances, ownApp: self.ownApp, use: known?.use ?? UseMark(),
            spansVersions: spansVersions)
        self.put(known.flatMap { $0 == service ? $0 : nil } ?? service)
    }

    /// Adds a cluster that a control plane has named; see ``Service/Kind/cluster``.
    ///
    /// An address keeps its endpoint as long as the cluster has it, whatever else is said of it. Clusters share none: what
    /// one finds out of an address is not the other's business.
    ///
    /// - Parameter entries: In the order in which endpoints take turns; an address may stand there more than once.
    /// - Returns: Those whose endpoint is none; they are not in the cluster.
    @discardableResult
    package mutating func addCluster(
        _ name: String, _ entries: [ClusterEntry], localityWeights: [LocalityWeight] = [],
        overprovisioning: Int = EndpointSet.usualOverprovisioning
    ) -> [ClusterEntry] {
        let known = self.previous.names[spelled: name]
        var endpoints: [String: Endpoint] = [:]
        if let known, known.kind == .cluster {
            for endpoint in known.defaultEndpoints.endpoints { endpoints[endpoint.description] = endpoint }
        }
        var members: [(endpoint: Endpoint, entry: ClusterEntry)] = []
        var refused: [ClusterEntry] = []
        for entry in entries {
            guard let endpoint = endpoints[entry.endpoint] ?? (try? Endpoint(entry.endpoint)) else {
                refused.append(entry)
                continue
            }
            let one = endpoints[endpoint.description] ?? endpoint
            endpoints[one.description] = one
            members.append((one, entry))
        }
        let service = Service(
            cluster: name, members, localityWeights: localityWeights, overprovisioning: overprovisioning,
            use: known?.use ?? UseMark())
        self.put(known.flatMap { $0 == service ? $0 : nil } ?? service)
        return refused
    }

    /// Adds the service `name` as the previous directory has it.
    ///
    /// - Returns: `false` when that has none.
    package mutating func keep(_ name: String) -> Bool {
        guard let known = self.previous.names[spelled: name] else { return false }
        self.put(known)
        return true
    }

    /// The service `name` goes.
    package mutating func remove(_ name: String) { self.changes.updateValue(nil, forKey: name) }

    private mutating func put(_ service: Service) {
        self.added.append(service)
        // The first one counts.
        if case .some(.some) = self.changes[service.name] { return }
        self.changes.updateValue(service, forKey: service.name)
    }

    /// The directory of all services that were added.
    package func build() -> ServiceDirectory {
        let names =
            self.keepsOthers
            ? self.previous.names.updating(self.changes.filter { self.previous.names[spelled: $0.key] !== $0.value })
            : NameTable(self.changes.compactMapValues { $0 }, upon: self.previous.names)
        let isIndexSame = self.indexed.elementsEqual(self.previous.index.services, by: ===)
        return ServiceDirectory(
            names, upon: self.previous, index: isIndexSame ? self.previous.index : .init(self.indexed),
            isSynced: self.isSynced, isComplete: self.isComplete, ownApp: self.ownApp, known: self.known,
            absences: self.absences)
    }
}
