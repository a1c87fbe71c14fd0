// SPDX-License-Identifier: Apache-2.0

/// What glibc's `malloc_info` says: how much each arena has, and in which sizes its free memory lies.
///
/// - Source: malloc_info(3); the document has one element a line, which is all that this reader relies on.
struct MallocInfo: Equatable, Sendable {
    /// One of the areas from which threads allocate; sizes are in bytes.
    struct Arena: Equatable, Sendable {
        /// Zero is the main one.
        let number: Int
        /// Taken from the system.
        var system = 0
        /// The part of it that is free, small blocks that are kept for quick use included.
        var free = 0
        /// The number of free blocks.
        var freeBlocks = 0
    }

    /// Free blocks of about one size.
    struct FreeSize: Equatable, Sendable {
        /// Their sizes, in bytes.
        let sizes: ClosedRange<Int>
        var blocks = 0
        /// All of them together, in bytes.
        var total = 0
    }

    /// In the order of their numbers.
    private(set) var arenas: [Arena] = []
    /// Over all arenas, from small to large; those of no size known, not sorted yet, are left out.
    private(set) var freeSizes: [FreeSize] = []

    /// Reads the document; elements that are not as expected count as absent.
    init(document: String) {
        var sizes: [ClosedRange<Int>: FreeSize] = [:]
        var current: Arena?
        for line in document.split(separator: "\n") {
            let (name, attributes) = Self.element(line)
            switch name {
            case "heap": current = Arena(number: attributes["nr"] ?? self.arenas.count)
            case "/heap":
                if let current { self.arenas.append(current) }
                current = nil
            case "size":
                guard
                    let from = attributes["from"], let to = attributes["to"], from <= to,
                    let total = attributes["total"], let count = attributes["count"]
                else { continue }
                let known = sizes[from...to] ?? FreeSize(sizes: from...to)
                sizes[from...to] = FreeSize(
                    sizes: from...to, blocks: known.blocks &+ count, total: known.total &+ total)
            case "total":  // of kinds "fast" and "rest"; "mmap" stands outside of arenas
                current?.free &+= attributes["size"] ?? 0
                current?.freeBlocks &+= attributes["count"] ?? 0
            case "system" where line.contains("\"current\""): current?.system = attributes["size"] ?? 0
            default: continue
            }
        }
        self.freeSizes = sizes.values.sorted { $0.sizes.lowerBound < $1.sizes.lowerBound }
    }

    /// The name of the element that a line begins with, and those of its attributes that are numbers.
    private static func element(_ line: Substring) -> (name: String, attributes: [String: Int]) {
        let words = line.drop { $0 == " " || $0 == "<" }.split { $0 == " " || $0 == ">" }
        guard let name = words.first else { return ("", [:]) }
        var attributes: [String: Int] = [:]
        for word in words.dropFirst() {
            let parts = word.split(separator: "=", maxSplits: 1)
            guard parts.count == 2 else { continue }
            let digits = parts[1].drop { $0 == "\"" }.prefix { $0 != "\"" }
            if let value = Int(digits) { attributes[String(parts[0])] = value }
        }
        return (String(name), attributes)
    }
}
