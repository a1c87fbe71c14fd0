// SPDX-License-Identifier: Apache-2.0

import CSimulation
import ExchangeRing
import SimulationSupport

#if canImport(Glibc)
    import Glibc
#endif

/// What is asked on the command line.
struct Order {
    var ring = "b"
    var seeds: ClosedRange<UInt64> = 1...UInt64.max
    var seconds = 60.0
    var replay: [UInt32]?
    var shown: UInt64?
    var ignored: Set<String> = []

    static let usage = """
        usage: simulate [--ring a|b|s|p|h] [--seeds FROM..TO] [--seconds N] [--ignore RULE,…]
               simulate --replay RING:DECISION,…
               simulate --ring a|b|s|p|h --show SEED
        """

    init?(_ arguments: [String]) {
        var rest = arguments[...]
        while let name = rest.popFirst() {
            guard let value = rest.popFirst() else { return nil }
            switch name {
            case "--ring": self.ring = value
            case "--seeds":
                let ends = value.split(separator: ".", omittingEmptySubsequences: true).compactMap { UInt64($0) }
                guard let first = ends.first, let last = ends.last, first <= last else { return nil }
                self.seeds = first...last
            case "--seconds":
                guard let seconds = Double(value) else { return nil }
                self.seconds = seconds
            case "--ignore": self.ignored = Set(value.split(separator: ",").map(String.init))
            case "--show":
                guard let seed = UInt64(value) else { return nil }
                self.shown = seed
            case "--replay":
                let parts = value.split(separator: ":", omittingEmptySubsequences: false)
                guard parts.count == 2 else { return nil }
                self.ring = String(parts[0])
                self.replay = parts[1].split(separator: ",").compactMap { UInt32($0) }
            default: return nil
            }
        }
    }
}

unsafe simulation_make_deterministic(CommandLine.unsafeArgv)
guard let order = Order(Array(CommandLine.arguments.dropFirst())) else {
    print(Order.usage)
    exit(2)
}
let campaign: Campaign
switch order.ring {
case "a": campaign = Campaign(ring: "a", body: ExchangeRing(ignored: order.ignored).run)
case "s": campaign = Campaign(ring: "s", body: ServerRing(ignored: order.ignored).run)
case "p": campaign = Campaign(ring: "p", body: ProxyRing(ignored: order.ignored).run)
case "h": campaign = Campaign(ring: "h", body: ProxyRing(hasStreams: true, ignored: order.ignored).run)
case "b":
    let server = ServerRing(ignored: order.ignored)
    let proxy = ProxyRing(ignored: order.ignored)
    let streams = ProxyRing(hasStreams: true, ignored: order.ignored)
    // What the clients' side alone can show needs many clients that ask a lot.
    campaign = Campaign(ring: "b") { schedule in
        switch schedule.draw(8) {
        case 0, 1: try server.run(schedule)
        case 2...4: try proxy.run(schedule)
        default: try streams.run(schedule)
        }
    }
default:
    print("simulate: there is no ring \(order.ring)")
    exit(2)
}
let hasPassed: Bool
if let replay = order.replay {
    hasPassed = campaign.replay(replay)
} else if let seed = order.shown {
    hasPassed = campaign.show(seed: seed)
} else {
    hasPassed = campaign.run(seeds: order.seeds, seconds: order.seconds)
}
exit(hasPassed ? 0 : 1)
