// SPDX-License-Identifier: Apache-2.0

import CSimulation

#if canImport(Glibc)
    import Glibc
#endif

/// Runs one schedule after the other in a child process, so that a crash is a failure like any other.
package struct Campaign {
    /// How a run came out.
    package enum Outcome: Equatable {
        case passed
        /// The rule that was broken; "crash" and the signal for the end of the process.
        case failed(String)
    }

    private let ring: String
    private let body: (Schedule) throws -> Void
    private static let longest: UInt32 = 20
    /// Lines of a failure; `--replay` shows all.
    private static let shown: UInt32 = 60

    /// - Parameter body: One schedule, from an empty world to an empty world.
    package init(ring: String, body: @escaping (Schedule) throws -> Void) {
        self.ring = ring
        self.body = body
        precondition(simulation_share(), "no memory")
    }

    /// Runs the seeds, or as many as fit into the time.
    ///
    /// - Returns: Whether all of them passed.
    package func run(seeds: ClosedRange<UInt64>, seconds: Double) -> Bool {
        let start = simulation_real_time()
        let end = start + Int64(seconds * 1e9)
        simulation_forget()
        let outcome = self.child(isQuiet: false, seconds: UInt32(seconds) + 1 + Self.longest) {
            for seed in seeds {
                try self.body(Schedule(seed: seed))
                simulation_end()
                if simulation_real_time() > end { return }
            }
        }
        let elapsed = Double(simulation_real_time() - start) / 1e9
        let count = simulation_schedules()
        let rate = Int(Double(count) / elapsed)
        print("simulate: ring \(self.ring): \(count) schedules in \(Self.text(elapsed)) s, \(rate)/s")
        guard case .failed(let rule) = outcome else { return true }
        self.report(seed: simulation_seed(), rule: rule)
        return false
    }

    /// Runs a list of decisions and shows what happened.
    package func replay(_ decisions: [UInt32]) -> Bool {
        let outcome = self.run(decisions, isTraced: true)
        self.printTrace()
        guard case .failed(let rule) = outcome else {
            print("simulate: passed")
            return true
        }
        print("simulate: \(rule): \(Self.failureText)")
        return false
    }

    /// Shows one seed.
    package func show(seed: UInt64) -> Bool {
        simulation_forget()
        let outcome = self.child(isQuiet: true, seconds: Self.longest) {
            try self.body(Schedule(seed: seed, isTraced: true))
        }
        self.printTrace()
        print("simulate: seed \(seed): \(outcome) \(Self.failureText)")
        return outcome == .passed
    }

    private func report(seed: UInt64, rule: String) {
        print("simulate: seed \(seed) fails: \(rule): \(Self.failureText)")
        let first = Self.decisions
        let start = simulation_real_time()
        guard self.run(first, isTraced: false) == .failed(rule) else {
            print("simulate: it does not fail by itself: something is left of the schedules before it")
            return
        }
        var shrinker = Shrinker(first, tries: 2000) { candidate in
            // A minute is long enough.
            guard simulation_real_time() - start < 60_000_000_000 else { return nil }
            return self.run(candidate, isTraced: false) == .failed(rule) ? Self.decisions : nil
        }
        shrinker.run()
        _ = self.run(shrinker.decisions, isTraced: true)
        print("simulate: \(first.count) decisions, shrunk to \(shrinker.decisions.count); what happens in them:")
        self.printTrace(last: Self.shown)
        print("simulate: \(rule): \(Self.failureText)")
        let list = shrinker.decisions.map(String.init).joined(separator: ",")
        print("simulate: scripts/simulate --replay \"\(self.ring):\(list)\"")
    }

    private func run(_ decisions: [UInt32], isTraced: Bool) -> Outcome {
        simulation_forget()
        return self.child(isQuiet: true, seconds: Self.longest) {
            try self.body(Schedule(replaying: decisions, isTraced: isTraced))
        }
    }

    // MARK: Children

    private final class Work {
        let body: () throws -> Void

        init(_ body: @escaping () throws -> Void) { self.body = body }
    }

    private func child(isQuiet: Bool, seconds: UInt32, _ body: @escaping () throws -> Void) -> Outcome {
        let work = Work {
            do {
                try body()
            } catch let violation as Violation {
                unsafe simulation_fail(violation.rule, violation.text)
                _exit(1)
            } catch {
                unsafe simulation_fail("error", "\(error)")
                _exit(1)
            }
        }
        let code = withExtendedLifetime(work) {
            unsafe simulation_fork(
                { argument in
                    guard let argument = unsafe argument else { return }
                    try? unsafe Unmanaged<Work>.fromOpaque(argument).takeUnretainedValue().body()
                },
                Unmanaged.passUnretained(work).toOpaque(), isQuiet, seconds)
        }
        if code == 0 { return .passed }
        if code > 0, let rule = unsafe String(validatingCString: simulation_rule()), !rule.isEmpty {
            return .failed(rule)
        }
        return .failed(code == -SIGALRM ? "endless" : "crash \(-code)")
    }

    private static var failureText: String { unsafe String(cString: simulation_text()) }

    private static var decisions: [UInt32] {
        (0..<simulation_decision_count()).map { simulation_decision($0) }
    }

    private func printTrace(last most: UInt32 = .max) {
        let count = simulation_note_count()
        for index in count - min(count, most)..<count {
            unsafe print("  \(String(cString: simulation_note_at(index)))")
        }
    }

    private static func text(_ seconds: Double) -> String { "\((seconds * 10).rounded() / 10)" }
}
