// SPDX-License-Identifier: Apache-2.0

import CSimulation

/// A rule of the simulation that was broken.
package struct Violation: Error {
    /// Which; what shrinks must break the same one.
    package let rule: String
    /// How, in plain words.
    package let text: String

    /// A broken rule.
    package init(_ rule: String, _ text: String) {
        self.rule = rule
        self.text = text
    }
}

/// The random decisions of one run: drawn from a seed, or replayed.
///
/// Every decision is a number below a bound, and 0 is always the plainest: a run that is given nothing but zeros is the
/// one in which least happens. That is what a failing list is shrunk towards.
package final class Schedule {
    /// SplitMix64.
    private struct Generator {
        var state: UInt64

        mutating func next() -> UInt64 {
            self.state &+= 0x9e37_79b9_7f4a_7c15
            var mixed = self.state
            mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
            mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
            return mixed ^ (mixed >> 31)
        }
    }

    private var generator: Generator
    private let replayed: [UInt32]?
    private var position = 0
    /// Whether ``note(_:)`` keeps anything.
    package let isTraced: Bool

    /// The decisions that belong to `seed`.
    package init(seed: UInt64, isTraced: Bool = false) {
        // Neighbours must have nothing in common.
        var first = Generator(state: seed)
        self.generator = Generator(state: first.next())
        self.replayed = nil
        self.isTraced = isTraced
        simulation_begin(seed)
    }

    /// The decisions of an earlier run; zeros behind them.
    package init(replaying decisions: [UInt32], isTraced: Bool = false) {
        self.generator = Generator(state: 0)
        self.replayed = decisions
        self.isTraced = isTraced
        simulation_begin(0)
    }

    /// A number from 0 to `bound` - 1.
    package func draw(_ bound: Int) -> Int {
        guard bound > 1 else { return 0 }
        let decision: UInt32
        if let replayed {
            decision = self.position < replayed.count ? min(replayed[self.position], UInt32(bound - 1)) : 0
            self.position += 1
        } else {
            decision = UInt32(truncatingIfNeeded: self.generator.next().multipliedFullWidth(by: UInt64(bound)).high)
        }
        simulation_record(decision)
        return Int(decision)
    }

    /// A number of a range; its lower bound is the plainest.
    package func draw(_ range: ClosedRange<Int>) -> Int { range.lowerBound + self.draw(range.count) }

    /// One time in `count`; `false` is the plainest.
    package func happens(oneIn count: Int) -> Bool { self.draw(count) == count - 1 && count > 1 }

    /// One of several; the first is the plainest.
    package func pick<Element>(_ elements: [Element]) -> Element { elements[self.draw(elements.count)] }

    /// A random seed for what makes decisions by itself.
    package func seed() -> UInt64 { UInt64(self.draw(1 << 30)) }

    /// Something has happened: kept for the trace of a failing run.
    @inline(__always)
    package func note(_ text: @autoclosure () -> String) {
        if self.isTraced { unsafe simulation_note(text()) }
    }
}

/// Makes a failing list of decisions shorter and plainer.
package struct Shrinker {
    /// Runs a list.
    ///
    /// - Returns: The decisions that were drawn, if it failed in the same way.
    private let fails: ([UInt32]) -> [UInt32]?
    private var triesLeft: Int
    /// The shortest so far.
    package private(set) var decisions: [UInt32]

    /// Begins with a list that fails.
    package init(_ decisions: [UInt32], tries: Int, fails: @escaping ([UInt32]) -> [UInt32]?) {
        self.fails = fails
        self.triesLeft = tries
        self.decisions = Self.trimmed(decisions)
    }

    /// Shrinks until nothing helps any more, or the tries are used up.
    package mutating func run() {
        var before: [UInt32]
        repeat {
            before = self.decisions
            self.shorten()
            self.lower()
        } while self.decisions != before && self.triesLeft > 0
    }

    private mutating func shorten() {
        var size = max(1, self.decisions.count / 2)
        while true {
            var end = self.decisions.count
            while end > 0, self.triesLeft > 0 {
                var candidate = self.decisions
                candidate.removeSubrange(max(0, end - size)..<end)
                // Position by position from the end, in the list as it is now.
                end = self.keep(candidate) ? min(end - size, self.decisions.count) : end - size
            }
            if size == 1 { return }
            size /= 2
        }
    }

    private mutating func lower() {
        var index = 0
        while index < self.decisions.count, self.triesLeft > 0 {
            let value = self.decisions[index]
            var tried: Set<UInt32> = [value]
            for lower in [0, value / 2, value > 0 ? value - 1 : 0] where index < self.decisions.count {
                guard tried.insert(lower).inserted else { continue }
                var candidate = self.decisions
                candidate[index] = lower
                if self.keep(candidate) { break }
            }
            index += 1
        }
    }

    private mutating func keep(_ candidate: [UInt32]) -> Bool {
        self.triesLeft -= 1
        guard let drawn = self.fails(candidate).map(Self.trimmed) else { return false }
        // Never longer than what was asked for, and never the same again.
        guard (drawn.count, drawn.reduce(0) { $0 + UInt64($1) }) < self.weight else { return false }
        self.decisions = drawn
        return true
    }

    private var weight: (Int, UInt64) {
        (self.decisions.count, self.decisions.reduce(0) { $0 + UInt64($1) })
    }

    private static func trimmed(_ decisions: [UInt32]) -> [UInt32] {
        var decisions = decisions
        while decisions.last == 0 { decisions.removeLast() }
        return decisions
    }
}
