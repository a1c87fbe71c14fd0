// SPDX-License-Identifier: Apache-2.0

import Glibc
import Synchronization

/// Looks up the addresses of host names, by the system's resolver and on threads of its own.
///
/// The system's resolver blocks for as long as it likes: half a minute and more where no DNS server answers. So whoever asks
/// has a number of threads that its names may hold at most, waits by a limit of its own, and takes nothing from others. Names
/// that took long before hold half of them at most.
package final class NameResolver: Sendable {
    /// Somebody whose names share threads.
    package struct Asker: Sendable, Hashable {
        /// Tells it from others.
        package let name: String
        /// How many of its names are looked up at a time.
        package let threads: Int

        /// An asker.
        package init(_ name: String, threads: Int) {
            self.name = name
            self.threads = threads
        }

        /// The registry that services are found in.
        package static let registry = Asker("registry", threads: 32)
        /// The servers of the control plane, whose names those of endpoints do not hold up.
        package static let servers = Asker("servers", threads: 8)
    }

    /// Finds the addresses of a name, without brackets; `nil` when it has none, or when nobody can say.
    package typealias LookUp = @Sendable (String) -> [String]?

    private struct Question: Hashable {
        let name: String
        let asker: Asker
    }

    private struct Waiting {
        let question: Question
        let since: ContinuousClock.Instant
    }

    private struct Running {
        let question: Question
        /// Whether it counts among the names that took long before.
        let isSlow: Bool
    }

    private struct State {
        /// In the order in which they came.
        var waiting: [Waiting] = []
        /// Names that are being looked up, by who asks.
        var running: [Asker: Int] = [:]
        /// Those of them that took long before.
        var runningSlow: [Asker: Int] = [:]
        /// All of them, with those that wait.
        var open: [Asker: Int] = [:]
        /// Names that took long when they were looked up last.
        var slow: Set<String> = []
        var threads = 0
        var listeners: [Question: [@Sendable ([String]?) -> Void]] = [:]

        /// Whether a thread may be had for a question.
        func hasRoom(for question: Question) -> Bool {
            let asker = question.asker
            guard self.running[asker, default: 0] < asker.threads else { return false }
            return !self.slow.contains(question.name)
                || self.runningSlow[asker, default: 0] < max(1, asker.threads / 2)
        }
    }

    /// How many threads there are at most.
    private static let mostThreads = 64
    /// How many names of one asker may be looked up or wait.
    private static let capacity = 1_000
    /// How many names are remembered to be slow.
    private static let mostSlow = 10_000
    /// Nobody waits any longer for an answer to a question that is older.
    private static let patience = Duration.seconds(5)

    /// The process's own.
    package static let shared = NameResolver()

    private let slowness: Duration
    private let lookUp: LookUp
    private let state = Mutex(State())

    /// A resolver that asks `lookUp`, which may block.
    ///
    /// - Parameter slowness: What takes longer is slow.
    package init(slowness: Duration = .seconds(2), _ lookUp: @escaping LookUp = NameResolver.system) {
        self.slowness = slowness
        self.lookUp = lookUp
    }

    /// Looks a name up; those who ask for the same name meanwhile share the answer.
    ///
    /// Never blocks, callable from any thread.
    ///
    /// - Parameter listener: Called once, perhaps much later, on a thread of the resolver or inside this call.
    package func ask(_ name: String, for asker: Asker, _ listener: @escaping @Sendable ([String]?) -> Void) {
        let question = Question(name: name, asker: asker)
        let (isTaken, needsThread) = self.state.withLock { state -> (Bool, Bool) in
            if state.listeners[question] != nil {
                state.listeners[question]?.append(listener)
                return (true, false)
            }
            guard state.open[asker, default: 0] < Self.capacity else { return (false, false) }
            state.open[asker, default: 0] += 1
            state.listeners[question] = [listener]
            state.waiting.append(Waiting(question: question, since: .now))
            guard state.threads < Self.mostThreads, state.hasRoom(for: question) else { return (true, false) }
            state.threads += 1
            return (true, true)
        }
        if !isTaken { listener(nil) }
        guard needsThread else { return }
        if !SystemThread.start("mesher-names", { self.work() }) { self.giveUp() }
    }

    /// Answers whoever waits when the system has no thread, and none is at work that could answer later.
    private func giveUp() {
        let left = self.state.withLock { state -> [Question] in
            state.threads -= 1
            guard state.threads == 0 else { return [] }
            defer { state.waiting.removeAll() }
            return state.waiting.map(\.question)
        }
        for question in left { self.answer(question, nil) }
    }

    /// The same for tasks, which wait however long it takes.
    package func addresses(of name: String, for asker: Asker) async -> [String]? {
        await withCheckedContinuation { continuation in
            self.ask(name, for: asker) { continuation.resume(returning: $0) }
        }
    }

    /// Looks names up until there is none left that may be.
    private func work() {
        while let running = self.next() {
            let began = ContinuousClock.now
            let found = self.lookUp(running.question.name)
            let isSlow = .now - began > self.slowness
            self.state.withLock { state in
                Self.end(running.question, &state.running)
                if running.isSlow { Self.end(running.question, &state.runningSlow) }
                if !isSlow {
                    state.slow.remove(running.question.name)
                } else if state.slow.count < Self.mostSlow {
                    state.slow.insert(running.question.name)
                }
            }
            self.answer(running.question, found)
        }
    }

    private static func end(_ question: Question, _ counts: inout [Asker: Int]) {
        let left = counts[question.asker, default: 1] - 1
        counts[question.asker] = left > 0 ? left : nil
    }

    private func next() -> Running? {
        var late: [Question] = []
        defer { for question in late { self.answer(question, nil) } }
        return self.state.withLock { state in
            let limit = ContinuousClock.now - Self.patience
            late = state.waiting.prefix { $0.since < limit }.map(\.question)
            state.waiting.removeFirst(late.count)
            guard let index = state.waiting.firstIndex(where: { state.hasRoom(for: $0.question) }) else {
                state.threads -= 1
                return nil
            }
            let question = state.waiting.remove(at: index).question
            let isSlow = state.slow.contains(question.name)
            state.running[question.asker, default: 0] += 1
            if isSlow { state.runningSlow[question.asker, default: 0] += 1 }
            return Running(question: question, isSlow: isSlow)
        }
    }

    private func answer(_ question: Question, _ found: [String]?) {
        let listeners = self.state.withLock { state in
            Self.end(question, &state.open)
            return state.listeners.removeValue(forKey: question) ?? []
        }
        for listener in listeners { listener(found) }
    }

    /// In a pod, has the system ask for names with a dot as they are written, before it tries a search list.
    ///
    /// Kubernetes writes `ndots:5` into every pod: `api.example.org` would cost two queries for each domain of the search list
    /// first. Names of services, which need the list, are found all the same. Call it before there are threads.
    ///
    /// - Source: resolv.conf(5): `RES_OPTIONS` amends the options of the file.
    package static func adaptToPod() {
        // What somebody has set stays.
        if unsafe getenv("KUBERNETES_SERVICE_HOST") != nil { unsafe setenv("RES_OPTIONS", "ndots:1", 0) }
    }

    /// Asks the system: its hosts file, DNS, and whatever else it is set up to.
    ///
    /// Addresses with a zone are left out, since they mean nothing without the interface.
    ///
    /// - Source: RFC 3493 §6.1; addresses come in the order of RFC 6724.
    package static func system(_ name: String) -> [String]? {
        var hints = unsafe addrinfo()
        unsafe hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        // IPv6 addresses are of no use to a machine without IPv6.
        unsafe hints.ai_flags = AI_ADDRCONFIG
        var list: UnsafeMutablePointer<addrinfo>?
        guard unsafe getaddrinfo(name, nil, &hints, &list) == 0 else { return nil }
        defer { unsafe freeaddrinfo(list) }
        var found: [String] = []
        var entry = unsafe list
        while let address = unsafe entry {
            var text = [CChar](repeating: 0, count: Int(NI_MAXHOST))
            let failure = unsafe getnameinfo(
                address.pointee.ai_addr, address.pointee.ai_addrlen, &text, socklen_t(text.count), nil, 0,
                NI_NUMERICHOST)
            let host = String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
            if failure == 0, !host.contains("%"), !found.contains(host) { found.append(host) }
            unsafe entry = address.pointee.ai_next
        }
        return found.isEmpty ? nil : found
    }
}
