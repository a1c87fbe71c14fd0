// SPDX-License-Identifier: Apache-2.0
// request path

import Common

/// Finds the route of a request: the routes of a virtual host, laid out flat.
///
/// Routes are looked at one after the other, as they are written. Most differ in their paths, so one word of each is
/// compared first: a route that fails there costs some ten instructions. A header that several routes ask for is searched
/// once. Nothing is copied, counted or allocated.
package final class RouteMatcher: Sendable {
    /// One comparison with a header, the path or the method.
    private struct Condition {
        enum Kind: UInt8, Sendable {
            case exact, notEqual, regex
            /// Of paths only.
            case prefix, segments
            /// Anything rarer: the model's own comparison.
            case other
        }

        let kind: Kind
        /// Which header, as an index into `headers`; or ``path`` or ``method``.
        let header: Int
        let isRequired: Bool
        let acceptsAbsence: Bool
        /// Where the text is in `bytes`, or which of `matches` it is.
        let start: Int
        let count: Int
    }

    /// What conditions have in place of a header.
    private static let path = -1
    private static let method = -2

    /// One route: its comparisons, or that it has to be asked itself.
    private struct Entry {
        let route: Int
        let first: Int
        let end: Int
        let isFlat: Bool
        /// Whether its match has conditions beside those that are flat.
        let isRare: Bool
    }

    /// What the path of a request has to have, so that a comparison with that of a route can hold.
    private struct Screen {
        /// The last eight bytes of the text, or all of a shorter one.
        var word: UInt64 = 0
        var mask: UInt64 = 0
        /// Where in the path these are.
        var offset = 0
        /// How long the path is at least.
        var least = 0
    }

    private struct Header {
        let name: HeaderName
        /// Where the names are in `bytes`, the second one empty for most.
        let start: Int
        let count: Int
        let secondStart: Int
        let secondCount: Int
    }

    private let host: VirtualHost
    private let entries: ContiguousArray<Entry>
    /// One for each entry.
    private let screens: ContiguousArray<Screen>
    /// Whether any of them asks for a path.
    private let hasPaths: Bool
    private let conditions: ContiguousArray<Condition>
    private let headers: ContiguousArray<Header>
    private let matches: ContiguousArray<TextMatch>
    private let bytes: [UInt8]

    /// Headers beyond these are searched anew for each route that asks for one.
    private static let remembered = 16

    /// - Parameter active: The routes that can match at all, in the order in which they are tried.
    init(_ host: VirtualHost, active: [Int]) {
        var layout = Layout()
        for index in active { layout.add(host.routes[index], index) }
        self.host = host
        self.entries = layout.entries
        self.screens = layout.screens
        self.hasPaths = layout.conditions.contains { $0.header == Self.path }
        self.conditions = layout.conditions
        self.headers = layout.headers
        self.matches = layout.matches
        self.bytes = layout.bytes
    }

    private struct Layout {
        var entries: ContiguousArray<Entry> = []
        var screens: ContiguousArray<Screen> = []
        var conditions: ContiguousArray<Condition> = []
        var headers: ContiguousArray<Header> = []
        var matches: ContiguousArray<TextMatch> = []
        var bytes: [UInt8] = []
        var known: [[[UInt8]]: Int] = [:]

        mutating func add(_ route: Route, _ index: Int) {
            let first = self.conditions.count
            var (isFlat, isRare) = (false, false)
            switch route.match {
            case .always: isFlat = true
            case .request(let match):
                isRare = match.hasRareConditions
                isFlat =
                    match.queries.isEmpty && match.parameters.isEmpty && match.paths.count < 2
                    && match.methods.count < 2
                if isFlat {
                    // The path first: it is what most routes differ in, and needs no search.
                    if let path = match.paths.first { self.add(RouteMatcher.path, path) }
                    if let method = match.methods.first {
                        self.add(RouteMatcher.method, .exact(.init(String(decoding: method, as: UTF8.self))))
                    }
                    match.headers.forEach { self.add($0) }
                }
            case .marked: break
            case .never: return
            }
            self.entries.append(
                Entry(route: index, first: first, end: self.conditions.count, isFlat: isFlat, isRare: isRare))
            self.screens.append(self.screen(first))
        }

        /// What the path has to have so that the condition at an index, if it is one of paths, can hold.
        private func screen(_ index: Int) -> Screen {
            var screen = Screen()
            guard index < self.conditions.count, self.conditions[index].header == RouteMatcher.path else {
                return screen
            }
            let condition = self.conditions[index]
            switch condition.kind {
            case .exact, .prefix, .segments: break
            case .notEqual, .regex, .other: return screen
            }
            screen.least = condition.count
            screen.offset = max(0, condition.count - 8)
            for place in screen.offset..<condition.count {
                let shift = 8 * (place - screen.offset)
                screen.word |= UInt64(self.bytes[condition.start + place]) << shift
                screen.mask |= 0xff << shift
            }
            return screen
        }

        private mutating func add(_ header: Int, _ text: TextMatch) {
            self.add(text, header, isRequired: false, acceptsAbsence: false)
        }

        private mutating func add(_ match: HeaderMatch) {
            let header = self.header(match.lowercasedNames)
            for text in match.operators {
                self.add(text, header, isRequired: match.isRequired, acceptsAbsence: match.acceptsAbsence)
            }
        }

        private mutating func add(_ text: TextMatch, _ header: Int, isRequired: Bool, acceptsAbsence: Bool) {
            var (kind, start, count) = (Condition.Kind.other, self.matches.count, 0)
            switch text {
            case .exact(let pattern) where !pattern.ignoresCase: (kind, start, count) = self.text(.exact, pattern)
            case .notEqual(let pattern) where !pattern.ignoresCase:
                (kind, start, count) = self.text(.notEqual, pattern)
            case .prefix(let pattern) where !pattern.ignoresCase: (kind, start, count) = self.text(.prefix, pattern)
            case .segments(let pattern) where !pattern.ignoresCase:
                (kind, start, count) = self.text(.segments, pattern)
            case .regex:
                kind = .regex
                self.matches.append(text)
            default: self.matches.append(text)
            }
            self.conditions.append(
                Condition(
                    kind: kind, header: header, isRequired: isRequired, acceptsAbsence: acceptsAbsence, start: start,
                    count: count))
        }

        private mutating func text(
            _ kind: Condition.Kind, _ pattern: TextMatch.Pattern
        ) -> (Condition.Kind, Int, Int) {
            (kind, self.append(pattern.bytes), pattern.bytes.count)
        }

        private mutating func append(_ bytes: [UInt8]) -> Int {
            let start = self.bytes.count
            self.bytes += bytes
            return start
        }

        private mutating func header(_ names: [[UInt8]]) -> Int {
            if let known = self.known[names] { return known }
            let first = names.first ?? []
            let second = names.count > 1 ? names[1] : []
            let header = Header(
                name: HeaderName(first.rawSpan, at: 0, count: first.count), start: self.append(first),
                count: first.count, secondStart: self.append(second), secondCount: second.count)
            self.known[names] = self.headers.count
            self.headers.append(header)
            return self.headers.count - 1
        }
    }

    /// The first route that a request matches: an index into those of the virtual host; `nil` when none does.
    ///
    /// - Parameter mark: The mark that the request was given, if it was.
    /// - Parameter random: Draws for routes that are for a share of requests.
    package func route(
        for head: RequestHead, _ block: borrowing HeaderBlock, mark: Mark?, using random: inout FastRandom
    ) -> Int? {
        var found = InlineArray<16, Int>(repeating: Self.unsearched)
        var draw = -1
        let path = self.hasPaths ? Self.path(of: head, block) : Path(end: 0, start: 0)
        var position = self.hasPaths ? self.candidate(from: 0, path, head, block) : 0
        while position < self.entries.count {
            let entry = self.entries[position]
            if entry.isFlat {
                var index = entry.first
                while index < entry.end, self.holds(index, head, block, &found, path.end) { index &+= 1 }
                if index == entry.end, !entry.isRare || self.isRarely(entry.route, head, block, &random, &draw) {
                    return entry.route
                }
            } else if self.host.routes[entry.route].matches(head, block, mark: mark?.name),
                !entry.isRare || self.isRarely(entry.route, head, block, &random, &draw)
            {
                return entry.route
            }
            position &+= 1
            if self.hasPaths { position = self.candidate(from: position, path, head, block) }
        }
        return nil
    }

    /// What is known of the path of a request: where its parameters begin, and its first eight bytes.
    private struct Path {
        let end: Int
        let start: UInt64
    }

    private static func path(of head: RequestHead, _ block: borrowing HeaderBlock) -> Path {
        block.withBytes(in: head.path) { target in
            let end = target.pathEnd
            if end >= 8 { return Path(end: end, start: target.word(at: 0)) }
            // That of no bytes is the root.
            var start = end == 0 ? UInt64(UInt8(ascii: "/")) : 0
            for place in 0..<end { start |= UInt64(target.byte(at: place)) << (8 * place) }
            return Path(end: end, start: start)
        }
    }

    /// The next entry whose screen the path passes; the count of entries when there is none.
    ///
    /// Not inlined: where no route asks for a path, the search stays short.
    @inline(never)
    private func candidate(
        from first: Int, _ path: Path, _ head: RequestHead, _ block: borrowing HeaderBlock
    ) -> Int {
        let count = max(path.end, 1)
        return block.withBytes(in: head.path) { target in
            var position = first
            while position < self.screens.count {
                let screen = self.screens[position]
                if count >= screen.least {
                    let word = screen.offset == 0 ? path.start : target.word(at: screen.offset)
                    if word & screen.mask == screen.word { break }
                }
                position &+= 1
            }
            return position
        }
    }

    @inline(never)
    private func isRarely(
        _ route: Int, _ head: RequestHead, _ block: borrowing HeaderBlock, _ random: inout FastRandom,
        _ draw: inout Int
    ) -> Bool {
        guard case .request(let match) = self.host.routes[route].match else { return true }
        return match.rareConditionsHold(for: head, block, using: &random, draw: &draw)
    }

    private static let unsearched = -2
    private static let absent = -1

    @inline(__always)
    private func holds(
        _ index: Int, _ head: RequestHead, _ block: borrowing HeaderBlock, _ found: inout InlineArray<16, Int>,
        _ pathEnd: Int
    ) -> Bool {
        let condition = self.conditions[index]
        let header = condition.header
        if header < 0 { return self.holds(condition, head, block, pathEnd) }
        var field = header < Self.remembered ? found[header] : Self.unsearched
        if field == Self.unsearched {
            field = self.search(header, block)
            if header < Self.remembered { found[header] = field }
        }
        guard field >= 0 else { return condition.acceptsAbsence }
        return block.withValue(at: field) { value in
            if condition.isRequired, value.byteCount == 0 { return false }
            return self.holds(condition, value)
        }
    }

    /// Compares the path, or the method.
    private func holds(
        _ condition: Condition, _ head: RequestHead, _ block: borrowing HeaderBlock, _ pathEnd: Int
    ) -> Bool {
        if condition.header == Self.method {
            return block.withBytes(in: head.methodName) { self.holds(condition, $0) }
        }
        return block.withBytes(in: head.path) { target in
            if pathEnd == 0 {
                let root = RequestMatch.root
                return self.holds(condition, root.rawSpan)
            }
            return self.holds(condition, target.extracting(0..<pathEnd))
        }
    }

    @inline(__always)
    private func holds(_ condition: Condition, _ value: RawSpan) -> Bool {
        switch condition.kind {
        case .exact: self.isEqual(value, condition)
        case .notEqual: !self.isEqual(value, condition)
        case .prefix: self.begins(value, condition)
        case .segments:
            self.begins(value, condition)
                && (value.byteCount == condition.count || value.byte(at: condition.count) == UInt8(ascii: "/"))
        case .regex, .other: self.matches[condition.start].matches(value)
        }
    }

    @inline(__always)
    private func isEqual(_ value: RawSpan, _ condition: Condition) -> Bool {
        value.byteCount == condition.count && self.begins(value, condition)
    }

    @inline(__always)
    private func begins(_ value: RawSpan, _ condition: Condition) -> Bool {
        guard value.byteCount >= condition.count else { return false }
        for offset in 0..<condition.count where value.byte(at: offset) != self.bytes[condition.start &+ offset] {
            return false
        }
        return true
    }

    @inline(never)
    private func search(_ index: Int, _ block: borrowing HeaderBlock) -> Int {
        let header = self.headers[index]
        if header.secondCount == 0, header.name.isOneName { return block.firstIndex(of: header.name) ?? Self.absent }
        let name = header.start..<header.start &+ header.count
        if let field = block.firstIndex(ofLowercased: self.bytes, in: name) { return field }
        guard header.secondCount > 0 else { return Self.absent }
        let second = header.secondStart..<header.secondStart &+ header.secondCount
        return block.firstIndex(ofLowercased: self.bytes, in: second) ?? Self.absent
    }
}
