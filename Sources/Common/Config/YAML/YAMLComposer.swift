// SPDX-License-Identifier: Apache-2.0

/// Makes a tree of a YAML text.
///
/// What the text can cost is bounded: values count as often as references repeat them, and nesting counts through references.
struct YAMLComposer: ~Copyable {
    /// A part of the tree, and what it counts.
    private struct Part {
        let tree: ConfigTree
        var values = 1
        var depth = 1
    }

    private static let mostValues = 1_000_000
    private static let deepest = 100

    private let source: String
    private let lines: YAMLLines
    private var reader: YAMLReader
    private var anchors: [String: Part] = [:]
    /// The anchors of what is being read.
    private var unfinished: Set<String> = []
    private var values = 0
    /// Where texts stand that have quotes, or are blocks: they are texts whatever they look like.
    private(set) var quoted: Set<ConfigLocation> = []

    /// A composer.
    ///
    /// - Parameter bytes: UTF-8, hopefully.
    /// - Throws: When the bytes are another encoding.
    init(_ bytes: [UInt8], source: String) throws(ConfigProblem) {
        let bytes = Array(bytes.starts(with: [0xef, 0xbb, 0xbf]) ? bytes[3...] : bytes[...])
        let lines = YAMLLines(bytes)
        if let mistake = lines.encodingMistake ?? lines.directiveMistake {
            throw Self.problem(mistake, in: source)
        }
        guard let reader = YAMLReader(bytes) else {
            throw ConfigProblem(at: ConfigLocation(source), "memory is short", remedy: "give the process more")
        }
        self.source = source
        self.lines = lines
        self.reader = reader
    }

    /// The tree of the only document; a map without keys when there is none.
    mutating func compose() throws(ConfigProblem) -> ConfigTree {
        guard case .documentStart = try self.next().kind else {
            return .map([], ConfigLocation(self.source, line: 1, column: 1))
        }
        let tree = try self.part(try self.next(), depth: 1).tree
        _ = try self.next()
        let after = try self.next()
        guard case .streamEnd = after.kind else {
            throw self.problem(
                YAMLMistake(
                    after.start, "a second document begins here", remedy: "keep one document in each file"))
        }
        return tree
    }

    private mutating func next() throws(ConfigProblem) -> YAMLEvent {
        guard let event = self.reader.next() else {
            throw self.problem(YAMLMistake(self.reader.failure, in: self.lines))
        }
        return event
    }

    private func location(_ place: YAMLPlace) -> ConfigLocation {
        ConfigLocation(self.source, line: place.line, column: place.column)
    }

    private static func problem(_ mistake: YAMLMistake, in source: String) -> ConfigProblem {
        ConfigProblem(
            at: ConfigLocation(source, line: mistake.place.line, column: mistake.place.column), mistake.problem,
            remedy: mistake.remedy)
    }

    private func problem(_ mistake: YAMLMistake) -> ConfigProblem { Self.problem(mistake, in: self.source) }

    private func refusal(_ place: YAMLPlace, _ problem: String, remedy: String) -> ConfigProblem {
        self.problem(YAMLMistake(place, problem, remedy: remedy))
    }

    /// What begins with `event`.
    private mutating func part(_ event: YAMLEvent, depth: Int) throws(ConfigProblem) -> Part {
        if case .alias(let name) = event.kind { return try self.known(name, event, depth: depth) }
        try self.count(1, depth: depth, at: event.start)
        if let tag = event.tag, tag != "!", !tag.hasPrefix("tag:yaml.org,2002:") {
            throw self.refusal(
                event.start, "what begins with ! is a tag, and this one is not known",
                remedy: "write the value itself, or put it in quotes")
        }
        if let anchor = event.anchor { self.unfinished.insert(anchor) }
        let part =
            switch event.kind {
            case .listStart: try self.list(event, depth: depth)
            case .mapStart: try self.map(event, depth: depth)
            case .text(let text, let isPlain): Part(tree: try self.scalar(text, isPlain: isPlain, event))
            default: Part(tree: .null(self.location(event.start)))
            }
        if let anchor = event.anchor {
            self.unfinished.remove(anchor)
            self.anchors[anchor] = part
        }
        return part
    }

    private mutating func count(_ values: Int, depth: Int, at place: YAMLPlace) throws(ConfigProblem) {
        self.values += values
        guard self.values <= Self.mostValues else {
            throw self.refusal(
                place, "the file has more than \(Self.mostValues) values, references counted as often as they stand",
                remedy: "use fewer anchors and aliases")
        }
        guard depth <= Self.deepest else {
            throw self.refusal(
                place, "this is nested deeper than \(Self.deepest) levels", remedy: "nest it less deeply")
        }
    }

    /// What `*name` stands for.
    private mutating func known(_ name: String, _ event: YAMLEvent, depth: Int) throws(ConfigProblem) -> Part {
        if let part = self.anchors[name], !self.unfinished.contains(name) {
            try self.count(part.values, depth: depth + part.depth - 1, at: event.start)
            return part
        }
        if self.unfinished.contains(name) {
            throw self.refusal(
                event.start, "*\(name.shortened) stands inside of what it refers to",
                remedy: "refer to something that ends above")
        }
        throw self.refusal(
            event.start, "what begins with * refers to an anchor, and none above has this name",
            remedy: "write the anchor above, or put the value in quotes"
        )
    }

    private mutating func scalar(
        _ text: String, isPlain: Bool, _ event: YAMLEvent
    ) throws(ConfigProblem) -> ConfigTree {
        // `!!str`, and `!` alone, make a text of anything.
        if !isPlain || event.tag == "!" || event.tag == "tag:yaml.org,2002:str" {
            self.quoted.insert(self.location(event.start))
        }
        guard isPlain else { return .text(text, self.location(event.start)) }
        if event.end.line > event.start.line, let mistake = self.lines.mistake(inPlainFrom: event.start, to: event.end)
        {
            throw self.problem(mistake)
        }
        let location = self.location(event.start)
        return ["", "~", "null"].contains(text) ? .null(location) : .text(text, location)
    }

    private mutating func list(_ start: YAMLEvent, depth: Int) throws(ConfigProblem) -> Part {
        var elements: [ConfigTree] = []
        var (values, deepest) = (1, 0)
        while true {
            let event = try self.next()
            if case .listEnd = event.kind { break }
            let part = try self.part(event, depth: depth + 1)
            elements.append(part.tree)
            values += part.values
            deepest = max(deepest, part.depth)
        }
        return Part(tree: .list(elements, self.location(start.start)), values: values, depth: deepest + 1)
    }

    /// The keys of a map; `<<` adds those of other maps that it does not have itself.
    ///
    /// - Source: the merge key of YAML 1.1.
    private mutating func map(_ start: YAMLEvent, depth: Int) throws(ConfigProblem) -> Part {
        var entries: [ConfigTree.Entry] = []
        var merged: [ConfigTree.Entry] = []
        var lines: [String: Int] = [:]
        var (values, deepest) = (1, 0)
        while true {
            let event = try self.next()
            if case .mapEnd = event.kind { break }
            let key = try self.key(event)
            if let line = lines.updateValue(event.start.line, forKey: key) {
                let distance = event.start.line - line
                let other = distance == 0 ? "" : ", also \(distance) line\(distance == 1 ? "" : "s") above"
                throw self.refusal(
                    event.start, "the key \(key.shortened) stands here twice\(other)", remedy: "keep one of them")
            }
            try self.count(1, depth: depth, at: event.start)
            let part = try self.part(try self.next(), depth: depth + 1)
            values += part.values + 1
            deepest = max(deepest, part.depth)
            if key == "<<" {
                merged += try self.merged(part.tree, event.start)
            } else {
                entries.append(ConfigTree.Entry(key: key, location: self.location(event.start), value: part.tree))
            }
        }
        for entry in merged where lines.updateValue(0, forKey: entry.key) == nil { entries.append(entry) }
        return Part(tree: .map(entries, self.location(start.start)), values: values, depth: deepest + 1)
    }

    private mutating func key(_ event: YAMLEvent) throws(ConfigProblem) -> String {
        switch event.kind {
        case .text(let text, _):
            if let anchor = event.anchor {
                self.anchors[anchor] = Part(tree: .text(text, self.location(event.start)))
            }
            return text
        case .alias(let name):
            if let text = try self.known(name, event, depth: 1).tree.text { return text }
        default: break
        }
        throw self.problem(
            self.lines.templateMistake(near: event.start)
                ?? YAMLMistake(
                    event.start, "a key is a text, and here is a list or a map", remedy: "write key: value"))
    }

    /// The entries that `<<` adds.
    private func merged(_ tree: ConfigTree, _ place: YAMLPlace) throws(ConfigProblem) -> [ConfigTree.Entry] {
        var entries: [ConfigTree.Entry] = []
        let maps = if case .list(let list, _) = tree { list } else { [tree] }
        for map in maps {
            guard case .map(let others, _) = map else {
                throw self.refusal(
                    place, "<< takes the keys of other maps, and here is none", remedy: "write <<: *name of a map")
            }
            entries += others
        }
        return entries
    }
}
