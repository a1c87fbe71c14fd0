// SPDX-License-Identifier: Apache-2.0

package import Common
import FoundationEssentials
import GRPCCore
package import Logging
package import NIOCore
import SwiftProtobuf

/// Follows Istio's control plane: one stream at a time, which is opened again whenever it ends.
///
/// Responses are handed over one after the other, in the order in which they came, and acknowledged by what came of them.
/// A control plane that does not know delta is asked in state of the world, and one that does not know xDS v3 by v2 where that is
/// allowed, for as long as the process lives.
package actor DiscoveryClient {
    /// Takes what a response says; what it returns is refused, and all else counts as taken.
    package typealias Receiver = @Sendable (ResourceUpdate) async -> [ResourceRefusal]
    /// What is held of a kind: versions by name.
    package typealias Versions = @Sendable (ResourceKind) async -> [String: String]

    private let servers: ControlPlaneServers
    private let patience: Duration
    private let node: NodeIdentity
    private let access: ControlPlaneAccess
    private let status: ControlPlaneStatus
    private let allowsVersion2: Bool
    private let receive: Receiver
    private let versions: Versions
    private let loops: any EventLoopGroup
    private let logger: Logger

    private var wanted: [ResourceKind: Set<String>] = [:]
    /// That of the call that is under way; `nil` when there is none, or before it has begun.
    private var stream: (any DiscoveryStream)?
    private var requests: AsyncStream<[UInt8]>.Continuation?
    private var told = ToldFailures()

    /// A client that calls nobody yet.
    ///
    /// - Parameter servers: Replicas of one control plane; one is asked at a time.
    /// - Parameter config: How server and workload prove to each other who they are.
    /// - Parameter status: Outlives the client, and remembers for it which form of the protocol is understood.
    /// - Parameter patience: How long a server may say nothing on a new stream: Istio's answers at once, with all clusters.
    /// - Parameter resolver: Looks up the names of servers.
    package init(
        _ servers: [ServerAddress], node: NodeIdentity, config: IstioConfig = IstioConfig(), status: ControlPlaneStatus,
        pace: Reconnect.Pace = .usual,
        patience: Duration = .seconds(30), resolver: NameResolver = .shared, loops: any EventLoopGroup, logger: Logger,
        receive: @escaping Receiver, versions: @escaping Versions
    ) {
        self.servers = ControlPlaneServers(servers, pace: pace, resolver: resolver)
        self.patience = patience
        self.node = node
        self.access = ControlPlaneAccess(config: config)
        self.allowsVersion2 = config.allowsVersion2
        self.status = status
        self.loops = loops
        self.logger = logger
        self.receive = receive
        self.versions = versions
    }

    /// Asks for these endpoints, or tables of routes, from now on, and for no others of the kind.
    package func want(_ names: Set<String>, of kind: ResourceKind) {
        self.wanted[kind] = names
        self.send { $0.want(names, of: kind) }
    }

    /// Follows the control plane until cancelled.
    package func run() async {
        while let turn = await self.servers.next() {
            let place = turn.place
            self.status.update { $0.server = "\(place)" }
            var failure = CallFailure("the control plane has ended the stream")
            do {
                try await self.follow(turn)
            } catch let error as RPCError where error.code == .unimplemented {
                if let form = self.nextForm {
                    self.logger.notice(
                        form == .version2
                            ? "the control plane does not know xDS v3, and is asked by v2"
                            : "the control plane does not know delta, and is asked in state of the world",
                        metadata: ["server": "\(place)"])
                    self.status.update {
                        $0.form = form
                        $0.isConnected = false
                    }
                    await self.servers.succeeded(place)
                    continue
                }
                // It may become another one.
                self.status.update { $0.form = .delta }
                failure = CallFailure(
                    self.allowsVersion2
                        ? "the server speaks neither xDS v3 nor v2" : "the server does not speak xDS v3")
            } catch is Silence {
                failure = CallFailure("no answer within \(DurationText.write(self.patience))")
            } catch {
                failure = CallFailure(
                    error, authorities: self.access.authorities(of: turn.server), within: self.patience)
            }
            if Task.isCancelled { break }
            await self.ended(place, wasServing: self.status.current.isConnected, failure)
        }
        self.status.update { $0.isConnected = false }
    }

    private var form: ControlPlaneStatus.Form { self.status.current.form }

    /// What to ask a server in that does not know the form; `nil` when all were tried.
    private var nextForm: ControlPlaneStatus.Form? {
        switch self.form {
        case .delta: .stateOfTheWorld
        case .stateOfTheWorld: self.allowsVersion2 ? .version2 : nil
        case .version2, .version1: nil
        }
    }

    /// One stream, from its beginning to its end.
    private func follow(_ turn: ControlPlaneServers.Turn) async throws {
        guard let address = turn.address else { throw UnknownHost() }
        var held: [ResourceKind: [String: String]] = [:]
        for kind in ResourceKind.allCases { held[kind] = await self.versions(kind) }
        let node = self.node.message(version: BuildInfo.sourceVersion)
        let form = self.form
        let call = DiscoveryCall(
            channel: ControlPlaneChannel(server: turn.server, address: address, access: self.access, loops: self.loops),
            service: "envoy.service.discovery.\(form == .version2 ? "v2" : "v3").AggregatedDiscoveryService",
            method: form == .delta ? DeltaStream.method : WorldStream.method)
        let (stream, continuation) = AsyncStream.makeStream(of: [UInt8].self)
        self.requests = continuation
        self.stream =
            form == .delta ? DeltaStream(node: node) : WorldStream(node: node, isVersion2: form == .version2)
        defer {
            continuation.finish()
            self.requests = nil
            self.stream = nil
        }
        let wanted = self.wanted
        self.send { $0.begin(wanted, versions: held) }
        try await withThrowingTaskGroup(of: Bool.self) { group in
            group.addTask {
                try await call.run(sending: stream) { try await self.take($0, from: turn.place) }
                return true
            }
            group.addTask {
                try await Task.sleep(for: self.patience)
                if await self.isSilent { throw Silence() }
                return false
            }
            while let isOver = try await group.next(), !isOver {}
            group.cancelAll()
        }
    }

    private var isSilent: Bool { !self.status.current.isConnected }

    /// Takes a response, and answers it.
    private func take(_ bytes: [UInt8], from place: ServerPlace) async throws {
        guard let response = try self.stream?.read(bytes) else { return }
        await self.answered(place)
        let refusals = await self.receive(response.update)
        let count = await self.versions(response.update.kind).count
        let known = self.status.current.resources[response.update.kind.name]?.refusals ?? [:]
        let (first, more) = ResourceRefusal.first(refusals.filter { known[$0.name] != $0.reason })
        for refusal in first {
            self.logger.warning(
                "a resource of the control plane is refused",
                metadata: ["name": "\(refusal.name)", "reason": "\(refusal.reason)"])
        }
        if more > 0 {
            self.logger.warning("more resources of the control plane are refused", metadata: ["count": "\(more)"])
        }
        self.status.update {
            $0.lastUpdate = Date()
            $0.resources[response.update.kind.name, default: .init()].take(response, refusals, count: count)
        }
        self.send { $0.answer(response, refusals) }
    }

    /// Sends what the stream has to say; nothing while there is none.
    private func send(_ say: (inout any DiscoveryStream) -> [any SwiftProtobuf.Message]) {
        guard var stream = self.stream else { return }
        let messages = say(&stream)
        self.stream = stream
        for message in messages {
            guard let bytes: [UInt8] = try? message.serializedBytes() else { continue }
            self.requests?.yield(bytes)
        }
    }

    private func send(_ say: (inout any DiscoveryStream) -> (any SwiftProtobuf.Message)?) {
        self.send { stream in say(&stream).map { [$0] } ?? [] }
    }

    private func answered(_ place: ServerPlace) async {
        await self.servers.succeeded(place)
        guard !self.status.current.isConnected else { return }
        self.told.forget()
        self.status.update {
            $0.isConnected = true
            $0.failure = nil
        }
        self.logger.notice(
            "connected to the control plane", metadata: ["server": "\(place)", "protocol": "\(self.form.rawValue)"])
    }

    private func ended(_ place: ServerPlace, wasServing: Bool, _ failure: CallFailure) async {
        await self.servers.failed(place)
        self.status.update {
            $0.isConnected = false
            $0.failure = failure.text
        }
        let metadata: Logger.Metadata = ["server": "\(place)", "error": "\(failure.text)"]
        if wasServing {
            self.logger.notice("connection to the control plane lost", metadata: metadata)
            return
        }
        let level = self.told.level(failure)
        if failure.isRefusal {
            self.logger.log(level: level, "the control plane does not let this workload in", metadata: metadata)
        } else {
            self.logger.log(level: level, "the control plane cannot be reached", metadata: metadata)
        }
    }
}

/// Nothing was heard on a stream.
private struct Silence: Error {}

extension ControlPlaneStatus.Resources {
    private static let mostRefusals = 1_000

    /// Takes over what came of a response.
    ///
    /// What was refused and is not spoken of stays so, unless the response is whole.
    fileprivate mutating func take(_ response: ReadResponse, _ refusals: [ResourceRefusal], count: Int) {
        let update = response.update
        self.version = response.version
        self.count = count
        if update.isWhole { self.refusals = [:] }
        for name in update.resources.map(\.refusedName) + update.removed { self.refusals[name] = nil }
        for refusal in refusals where self.refusals.count < Self.mostRefusals {
            self.refusals[refusal.name] = refusal.reason
        }
        if !refusals.isEmpty { self.refusedResponses += 1 }
    }
}
