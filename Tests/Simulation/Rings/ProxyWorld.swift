// SPDX-License-Identifier: Apache-2.0

import Common
import NIOCore
@testable import Proxy
import SimulationSupport

/// What the ring with upstreams knows: clients, upstreams, and who was asked what.
final class ProxyWorld {
    /// Chooses the endpoint that the path names.
    private struct ChoiceStage: Stage {
        static let name = "choice"
        let endpoints: [Endpoint]

        func onRequest(_ exchange: inout Exchange) -> Verdict {
            let path = exchange.requestHeaders.string(in: exchange.request.path)
            guard let number = Int(path.dropFirst()) else { return .reply(LocalReply(status: 400)) }
            exchange.endpoint = self.endpoints[number % self.endpoints.count]
            return .proceed
        }
    }

    /// Opens channels whose other ends are scripted.
    private final class Opener: ChannelOpener {
        weak var ring: ProxyWorld?
        private let loop: SimulatedLoop
        private let schedule: Schedule

        init(_ loop: SimulatedLoop, _ schedule: Schedule) {
            self.loop = loop
            self.schedule = schedule
        }

        func open(
            _ address: SocketAddress, _ settings: ProxySettings, initialize: @escaping (any Channel) throws -> Void,
            then: @escaping ((any Error)?) -> Void
        ) {
            let dialer = SimulatedDialer(loop: self.loop) { [weak ring] in ring?.called($0, $1, $2) }
            let future = dialer.connect(
                to: address, timeout: settings.connect, send: self.schedule.pick([8192, 2048, 512, 65_536]),
                receive: self.schedule.pick([8192, 2048, 65_536])
            ) { channel in
                try channel.syncOptions?.setOption(.writeBufferWaterMark, value: settings.writeBufferWaterMark)
                try channel.syncOptions?.setOption(.maxMessagesPerRead, value: ProxySettings.readsPerEvent)
                try initialize(channel)
            }
            future.assumeIsolated().whenComplete { result in
                switch result {
                case .success: then(nil)
                case .failure(let error): then(error)
                }
            }
        }
    }

    private static let places = [1, 2].map { Endpoint(loopbackPort: 8000 + UInt16($0), protocolName: "rest") }

    let schedule: Schedule
    let world: World
    let plans: Snapshot<TrafficPlan>
    let settings: ProxySettings
    let endpoints: [Endpoint]
    private let opener: Opener
    var asked: [Asked] = []
    var served: [Served] = []
    private(set) var upstreams: [ScriptedUpstream] = []
    /// Those that may still do something.
    private(set) var live: [ScriptedUpstream] = []
    /// Everybody behaves from here on.
    var isEnding = false

    init(_ schedule: Schedule) {
        self.schedule = schedule
        var opener: Opener?
        self.world = World(schedule) { loop in
            let made = Opener(loop, schedule)
            opener = made
            return SocketConnector(made)
        }
        guard let opener else { preconditionFailure("a worker without a connector") }
        self.opener = opener
        self.endpoints = Array(Self.places.prefix(schedule.pick([1, 2])))
        var settings = World.settings
        settings.buffer = schedule.pick([4096, 16_384])
        settings.tunnel = .seconds(400)
        self.settings = settings
        let plan = TrafficPlan(
            direction: .outgoing, chain: StageChain([ChoiceStage(endpoints: self.endpoints)]), settings: settings)
        self.plans = Snapshot(plan, on: self.world.loop)
        opener.ring = self
    }

    var loop: SimulatedLoop { self.world.loop }

    /// The most that an upstream may have sent and mesher not read, which comes all at once behind its FIN.
    var largestUpstreamQueue: Int { 65_536 }

    func note(_ text: @autoclosure () -> String) { self.world.note(text()) }

    private func called(_ address: SocketAddress, _ channel: SimulatedChannel, _ wire: SimulatedWire) {
        let number = self.upstreams.count
        let name = "upstream \(number)"
        let place = self.endpoints.firstIndex { $0.address == address } ?? -1
        let upstream = ScriptedUpstream(self, name, place, channel, wire)
        self.upstreams.append(upstream)
        self.live.append(upstream)
        self.world.add(channel)
        self.note("mesher connects: \(name)")
        switch self.schedule.draw(8) {
        case 0...3: upstream.accept()
        case 7: upstream.refuse()
        default: break
        }
    }

    /// Forgets those that have nothing to do any more.
    func prune() { self.live.removeAll { $0.isOver } }

    func timePassed() { for upstream in self.live { upstream.timePassed() } }

    /// What waits to be written to upstreams is bounded.
    func checkHeld() throws {
        // A read, and what a client's kernel has behind its FIN.
        let writable = self.settings.buffer + 2 * 65_536 + 1024
        for upstream in self.live where upstream.channel.bufferedBytes > writable {
            throw Violation(
                "held", "\(upstream.name): \(upstream.channel.bufferedBytes) bytes of requests wait, \(writable) may")
        }
    }
}
