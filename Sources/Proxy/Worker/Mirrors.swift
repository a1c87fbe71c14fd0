// SPDX-License-Identifier: Apache-2.0
// request path

/// The copies of an event loop that are under way, and what they hold.
struct Mirrors {
    /// Most copies at a time.
    static let most = 512
    /// Most bytes of the body of one.
    static let mostBody = 1 << 20
    /// Most bytes of the bodies of all.
    static let mostHeld = 16 << 20

    private(set) var count = 0
    private(set) var held = 0

    /// Takes a place, if there is one.
    mutating func begin() -> Bool {
        guard self.count < Self.most else { return false }
        self.count += 1
        return true
    }

    /// Keeps bytes of a body, if there is room.
    mutating func keep(_ bytes: Int) -> Bool {
        guard self.held + bytes <= Self.mostHeld else { return false }
        self.held += bytes
        return true
    }

    /// Gives back a place, and what was kept.
    mutating func end(_ bytes: Int) {
        self.count -= 1
        self.held -= bytes
    }
}
