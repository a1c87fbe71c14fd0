// SPDX-License-Identifier: Apache-2.0
// request path

package import Common

/// What a cluster says of the connections to it: how many there may be.
///
/// Made for a loop when it looks for the cluster's endpoints; there is none for the many clusters that say nothing.
package final class ConnectionScope {
    /// What tells its connections from others to the same endpoints: they are never shared.
    struct Key: Hashable {
        let tickets: ObjectIdentifier?
    }

    /// The cluster's name, for answers.
    let name: String
    let key: Key
    /// Counts them; `nil` where they are not limited.
    let tickets: ClusterTickets?
    /// Most connections of the process.
    let most: Int
    /// Most requests of the process that wait for one.
    let mostPending: Int?

    /// `nil` for a cluster that says nothing of its connections.
    package init?(_ cluster: Cluster?, _ tickets: ClusterTickets?) {
        guard let cluster, let settings = cluster.settings else { return nil }
        let isLimited = tickets != nil && settings.maxConnections != nil
        guard isLimited else { return nil }
        self.name = cluster.name ?? ""
        self.tickets = tickets
        self.most = settings.maxConnections ?? .max
        self.mostPending = settings.maxPending
        self.key = Key(tickets: self.tickets.map { ObjectIdentifier($0) })
    }
}
