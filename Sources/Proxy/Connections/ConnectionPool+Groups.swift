// SPDX-License-Identifier: Apache-2.0
// request path

import Common
import TLS

/// Which connections a request may have.
extension ConnectionPool {
    /// What the connection of a driver to `endpoint` is shared by.
    func group(of endpoint: Endpoint, _ driver: ExchangeDriver) -> Group {
        if let scope = driver.exchange.balancing.balancer?.scope { return self.group(of: endpoint, driver, scope) }
        let hasTLS = driver.exchange.direction == .outgoing && !driver.exchange.worker.tls.all.isEmpty
        if let group = self.recentGroups[endpoint], group.endpoint === endpoint,
            group.key.service == (hasTLS ? driver.exchange.instanceService : nil)
        {
            return group
        }
        let group = self.knownGroup(of: endpoint, driver, hasTLS: hasTLS)
        self.recentGroups[endpoint] = group
        return group
    }

    private func knownGroup(of endpoint: Endpoint, _ driver: ExchangeDriver, hasTLS: Bool) -> Group {
        let worker = driver.exchange.worker
        let key = Key(endpoint: ObjectIdentifier(endpoint), service: hasTLS ? driver.exchange.instanceService : nil)
        if let group = self.groups[key] { return group }
        let service = driver.exchange.instanceService ?? ""
        // The local application is on this side of the network.
        let tls =
            !hasTLS
            ? nil : worker.tls.consumer(service, endpoint.protocolName, isExternal: driver.exchange.chain == .external)
        let missing = tls == nil && endpoint.usesTLS ? Self.tag(service, endpoint) : nil
        let group = Group(key, endpoint, service, tls, missing: missing, nil, self, worker)
        self.groups[key] = group
        return group
    }

    /// The same for a cluster that says something of its connections.
    private func group(of endpoint: Endpoint, _ driver: ExchangeDriver, _ scope: ConnectionScope) -> Group {
        let index = driver.exchange.balancing.index
        let isHTTP2 = driver.exchange.request.flags.contains(.http2)
        let recent = scope.recentGroup(at: index, isHTTP2: isHTTP2)
        let group: Group
        if let recent, recent.endpoint === endpoint, !recent.isForgotten {
            group = recent
        } else {
            group = self.knownGroup(of: endpoint, driver, scope)
            scope.remember(group, at: index, isHTTP2: isHTTP2)
        }
        group.share?.heed(scope, group)
        return group
    }

    private func knownGroup(of endpoint: Endpoint, _ driver: ExchangeDriver, _ scope: ConnectionScope) -> Group {
        let worker = driver.exchange.worker
        let hasTLS = !worker.tls.all.isEmpty
        let service = driver.exchange.instanceService
        let isHTTP2 = driver.exchange.request.flags.contains(.http2)
        let scopeKey = scope.key(of: driver.exchange.balancing.index, isHTTP2: isHTTP2)
        let key = Key(endpoint: ObjectIdentifier(endpoint), service: hasTLS ? service : nil, scope: scopeKey)
        if let group = self.groups[key] { return group }
        let name = service ?? ""
        let usual = worker.tls.consumer(name, endpoint.protocolName, isExternal: false)
        var (tls, missing) = scope.tls(scopeKey, usual: usual, tag: Self.tag(name, endpoint))
        if tls == nil, scopeKey.security == nil, endpoint.usesTLS { missing = Self.tag(name, endpoint) }
        let share = scope.tickets.map { self.share(of: $0, worker) }
        let group = Group(key, endpoint, name, tls, missing: missing, share, self, worker)
        share?.groups.append(group)
        if group.life?.idle != nil { self.lasting += 1 }
        self.groups[key] = group
        return group
    }

    /// Where `tls.yaml` says how TLS is spoken to an endpoint of a service.
    private static func tag(_ service: String, _ endpoint: Endpoint) -> String {
        "\(service).\(endpoint.protocolName).Consumer"
    }

    private func share(of tickets: ClusterTickets, _ worker: Worker) -> ClusterShare {
        let key = ObjectIdentifier(tickets)
        if let share = self.shares[key] { return share }
        let share = ClusterShare(tickets, self, worker)
        self.shares[key] = share
        return share
    }
}
