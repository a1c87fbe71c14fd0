// SPDX-License-Identifier: Apache-2.0

/// What a person has chosen by keys, of how `mesher top` shows things.
///
/// Pure: bytes of the terminal in, what to do out.
struct TopView: Sendable, Equatable {
    /// What rows are sorted by; numbers begin with the largest, names with the first.
    enum Column: Int, CaseIterable, Sendable {
        case name, requests, errors, share, p50, p90, p99
    }

    enum Effect: Equatable {
        case nothing, redraw, quit
    }

    private(set) var sort = Column.requests
    private(set) var isTyping = false
    private(set) var isPaused = false
    private(set) var showsKeys = false
    private var typed: [UInt8] = []

    /// Longer ones are cut: no name is that long.
    private static let longestFilter = 100

    /// What names must contain, in lower case; empty for all.
    var filter: String { String(decoding: self.typed, as: UTF8.self).lowercased() }

    /// Whether a service or caller of this name is shown.
    func shows(_ name: String) -> Bool { self.typed.isEmpty || name.lowercased().contains(self.filter) }

    /// Takes what was read at once: one key, or some that were fast.
    ///
    /// Escape stands alone; before others it begins the sequence of a key that has no meaning here, such as an arrow.
    mutating func press(_ bytes: [UInt8]) -> Effect {
        var rest = bytes[...]
        var effect = Effect.nothing
        while let byte = rest.popFirst() {
            if byte == 0x1b, let next = rest.first, next == UInt8(ascii: "[") || next == UInt8(ascii: "O") {
                rest.removeFirst()
                while let part = rest.popFirst(), !(0x40...0x7e).contains(part) {}
                continue
            }
            switch self.isTyping ? self.type(byte) : self.command(byte) {
            case .quit: return .quit
            case .redraw: effect = .redraw
            case .nothing: break
            }
        }
        return effect
    }

    private mutating func command(_ byte: UInt8) -> Effect {
        switch byte {
        case UInt8(ascii: "q"), UInt8(ascii: "Q"): return .quit
        case _ where self.showsKeys: self.showsKeys = false
        case UInt8(ascii: "s"): self.sort = Column(rawValue: self.sort.rawValue + 1) ?? .name
        case UInt8(ascii: "/"):
            self.isTyping = true
            self.typed = []
        case UInt8(ascii: "p"): self.isPaused.toggle()
        case UInt8(ascii: "?"): self.showsKeys = true
        case 0x1b: self.typed = []
        default: return .nothing
        }
        return .redraw
    }

    private mutating func type(_ byte: UInt8) -> Effect {
        switch byte {
        case UInt8(ascii: "\r"), UInt8(ascii: "\n"): self.isTyping = false
        case 0x1b:
            self.isTyping = false
            self.typed = []
        case 0x7f, 0x08:
            // All of a letter of several bytes.
            while let last = self.typed.popLast(), last & 0xc0 == 0x80 {}
        case 0x15: self.typed = []
        case 0..<0x20: return .nothing
        default:
            guard self.typed.count < Self.longestFilter else { return .nothing }
            self.typed.append(byte)
        }
        return .redraw
    }

    /// The line at the bottom.
    var footer: String {
        if self.isTyping {
            return "/\(TopScreen.clean(String(decoding: self.typed, as: UTF8.self)))_  Enter keeps, Esc shows all"
        }
        let filter = self.typed.isEmpty ? "/ filter" : "filter \"\(TopScreen.clean(self.filter))\" (Esc: all)"
        return "\(self.isPaused ? "PAUSED (p: go on)" : "p pause")  s sort  \(filter)  ? keys  q quit"
    }

    /// What `?` shows.
    static let keys = """
        Keys

          s     sort by the next column; > marks it
          /     filter services and callers by name; Enter keeps, Esc shows all
          Esc   show all
          p     pause, and go on
          ?     this list; any key leaves it
          q     quit, and so does Ctrl-C

        """
}
