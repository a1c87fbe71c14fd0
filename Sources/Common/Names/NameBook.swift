// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// The addresses of the names that somebody uses, kept fresh.
///
/// Each name is looked up again five seconds after its last answer. Where that fails, the last good addresses stay.
package final class NameBook: Sendable {
    private struct Entry {
        /// Sorted, so that another order is no change; `nil` before the first answer, empty when there was none in time.
        var addresses: [String]?
        let following: Task<Void, Never>
        /// Told when the wait for the first answer is over.
        var waiting: [CheckedContinuation<Void, Never>] = []
    }

    private let resolver: NameResolver
    private let asker: NameResolver.Asker
    private let limit: Duration
    private let refresh: Duration
    private let onChange: @Sendable (String) -> Void
    private let entries = Mutex<[String: Entry]>([:])

    /// A book without names.
    ///
    /// - Parameter limit: How long the first answer is waited for; one that comes later still counts.
    /// - Parameter onChange: Called with a name whenever its addresses have changed, or the wait for them is over.
    package init(
        _ resolver: NameResolver = .shared, for asker: NameResolver.Asker = .registry, limit: Duration = .seconds(2),
        refresh: Duration = .seconds(5), onChange: @escaping @Sendable (String) -> Void = { _ in }
    ) {
        self.resolver = resolver
        self.asker = asker
        self.limit = limit
        self.refresh = refresh
        self.onChange = onChange
    }

    deinit { self.entries.withLock { for entry in $0.values { entry.following.cancel() } } }

    /// Keeps these names, and no others, from now on.
    package func use(_ names: Set<String>) {
        let forgotten = self.entries.withLock { entries in
            var forgotten: [CheckedContinuation<Void, Never>] = []
            for (name, entry) in entries where !names.contains(name) {
                entry.following.cancel()
                forgotten += entry.waiting
                entries[name] = nil
            }
            for name in names where entries[name] == nil {
                entries[name] = Entry(following: self.follow(name))
            }
            return forgotten
        }
        for each in forgotten { each.resume() }
    }

    /// Returns when the wait for the first answer about a name is over; at once when it is not in use.
    package func firstAnswer(about name: String) async {
        await withCheckedContinuation { continuation in
            let isOver = self.entries.withLock { entries in
                guard let entry = entries[name], entry.addresses == nil else { return true }
                entries[name]?.waiting.append(continuation)
                return false
            }
            if isOver { continuation.resume() }
        }
    }

    private func follow(_ name: String) -> Task<Void, Never> {
        let (resolver, asker, limit, refresh) = (self.resolver, self.asker, self.limit, self.refresh)
        // Without a hold on the book, or it would never end.
        return Task { [weak self] in
            let late = Task { [weak self] in
                try await Task.sleep(for: limit)
                self?.learn(name, nil)
            }
            while !Task.isCancelled {
                let found = await resolver.addresses(of: name, for: asker)
                late.cancel()
                self?.learn(name, found)
                try? await Task.sleep(for: refresh)
            }
        }
    }

    /// The addresses of a name, IPv4 and IPv6 without brackets; none when it could not be looked up, `nil` as long as
    /// that is being tried, or when the name is not in use.
    package subscript(name: String) -> [String]? { self.entries.withLock { $0[name]?.addresses } }

    /// Whether the first answer about a name is still waited for.
    package var isPending: Bool { self.entries.withLock { $0.values.contains { $0.addresses == nil } } }

    private func learn(_ name: String, _ found: [String]?) {
        let (hasChanged, waiting) = self.entries.withLock { entries -> (Bool, [CheckedContinuation<Void, Never>]) in
            guard let known = entries[name] else { return (false, []) }
            let addresses = found?.sorted() ?? known.addresses ?? []
            guard addresses != known.addresses else { return (false, []) }
            entries[name]?.addresses = addresses
            entries[name]?.waiting = []
            return (true, known.waiting)
        }
        for each in waiting { each.resume() }
        if hasChanged { self.onChange(name) }
    }
}
