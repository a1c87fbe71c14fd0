// SPDX-License-Identifier: Apache-2.0
// request path

package import Common
package import TLS

/// What a cluster says of the connections to it: how many there may be, and what is spoken inside.
///
/// Made for a loop when it looks for the cluster's endpoints; there is none for the many clusters that say nothing.
package final class ConnectionScope {
    /// What tells its connections from others to the same endpoints: they are never shared.
    struct Key: Hashable {
        let tickets: ObjectIdentifier?
        var security: Security?
        var serverName: String?
        var life = ConnectionLife()
        /// Whether HTTP/2 is spoken, whatever the endpoint says and TLS agrees on; `nil` for what these say.
        var isHTTP2: Bool?
    }

    /// What is spoken inside connections; `nil` for what holds for the service.
    enum Security: Hashable {
        case plain
        case asService
        /// As a tag says; the material is known by it as long as the process runs.
        case tag(String)
        /// As a control plane says.
        case mesh(MeshTLS)
    }

    /// The cluster's name, for answers.
    let name: String
    private let key: Key
    /// Of the endpoints that are spoken to in plain text although others are not.
    private let plainKey: Key
    private let isPlain: [Bool]
    /// Whether HTTP/2 is spoken for requests that came by it.
    private let followsClient: Bool
    private let tagged: TLSMaterial?
    /// Counts them; `nil` where they are not limited.
    let tickets: ClusterTickets?
    /// Most connections of the process.
    let most: Int
    /// Most requests of the process that wait for one.
    let mostPending: Int?
    /// Whether each loop may have one connection to each endpoint that requests share, however many there are: what a control
    /// plane means by a limit.
    let mayShareOne: Bool
    /// The connections that requests have had lately, by the endpoint's place: nothing is hashed for a request.
    private var groups: [ConnectionPool.Group?] = []
    /// The same of requests that came by HTTP/2, where that makes a difference.
    private var streamGroups: [ConnectionPool.Group?] = []

    /// `nil` for a cluster that says nothing of its connections.
    ///
    /// - Parameter entries: What is said of its endpoints where they are not written down in it.
    package init?(
        _ cluster: Cluster?, _ tickets: ClusterTickets?, _ tls: TLSContexts, entries: [ClusterEntry]? = nil
    ) {
        guard let cluster else { return nil }
        let settings = cluster.settings ?? ClusterSettings()
        var isPlain: [Bool] = []
        if case .fixed(let entries) = cluster.members { isPlain = entries.map(\.isPlain) }
        if let entries { isPlain = entries.map(\.isPlain) }
        let hasPlain = isPlain.contains(true)
        guard
            settings.maxConnections != nil || settings.tls != nil || hasPlain || settings.followsClient
                || settings.life != ConnectionLife()
        else { return nil }
        self.name = cluster.name ?? ""
        self.tickets = settings.maxConnections == nil ? nil : tickets
        self.most = settings.maxConnections ?? .max
        self.mostPending = settings.maxPending
        self.mayShareOne = entries != nil
        self.isPlain = hasPlain ? isPlain : []
        self.followsClient = settings.followsClient
        var key = Key(
            tickets: self.tickets.map { ObjectIdentifier($0) }, serverName: settings.serverName, life: settings.life)
        switch settings.tls {
        case nil: self.tagged = nil
        case .off:
            key.security = .plain
            self.tagged = nil
        case .on:
            key.security = .asService
            self.tagged = nil
        case .tag(let tag):
            key.security = .tag(tag)
            self.tagged = tls.tagged(tag)
        case .mesh(let mesh):
            key.security = .mesh(mesh)
            key.serverName = mesh.serverName.isEmpty ? nil : mesh.serverName
            self.tagged = tls.secrets.material(mesh.credentials)
        }
        self.key = key
        self.plainKey = Key(tickets: key.tickets, security: .plain, life: key.life)
    }

    /// What the connections to an endpoint of the cluster are kept by.
    ///
    /// - Parameter index: The endpoint's place among those of the cluster.
    /// - Parameter isHTTP2: Whether the request came by HTTP/2.
    func key(of index: Int, isHTTP2: Bool) -> Key {
        var key = self.isPlain.indices.contains(index) && self.isPlain[index] ? self.plainKey : self.key
        key.isHTTP2 = self.followsClient ? isHTTP2 : nil
        return key
    }

    /// What is spoken inside, and what has to be written where something must be and nothing says how.
    ///
    /// - Parameter usual: What holds for the service.
    func tls(_ key: Key, usual: TLSMaterial?, tag: String) -> (material: TLSMaterial?, missing: String?) {
        switch key.security {
        case nil: (usual, nil)
        case .plain: (nil, nil)
        case .asService: (usual, usual == nil ? tag : nil)
        case .tag(let tag): (self.tagged, self.tagged == nil ? tag : nil)
        case .mesh: (self.tagged, self.tagged == nil ? tag : nil)
        }
    }

    /// The connections that the last request to an endpoint has had, if there are any.
    ///
    /// The pool may have forgotten them, and another endpoint may have its place.
    @inline(__always)
    func recentGroup(at index: Int, isHTTP2: Bool) -> ConnectionPool.Group? {
        if self.followsClient, isHTTP2 {
            return self.streamGroups.indices.contains(index) ? self.streamGroups[index] : nil
        }
        return self.groups.indices.contains(index) ? self.groups[index] : nil
    }

    /// The next request to the endpoint at a place goes over these.
    func remember(_ group: ConnectionPool.Group, at index: Int, isHTTP2: Bool) {
        if self.followsClient, isHTTP2 {
            Self.put(group, at: index, of: &self.streamGroups)
        } else {
            Self.put(group, at: index, of: &self.groups)
        }
    }

    private static func put(
        _ group: ConnectionPool.Group, at index: Int, of groups: inout [ConnectionPool.Group?]
    ) {
        while groups.count <= index { groups.append(nil) }
        groups[index]?.scopeLeft()
        group.scopes += 1
        groups[index] = group
    }

    deinit { for group in self.groups + self.streamGroups { group?.scopeLeft() } }
}
