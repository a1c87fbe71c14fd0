// SPDX-License-Identifier: Apache-2.0
// request path

/// Random numbers for choices that nobody gains by foreseeing: which endpoint, how long a wait.
///
/// A few instructions a number; each event loop has one of its own. Not for secrets.
///
/// - Source: Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators", 2014 (SplitMix64).
package struct FastRandom: RandomNumberGenerator, Sendable {
    private var state: UInt64

    /// Starts where the system's generator says.
    package init() {
        var system = SystemRandomNumberGenerator()
        self.init(seed: system.next())
    }

    /// Starts at `seed`: the same numbers every time, for tests.
    package init(seed: UInt64) { self.state = seed }

    /// The next number: all 64 bits are equally good.
    @inline(__always)
    package mutating func next() -> UInt64 {
        self.state &+= 0x9e37_79b9_7f4a_7c15
        return Self.mix(self.state)
    }

    /// Spreads a change of any bit over all of them; one to one, so that different numbers stay different.
    @inline(__always)
    static func mix(_ number: UInt64) -> UInt64 {
        var mixed = number
        mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
        return mixed ^ (mixed >> 31)
    }
}
