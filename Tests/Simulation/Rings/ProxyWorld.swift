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
            if exchange.request.method == .connect { return .reply(.established) }
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
    /// Those that speak HTTP/2.
    private static let streamPlaces = [3, 4].map { Endpoint(loopbackPort: 8000 + UInt16($0), protocolName: "grpc") }

    let schedule: Schedule
    let world: World
    let plans: Snapshot<TrafficPlan>
    let settings: ProxySettings
    let endpoints: [Endpoint]
    private let opener: Opener
    var asked: [Asked] = []
    var served: [Served] = []
    private(set) var upstreams: [any RingUpstream] = []
    /// Those that may still do something.
    private(set) var live: [any RingUpstream] = []
    /// Nobody does anything, and time passes.
    var isPassing = false
    private(set) var isDraining = false
    /// Everybody behaves from here on.
    var isEnding = false
    /// Whether any of it is HTTP/2.
    let hasStreams: Bool
    /// Whether any upstream has done what may cost a request its answer.
    var hasBlemish = false

    init(_ schedule: Schedule, hasStreams: Bool) {
        self.schedule = schedule
        self.hasStreams = hasStreams
        var opener: Opener?
        self.world = World(schedule) { loop in
            let made = Opener(loop, schedule)
            opener = made
            return SocketConnector(made)
        }
        guard let opener else { preconditionFailure("a worker without a connector") }
        self.opener = opener
        var settings = World.settings
        if hasStreams {
            let kinds = [[true], [true, true], [true, false], [false, false]][schedule.draw(4)]
            self.endpoints = kinds.enumerated().map { ($1 ? Self.streamPlaces : Self.places)[$0] }
            settings.http2Streams = schedule.pick([100, 100, 3])
        } else {
            self.endpoints = Array(Self.places.prefix(schedule.pick([1, 2])))
        }
        settings.buffer = schedule.pick([4096, 16_384])
        settings.tunnel = .seconds(400)
        self.settings = settings
        let plan = Self.plan(self.endpoints, settings, .none)
        self.plans = Snapshot(plan, on: self.world.loop)
        opener.ring = self
    }

    private static func plan(
        _ endpoints: [Endpoint], _ settings: ProxySettings, _ ending: TrafficPlan.Ending
    ) -> TrafficPlan {
        TrafficPlan(
            direction: .outgoing, chain: StageChain([ChoiceStage(endpoints: endpoints)]), settings: settings,
            ending: ending)
    }

    /// mesher says farewell to all of its clients.
    func drain() {
        if self.isDraining { return }
        self.isDraining = true
        self.note("mesher drains")
        self.plans.publish(Self.plan(self.endpoints, self.settings, .begun))
        self.world.worker.closeIdleConnections()
    }

    var loop: SimulatedLoop { self.world.loop }

    /// The most that an upstream may have sent and mesher not read, which comes all at once behind its FIN.
    var largestUpstreamQueue: Int { 65_536 }

    func note(_ text: @autoclosure () -> String) { self.world.note(text()) }

    /// What a client's channel gets, as the listener does it.
    func accept(_ channel: SimulatedChannel, _ budget: ConnectionBudget) throws -> HTTP1ServerConnection {
        try channel.syncOptions?.setOption(.allowRemoteHalfClosure, value: true)
        try channel.syncOptions?.setOption(.writeBufferWaterMark, value: self.settings.writeBufferWaterMark)
        budget.enter()
        let handler = HTTP1ServerConnection(
            worker: self.world.worker, plans: self.plans.reader(for: self.loop), budget: budget)
        try channel.pipeline.syncOperations.addHandler(handler)
        self.world.add(channel)
        channel.becomeAccepted()
        return handler
    }

    private func called(_ address: SocketAddress, _ channel: SimulatedChannel, _ wire: SimulatedWire) {
        let number = self.upstreams.count
        let name = "upstream \(number)"
        let place = self.endpoints.firstIndex { $0.address == address } ?? -1
        let isStreams = place >= 0 && self.endpoints[place].protocolName == "grpc"
        let upstream: any RingUpstream =
            isStreams
            ? StreamUpstream(self, name, place, channel, wire) : ScriptedUpstream(self, name, place, channel, wire)
        self.upstreams.append(upstream)
        self.live.append(upstream)
        self.world.add(channel)
        self.note("mesher connects: \(name)")
        let choice = self.schedule.draw(8)
        if choice < 4 { return upstream.accept() }
        // Whoever takes its time may take too long.
        self.hasBlemish = true
        if choice == 7 { upstream.refuse() }
    }

    /// Forgets those that have nothing to do any more.
    func prune() { self.live.removeAll { $0.isOver } }

    func timePassed() { for upstream in self.live { upstream.timePassed() } }

    /// An upstream is handed a request: whether it may be.
    func serve(_ asked: Asked, _ name: String) throws -> Served {
        guard asked.served.count < 4 else { throw Violation("twice", "request \(asked.number) is sent once more") }
        let served = Served(number: self.served.count, asked: asked, now: self.loop.now)
        self.served.append(served)
        asked.served.append(served)
        self.note("\(name) has the head of request \(asked.number), and will answer \(served.number)")
        return served
    }

    /// No request was served twice, unless it may be.
    func checkServed() throws {
        for asked in self.asked {
            // Who has said nothing of its settings, or that it has not looked at the request, has not served it.
            let served = asked.served.filter { !$0.isUnseen && $0.connection?.hasToldSettings != false }
            let isLegal = asked.isReplayable && served.count { !$0.isBroken } <= 1
            guard served.count <= 1 || isLegal else {
                throw Violation("twice", "request \(asked.number) is served by \(served.map { $0.number })")
            }
        }
    }

    func checkHeld() throws { for upstream in self.live { try upstream.checkHeld(self.settings) } }
}
