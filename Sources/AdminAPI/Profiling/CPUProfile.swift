// SPDX-License-Identifier: Apache-2.0

/// Where CPU time went: stacks and how often each was met, with the names of their functions.
struct CPUProfile: Sendable {
    /// Clock periods by stack: addresses innermost first, callers' addresses inside the call instruction.
    let stacks: [[UInt]: Int]
    /// The files that the addresses belong to.
    let map: MemoryMap
    /// The functions that have a name.
    let symbols: [UInt: Symbol]
    /// When it began, in nanoseconds since 1970.
    let start: Int64
    /// How long it took, in nanoseconds.
    let duration: Int64
    /// The CPU time that one period stands for, in nanoseconds.
    let period: Int64
    /// What its reader should know of it.
    let comments: [String]

    /// The message `perftools.profiles.Profile`, not compressed.
    ///
    /// Sample types are those of Go's profiles: samples/count and cpu/nanoseconds. Code of a file that does not name it
    /// gets the file's name in brackets as its function, since viewers leave out what has no function.
    ///
    /// - Source: https://github.com/google/pprof/blob/main/proto/profile.proto, whose field numbers these are.
    func encoded() -> [UInt8] {
        var tables = Tables(map: self.map, symbols: self.symbols)
        var writer = ProtobufWriter()
        let types = [("samples", "count"), ("cpu", "nanoseconds")].map { (tables.string($0), tables.string($1)) }
        for type in types { writer.message(1) { $0.valueType(type) } }
        for (stack, periods) in self.stacks.sorted(by: { $0.key.lexicographicallyPrecedes($1.key) }) {
            writer.message(2) { sample in
                sample.numbers(1, stack.map { tables.location($0) })
                sample.numbers(2, [UInt64(periods), UInt64(bitPattern: Int64(periods) &* self.period)])
            }
        }
        for (index, entry) in tables.mappings.enumerated() { self.append(entry, id: index + 1, &writer, &tables) }
        for location in tables.locations { writer.message(4) { $0.location(location) } }
        for function in tables.functions { writer.message(5) { $0.function(function) } }
        writer.number(9, self.start)
        writer.number(10, self.duration)
        writer.message(11) { $0.valueType(types[1]) }
        writer.number(12, self.period)
        writer.numbers(13, self.comments.map { tables.string($0) })
        for text in tables.strings { writer.text(6, text) }  // last, when all are known
        return writer.bytes
    }

    private func append(_ entry: MemoryMap.Entry, id: Int, _ writer: inout ProtobufWriter, _ tables: inout Tables) {
        let path = tables.string(entry.path)
        writer.message(3) { mapping in
            mapping.number(1, UInt64(id))
            mapping.number(2, UInt64(entry.addresses.lowerBound))
            mapping.number(3, UInt64(entry.addresses.upperBound))
            mapping.number(4, entry.fileOffset)
            mapping.number(5, path)
            mapping.flag(7, true)  // has_functions: the reader need not look for names
        }
    }
}

/// What samples refer to by number: counted from 1, strings from 0, in the order of their first use.
private struct Tables {
    struct Location {
        let id: UInt64
        let mapping: UInt64
        let address: UInt64
        let function: UInt64
    }

    struct Function {
        let id: UInt64
        let name: UInt64
        let systemName: UInt64
    }

    private let map: MemoryMap
    private let symbols: [UInt: Symbol]
    private(set) var strings = [""]
    private(set) var mappings: [MemoryMap.Entry] = []
    private(set) var locations: [Location] = []
    private(set) var functions: [Function] = []
    private var stringNumbers: [String: UInt64] = ["": 0]
    private var mappingNumbers: [MemoryMap.Entry: UInt64] = [:]
    private var locationNumbers: [UInt: UInt64] = [:]
    private var functionNumbers: [Symbol: UInt64] = [:]

    init(map: MemoryMap, symbols: [UInt: Symbol]) {
        self.map = map
        self.symbols = symbols
    }

    mutating func string(_ text: String) -> UInt64 {
        if let known = self.stringNumbers[text] { return known }
        let number = UInt64(self.strings.count)
        self.strings.append(text)
        self.stringNumbers[text] = number
        return number
    }

    mutating func location(_ address: UInt) -> UInt64 {
        if let known = self.locationNumbers[address] { return known }
        let entry = self.map.entry(at: address)
        let symbol = self.symbols[address] ?? Self.placeholder(entry)
        let location = Location(
            id: UInt64(self.locations.count + 1), mapping: entry.map { self.mapping($0) } ?? 0,
            address: UInt64(address), function: self.function(symbol))
        self.locations.append(location)
        self.locationNumbers[address] = location.id
        return location.id
    }

    private static func placeholder(_ entry: MemoryMap.Entry?) -> Symbol {
        let file = entry?.path.split(separator: "/").last.map(String.init) ?? ""
        let name = file.isEmpty ? "[unknown]" : file.hasPrefix("[") ? file : "[\(file)]"
        return Symbol(name: name, systemName: name)
    }

    private mutating func mapping(_ entry: MemoryMap.Entry) -> UInt64 {
        if let known = self.mappingNumbers[entry] { return known }
        self.mappings.append(entry)
        let number = UInt64(self.mappings.count)
        self.mappingNumbers[entry] = number
        return number
    }

    private mutating func function(_ symbol: Symbol) -> UInt64 {
        if let known = self.functionNumbers[symbol] { return known }
        let function = Function(
            id: UInt64(self.functions.count + 1), name: self.string(symbol.name),
            systemName: self.string(symbol.systemName))
        self.functions.append(function)
        self.functionNumbers[symbol] = function.id
        return function.id
    }
}

extension ProtobufWriter {
    fileprivate mutating func valueType(_ type: (name: UInt64, unit: UInt64)) {
        self.number(1, type.name)
        self.number(2, type.unit)
    }

    fileprivate mutating func location(_ location: Tables.Location) {
        self.number(1, location.id)
        self.number(2, location.mapping)
        self.number(3, location.address)
        self.message(4) { $0.number(1, location.function) }
    }

    fileprivate mutating func function(_ function: Tables.Function) {
        self.number(1, function.id)
        self.number(2, function.name)
        self.number(3, function.systemName)
    }
}
