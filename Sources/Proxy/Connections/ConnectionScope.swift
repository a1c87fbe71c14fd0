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
        guard settings.maxConnections != nil || settings.tls != nil || hasPlain else { return nil }
        self.name = cluster.name ?? ""
        self.tickets = settings.maxConnections == nil ? nil : tickets
        self.most = settings.maxConnections ?? .max
        self.mostPending = settings.maxPending
        self.mayShareOne = entries != nil
        self.isPlain = hasPlain ? isPlain : []
        var key = Key(tickets: self.tickets.map { ObjectIdentifier($0) }, serverName: settings.serverName)
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
        self.plainKey = Key(tickets: key.tickets, security: .plain)
    }

    /// What the connections to an endpoint of the cluster are kept by.
    ///
    /// - Parameter index: The endpoint's place among those of the cluster.
    func key(of index: Int) -> Key {
        self.isPlain.indices.contains(index) && self.isPlain[index] ? self.plainKey : self.key
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
}
