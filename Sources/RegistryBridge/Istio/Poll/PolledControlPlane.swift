// SPDX-License-Identifier: Apache-2.0

package import Common
import FoundationEssentials
import IstioMessages
package import Logging
package import NIOCore
import NIOHTTP1
import SwiftProtobuf

/// Asks Istio's first discovery API, which tells nobody of changes: each time all of it, and at once what is newly wanted.
///
/// What it answers is handed over as messages of xDS. An answer that fails changes nothing; an empty one takes away.
package actor PolledControlPlane: ControlPlaneClient {
    private enum News: Sendable { case wanted }

    private let client: ConfigServerClient
    private let node: String
    private let interval: Duration
    private let status: ControlPlaneStatus
    private let logger: Logger
    private let receive: DiscoveryClient.Receiver
    private let versions: DiscoveryClient.Versions
    private let news = Mailbox<News>("istio wants", capacity: 1, whenFull: .dropNewest)

    private var wanted: [ResourceKind: Set<String>] = [:]
    private var tables: [UInt16: OldAnswers.Table] = [:]
    /// `nil` until everything was answered once.
    private var translation: OldTranslation?
    /// What was told of clusters last.
    private var clusters: [XDSCluster] = []
    /// What was handed over, by name.
    private var told: [ResourceKind: [String: Data]] = [:]
    private var count = 0
    /// Whether it is known in which zone this sidecar is, or was said that it is not.
    private var isPlaced: Bool

    /// Somebody who asks nobody yet.
    ///
    /// - Parameter servers: Replicas of one control plane; one is asked until it fails.
    /// - Parameter interval: Between two questions of the same.
    package init(
        _ servers: [ServerAddress], node: NodeIdentity, interval: Duration, status: ControlPlaneStatus,
        pace: Reconnect.Pace = .usual, resolver: NameResolver = .shared, loops: any EventLoopGroup, logger: Logger,
        receive: @escaping DiscoveryClient.Receiver, versions: @escaping DiscoveryClient.Versions
    ) {
        self.client = ConfigServerClient(
            servers.map(\.text), headers: HTTPHeaders(), login: nil, tls: nil, pace: pace, resolver: resolver,
            loops: loops)
        // Pilot takes the cluster for nothing but statistics.
        self.node = "istio-proxy/\(node.id)"
        self.isPlaced = node.locality != nil
        self.interval = interval
        self.status = status
        self.logger = logger
        self.receive = receive
        self.versions = versions
    }

    /// Asks for these from now on; for what is new among them at once.
    package func want(_ names: Set<String>, of kind: ResourceKind) {
        let isMore = !names.isSubset(of: self.wanted[kind] ?? [])
        self.wanted[kind] = names
        self.told[kind] = self.told[kind]?.filter { names.contains($0.key) }
        if isMore { self.news.send(.wanted) }
    }

    /// Asks again and again until cancelled.
    package func run() async {
        self.status.update { $0.form = .version1 }
        while !Task.isCancelled {
            let isWhole = await self.poll()
            let pause = isWhole ? self.interval * Double.random(in: 0.9...1.1) : .seconds(1)
            let next = ContinuousClock.now + pause
            while !Task.isCancelled, await !self.news.receiveAll(until: next).isEmpty { await self.tellWanted() }
        }
        self.status.update { $0.isConnected = false }
        await self.client.close()
    }

    /// From so many services on they are asked for all at once, with those that nobody wants.
    private static let manyServices = 10

    /// Asks for everything.
    ///
    /// - Returns: Whether all of it was answered.
    private func poll() async -> Bool {
        do {
            let listeners = try await self.get("listeners/\(self.node)", OldAnswers.Listeners.self).listeners ?? []
            let managers = listeners.flatMap { $0.filters ?? [] }.compactMap(\.config)
            let ports = Set(managers.compactMap { $0.rds?.routeConfigName }.compactMap { UInt16($0) })
            var tables: [UInt16: OldAnswers.Table] = [:]
            for port in ports.sorted() {
                tables[port] = try await self.get("routes/\(port)/\(self.node)", OldAnswers.Table.self)
            }
            let clusters = try await self.get("clusters/\(self.node)", OldAnswers.Clusters.self).clusters ?? []
            // Each listener has the faults of its tables' clusters.
            let faults = managers.flatMap { $0.filters ?? [] }.filter { $0.name == "fault" }.compactMap(\.config)
            self.translation = OldTranslation(clusters, tables: tables, faults: faults)
            self.tables = tables
        } catch {
            self.failed(error)
            return false
        }
        if !self.status.current.isConnected {
            self.status.update {
                $0.isConnected = true
                $0.failure = nil
            }
            self.logger.notice(
                "connected to the control plane", metadata: ["protocol": "\(ControlPlaneStatus.Form.version1.rawValue)"]
            )
        }
        // What is gone goes last: until the routes are told, requests go by those of before.
        let clusters = self.translation?.clusters ?? []
        let names = Set(clusters.map(\.name))
        let gone = self.clusters.filter { !names.contains($0.name) }
        self.clusters = clusters + gone
        await self.tellClusters()
        guard await self.tellWanted(isAgain: true) else { return false }
        self.clusters = clusters
        await self.tellClusters()
        return true
    }

    private func tellClusters() async {
        await self.tell(.cluster, self.clusters.map { ($0.name, $0) }, isWhole: true)
    }

    /// Hands over the tables and the endpoints that are wanted.
    ///
    /// - Parameter isAgain: Whether to ask for endpoints that are known too.
    /// - Returns: Whether all of it was answered.
    @discardableResult
    private func tellWanted(isAgain: Bool = false) async -> Bool {
        guard let translation = self.translation else { return false }
        var isAnswered = true
        let asked = (self.wanted[.endpoints] ?? []).sorted().filter { name in
            translation.keys[name] != nil && (isAgain || self.told[.endpoints]?[name] == nil)
        }
        var listed: [String: [OldAnswers.Host]] = [:]
        if asked.count(where: { ClusterName($0)?.subset == "" }) >= Self.manyServices {
            do {
                for service in try await self.get("registration", [OldAnswers.Service].self) {
                    listed[service.key] = service.hosts ?? []
                }
            } catch {
                self.failed(error)
                return false
            }
        }
        for name in asked {
            guard let key = translation.keys[name] else { continue }
            do {
                let hosts: [OldAnswers.Host]
                if let known = listed[key] {
                    hosts = known
                } else {
                    hosts =
                        try await self.get("registration/\(key.percentEncoded())", OldAnswers.Hosts.self).hosts ?? []
                }
                self.tellZones(hosts)
                await self.tell(.endpoints, [(name, OldTranslation.assignment(name, hosts))], isWhole: false)
            } catch {
                self.failed(error)
                isAnswered = false
            }
        }
        var tables: [(name: String, message: any SwiftProtobuf.Message)] = []
        for name in (self.wanted[.route] ?? []).sorted() {
            // One that is not there is empty.
            var table = XDSRouteConfiguration.with { $0.name = name }
            if let port = UInt16(name), let said = self.tables[port] { table = translation.table(port, said) }
            tables.append((name, table))
        }
        await self.tell(.route, tables, isWhole: false)
        return isAnswered
    }

    /// Says once that endpoints have zones, and that nobody has said where this sidecar is.
    private func tellZones(_ hosts: [OldAnswers.Host]) {
        guard !self.isPlaced, hosts.contains(where: { !($0.tags?.az ?? "").isEmpty }) else { return }
        self.isPlaced = true
        let gap = "/v1/az is not asked for the zone of this sidecar, which no endpoint is near to: write region"
        self.logger.warning("Istio asks for what is not done", metadata: ["gap": "\(gap)"])
        self.status.update { $0.notDone.append(gap) }
    }

    /// Hands over what is other than before.
    private func tell(
        _ kind: ResourceKind, _ messages: [(name: String, message: any SwiftProtobuf.Message)], isWhole: Bool
    ) async {
        var new: [String: Data] = [:]
        for (name, message) in messages {
            var options = BinaryEncodingOptions()
            options.useDeterministicOrdering = true
            new[name] = try? message.serializedBytes(options: options)
        }
        let old = self.told[kind]
        let changed = isWhole ? (old == new ? [:] : new) : new.filter { old?[$0.key] != $0.value }
        if isWhole { self.told[kind] = new } else { self.told[kind, default: [:]].merge(new) { $1 } }
        guard !changed.isEmpty || isWhole && old != new else { return }
        self.count += 1
        let resources = changed.sorted { $0.key < $1.key }.map { name, bytes in
            ResourceUpdate.Resource(name: name, version: "\(self.count)", typeURL: kind.typeURL, bytes: bytes)
        }
        let refusals = await self.receive(
            ResourceUpdate(kind: kind, resources: resources, removed: [], isWhole: isWhole))
        for refusal in ResourceRefusal.first(refusals).refusals {
            self.logger.warning(
                "a resource of the control plane is refused",
                metadata: ["name": "\(refusal.name)", "reason": "\(refusal.reason)"])
        }
        let held = await self.versions(kind).count
        self.status.update {
            $0.lastUpdate = Date()
            var known = $0.resources[kind.name] ?? .init()
            known.version = "\(self.count)"
            known.count = held
            for name in changed.keys { known.refusals[name] = nil }
            for refusal in ResourceRefusal.first(refusals).refusals { known.refusals[refusal.name] = refusal.reason }
            if !refusals.isEmpty { known.refusedResponses += 1 }
            $0.resources[kind.name] = known
        }
    }

    private func get<Answer: Decodable>(_ path: String, _ type: Answer.Type) async throws -> Answer {
        let answer = try await self.client.get("/v1/\(path)")
        self.status.update { $0.server = "\(answer.place)" }
        guard answer.status == 200 else {
            throw ConfigServerFailure("\(answer.place): status \(answer.status) at /v1/\(path)")
        }
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        do {
            return try decoder.decode(type, from: answer.body)
        } catch {
            throw ConfigServerFailure("\(answer.place): the answer to /v1/\(path) is none of Istio's first API")
        }
    }

    private func failed(_ error: any Error) {
        if Task.isCancelled { return }
        let text = (error as? ConfigServerFailure)?.text ?? "\(error)"
        let isNew = self.status.current.failure != text
        self.status.update {
            $0.isConnected = false
            $0.failure = text
        }
        self.logger.log(
            level: isNew ? .warning : .debug, "the control plane cannot be reached", metadata: ["error": "\(text)"])
    }
}
