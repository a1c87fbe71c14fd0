// SPDX-License-Identifier: Apache-2.0

import CMesher
import FoundationEssentials

/// Why there is no profile.
enum ProfileError: Error, Equatable, CustomStringConvertible {
    /// Another profile is being taken; only one can be at a time. It is worth asking again later.
    case alreadyRunning
    /// This system does not let us; the text says why.
    case notSupported(String)
    /// The task was cancelled, and the profile with it.
    case cancelled

    var description: String {
        switch self {
        case .alreadyRunning: "a CPU profile is being taken already; try again when it is done"
        case .notSupported(let reason): "this system does not allow CPU profiles: \(reason)"
        case .cancelled: "the CPU profile was cancelled"
        }
    }
}

/// Finds out where this process spends its CPU time, by looking at its busy threads many times a second.
///
/// Code that waits is not seen. Nothing is installed and no memory kept while no profile is being taken. What it costs
/// the threads that are looked at: about 10 µs for each sample, a thousandth of their time at 100 Hz.
///
/// Threads that begin meanwhile are seen within 100 ms. Stacks have up to 64 frames, found by frame pointers: our code
/// and that of Swift's packages has them, and `StackWalk.c` says how the C library is got over. In the first
/// instructions of a function its immediate caller is missing from a stack. Callers of an asynchronous function are those
/// that run it, not those that wait for it. What is inlined counts as its caller.
struct CPUProfiler: Sendable {
    /// Samples for each second of CPU time, 1…1,000.
    var frequency = 100

    /// How often to look for new threads.
    private static let pause = Duration.milliseconds(100)

    /// Takes a profile and returns it as pprof's `profile.proto`, compressed by gzip.
    ///
    /// Runs on Swift's pool, whatever the caller runs on. It waits for `duration`; then it needs 20 to 100 ms of a CPU
    /// to find names. Cancelling the task ends it at once.
    @concurrent func profile(for duration: Duration) async throws(ProfileError) -> [UInt8] {
        let bytes = try await self.capture(for: duration).encoded()
        return Gzip.compressed(bytes) ?? bytes  // readers take both
    }

    /// Takes a profile, as `profile(for:)` does, and leaves it as it is.
    @concurrent func capture(for duration: Duration) async throws(ProfileError) -> CPUProfile {
        let start = Date()
        let clock = ContinuousClock()
        let begun = clock.now
        let end = begun + duration
        var sampling = try Sampling(frequency: self.frequency, duration: duration)
        try sampling.watch()
        while clock.now < end {
            do {
                try await clock.sleep(until: min(end, clock.now + Self.pause), tolerance: .zero)
            } catch {
                throw .cancelled
            }
            try sampling.watch()
        }
        let length = begun.duration(to: clock.now)
        sampling.stop()
        let table = SymbolTable()
        let stacks = sampling.stacks { table.map.entry(at: $0) != nil }
        return CPUProfile(
            stacks: stacks, map: table.map, symbols: table.symbols(at: stacks.keys.joined()),
            start: Int64(start.timeIntervalSince1970 * 1e9), duration: Int64(length / .nanoseconds(1)),
            period: sampling.period, comments: sampling.gaps)
    }
}
