// SPDX-License-Identifier: Apache-2.0

import Foundation
import Synchronization
import Testing

@testable import AdminAPI

/// Serial: there is one profile at a time in a process.
@Suite("CPU profiler", .serialized)
struct CPUProfilerTests {
    /// A thread that burns CPU time until the value ends.
    private final class Burner: Sendable {
        private let isDone = Atomic(false)
        private let count = Atomic(UInt64(0))

        func start() {
            Thread { [self] in
                while !self.isDone.load(ordering: .relaxed) {
                    self.count.wrappingAdd(burnedCycles(10_000), ordering: .relaxed)
                }
            }.start()
        }

        func stop() { self.isDone.store(true, ordering: .relaxed) }
    }

    @Test("names the function that is busy, and its callers") func busyFunction() async throws {
        let burner = Burner()
        burner.start()
        defer { burner.stop() }
        let profile = try await CPUProfiler().capture(for: .seconds(1))
        func names(_ stack: [UInt]) -> [String] { stack.map { profile.symbols[$0]?.name ?? "" } }
        let busy = profile.stacks.filter { names($0.key).first?.contains("burnedCycles") ?? false }
        let samples = busy.values.reduce(0, +)
        // 100 a second if it has a CPU for itself; other tests run meanwhile, and make the second longer.
        #expect(samples >= 5)
        #expect(Double(samples) <= 1.5 * Double(profile.duration) / Double(profile.period))
        #expect(busy.contains { $0.key.count > 3 && names($0.key).contains { $0.contains(").start()") } })
        // A busy machine may be late with taking samples away.
        #expect(profile.comments.allSatisfy { $0.hasSuffix("did not fit and are missing") })
        #expect(profile.period == 10_000_000)
        #expect(profile.duration >= 1_000_000_000)
    }

    @Test("returns gzip") func compressed() async throws {
        let bytes = try await CPUProfiler().profile(for: .milliseconds(10))
        #expect(bytes.prefix(3) == [0x1f, 0x8b, 8])
    }

    @Test("there is one at a time") func oneAtATime() async throws {
        var sampling = try Sampling(frequency: 100, duration: .seconds(1))
        await #expect(throws: ProfileError.alreadyRunning) { try await CPUProfiler().capture(for: .milliseconds(1)) }
        sampling.stop()
        await #expect(throws: ProfileError.alreadyRunning) { try await CPUProfiler().capture(for: .milliseconds(1)) }
        #expect(sampling.gaps.isEmpty)
        _ = consume sampling
        _ = try await CPUProfiler().capture(for: .milliseconds(1))
    }

    @Test("one that is cancelled ends at once, and makes room for the next") func cancelled() async throws {
        let task = Task { try await CPUProfiler().capture(for: .seconds(3600)) }
        task.cancel()
        await #expect(throws: ProfileError.cancelled) { try await task.value }
        _ = try await CPUProfiler().capture(for: .milliseconds(1))
    }

    @Test("a signal that comes late does no harm") func lateSignal() throws {
        var sampling = try Sampling(frequency: 100, duration: .seconds(1))
        #expect(Self.disposition() != 1)
        sampling.stop()
        #expect(Self.disposition() == 1)  // SIG_IGN
        #expect(raise(SIGPROF) == 0)
        #expect(sampling.stacks { _ in true } == [:])  // no thread was watched
    }

    @Test("somebody's signal is no sample") func foreignSignal() throws {
        var sampling = try Sampling(frequency: 100, duration: .seconds(1))
        #expect(raise(SIGPROF) == 0)
        sampling.stop()
        #expect(sampling.stacks { _ in true } == [:])
    }

    @Test("a handler that somebody else has installed is left alone") func foreignHandler() throws {
        signal(SIGPROF) { _ in }
        defer { signal(SIGPROF, SIG_IGN) }
        #expect(throws: ProfileError.alreadyRunning) { _ = try Sampling(frequency: 100, duration: .seconds(1)) }
    }

    /// The number behind SIGPROF's handler: 0 for the default, 1 for ignored.
    private static func disposition() -> Int {
        var action = sigaction()
        unsafe sigaction(SIGPROF, nil, &action)
        return unsafe unsafeBitCast(action.__sigaction_handler.sa_handler, to: Int.self)
    }
}

/// Work whose only purpose is to take time.
@inline(never) private func burnedCycles(_ rounds: UInt64) -> UInt64 {
    var value: UInt64 = 1
    var round: UInt64 = 0
    while round < rounds {
        value = (value ^ round) &* 6_364_136_223_846_793_005
        round &+= 1
    }
    return value
}
