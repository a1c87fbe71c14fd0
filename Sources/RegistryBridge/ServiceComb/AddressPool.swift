// SPDX-License-Identifier: Apache-2.0

/// Which of several addresses of one registry to ask: pure, with the time passed in.
///
/// It stays with one address while that works, since the answers of another may lag behind. One that fails is left alone
/// for 5 seconds, then twice as long each time, a minute at most; if all have failed, the one that may be tried soonest.
struct AddressPool {
    private struct Entry {
        let address: String
        var failures = 0
        var notBefore: ContinuousClock.Instant?
    }

    private let configured: [String]
    private var entries: [Entry]
    private var current = 0

    init(_ addresses: [String]) {
        self.configured = addresses
        self.entries = addresses.map { Entry(address: $0) }
    }

    /// Takes the registry's own word on its members; the configured addresses stay.
    mutating func setMembers(_ members: [String]) {
        let before = self.entries
        let current = before.isEmpty ? nil : before[self.current].address
        var addresses = self.configured
        for member in members where !addresses.contains(member) { addresses.append(member) }
        self.entries = addresses.map { address in
            before.first { $0.address == address } ?? Entry(address: address)
        }
        self.current = addresses.firstIndex { $0 == current } ?? 0
    }

    /// How many there are.
    var count: Int { self.entries.count }

    /// The one to ask now.
    mutating func pick(at now: ContinuousClock.Instant) -> String {
        guard !self.entries.isEmpty else { return "" }
        let order = self.entries.indices.map { (self.current + $0) % self.entries.count }
        let isOpen = { (index: Int) in self.entries[index].notBefore.map { $0 <= now } ?? true }
        self.current =
            order.first(where: isOpen)
            ?? order.min { (self.entries[$0].notBefore ?? now) < (self.entries[$1].notBefore ?? now) } ?? 0
        return self.entries[self.current].address
    }

    mutating func succeeded(_ address: String) {
        guard let index = self.entries.firstIndex(where: { $0.address == address }) else { return }
        self.entries[index].failures = 0
        self.entries[index].notBefore = nil
    }

    mutating func failed(_ address: String, at now: ContinuousClock.Instant) {
        guard let index = self.entries.firstIndex(where: { $0.address == address }) else { return }
        let pause = Duration.seconds(5 << min(self.entries[index].failures, 4))
        self.entries[index].failures += 1
        self.entries[index].notBefore = now + min(pause, .seconds(60))
    }
}
