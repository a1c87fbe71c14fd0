// SPDX-License-Identifier: Apache-2.0
// request path

import Common
import NIOCore
import TLS

/// Connections that many requests share: HTTP/2.
extension ConnectionPool {
    /// A stream of a connection that is shared.
    func openStream(_ group: Group, for ticket: Ticket) -> Opening {
        if group.share == nil || group.waiting.isEmpty,
            let connection = group.shared.first(where: { $0.isAvailable })
        {
            group.worker.metrics.upstreamReuses.add()
            return .ready(connection.makeStream())
        }
        if let share = group.share { return share.openStream(group, for: ticket) }
        group.waiting.append(Waiter(ticket: ticket, isStream: true, isFresh: false, number: 0))
        if !group.isGrowing(for: group.waiting.count) {
            self.connectShared(group, Self.settings(of: ticket.driver))
        }
        return .pending
    }

    /// Gives those that wait what there is: streams, or in a cluster that limits its connections idle ones.
    func serveWaiting(_ group: Group) {
        while let waiter = group.waiting.first {
            let ticket = waiter.ticket
            guard ticket.isValid else {
                group.waiting.removeFirst()
                continue
            }
            guard let upstream = self.free(group, for: waiter) else {
                // A share asks for a place first.
                if group.share == nil, !group.isGrowing(for: group.waiting.count) {
                    self.connectShared(group, Self.settings(of: ticket.driver))
                }
                return
            }
            group.waiting.removeFirst()
            ticket.driver.connected(upstream, ticket.number)
        }
    }

    /// What there is at once for one that waits.
    private func free(_ group: Group, for waiter: Waiter) -> (any Upstream)? {
        if waiter.isStream { return group.shared.first { $0.isAvailable }?.makeStream() }
        return waiter.isFresh ? nil : self.takeIdle(group)
    }

    /// It is known how many streams a connection takes, or was waited for long enough.
    func settingsReceived(_ connection: any SharedConnection) {
        if connection.hasSettings { connection.group.hasBeenSilent = false }
        connection.group.serveLater()
    }

    /// A connection takes no more requests.
    func retired(_ connection: any SharedConnection) {
        connection.group.shared.removeAll { $0 === connection }
        if !connection.hasSettings, !connection.isGivenUp { connection.group.hasBeenSilent = true }
        // Those that waited for its settings wait for another one now.
        connection.group.serveLater()
    }

    /// A connection is closed; once for each that was shared.
    func closed(_ connection: any SharedConnection) {
        self.retired(connection)
        self.leave(connection.group)
    }

    /// Dials for all that wait.
    func connectShared(_ group: Group, _ settings: ProxySettings) {
        group.connecting += 1
        group.count += 1
        group.worker.metrics.upstreamConnects.add()
        let kind: ConnectionKind = group.tls == nil ? .http2 : .secured(group.isStreamsOnly ? .http2 : .either)
        self.dial(group, kind, settings) { result in
            group.connecting -= 1
            switch result {
            case .failure(let error):
                self.leave(group)
                Self.log(error, group)
                self.connectFailed(group)
            case .success(.shared(let connection)) where !connection.isOpen:
                // It was closed before anybody could use it.
                self.connectFailed(group)
            case .success(.shared(let connection)):
                group.isHTTP2 = true
                group.shared.append(connection)
                connection.start()
                self.serveWaiting(group)
                group.share?.serveLater()
            case .success(.single(let connection)) where group.isStreamsOnly:
                // It has not agreed on HTTP/2, and gRPC is nothing without.
                connection.close()
                self.connectFailed(group)
            case .success(.single(let connection)):
                group.isHTTP2 = false
                self.serve(group, connection, settings)
            }
        }
    }

    /// What was taken for a shared connection serves one request: the others get connections of their own.
    private func serve(_ group: Group, _ connection: any SingleConnection, _ settings: ProxySettings) {
        let waiting = group.waiting
        group.waiting = []
        var free: (any SingleConnection)? = connection
        for waiter in waiting where waiter.ticket.isValid {
            let ticket = waiter.ticket
            if let connection = free.take() {
                ticket.driver.connected(connection, ticket.number)
            } else if let share = group.share {
                share.wait(waiter.single, group)
            } else {
                self.connect(group, for: ticket, isTunnel: false)
            }
        }
        if let free { self.giveBack(free, idle: settings.upstreamIdle, most: settings.maxIdleUpstream) }
    }

    /// Everybody who waited is told; a new try is theirs to begin.
    private func connectFailed(_ group: Group) {
        let waiting = group.waiting
        group.waiting = []
        for waiter in waiting { waiter.ticket.driver.connectFailed(waiter.ticket.number, Self.failure(waiter.ticket)) }
        self.forgetIfUnused(group)
    }
}

extension ConnectionPool.Group {
    /// Whether so many had better wait for shared connections that are coming than open another one.
    func isGrowing(for waiting: Int) -> Bool {
        guard let most = self.life?.requests else {
            return self.connecting > 0 || self.shared.contains { $0.isPending }
        }
        let taken = self.shared.reduce(0) { $0 + ($1.isPending ? max(0, most - $1.served) : 0) }
        return self.connecting * most + taken >= waiting
    }
}

extension ConnectionPool.Waiter {
    /// The same for a connection that turned out not to be shared.
    var single: Self { Self(ticket: self.ticket, isStream: false, isFresh: self.isFresh, number: self.number) }
}
