// SPDX-License-Identifier: Apache-2.0

/// A second reader of HTTP/1.1 messages, written for clarity alone and sharing no line with the first.
///
/// It knows nothing but the grammar of RFC 9112 in its strictest reading. Fuzzing gives it what the proxy would forward:
/// if the two readers understand a message differently, so could a proxy and a server, and that is what request
/// smuggling is made of.
package struct StrictMessage: Equatable {
    /// The three parts of the start line.
    package var startLine: [[UInt8]] = []
    /// Name in lower case, and value.
    package var fields: [Field] = []
    /// The body, without framing.
    package var body: [UInt8] = []
    /// The trailers of a chunked body.
    package var trailers: [Field] = []
    /// What follows the message.
    package var rest: [UInt8] = []

    /// One header field.
    package struct Field: Equatable {
        package let name: String
        package let value: [UInt8]
    }

    /// How a message may be malformed.
    package enum Flaw: Error {
        case incomplete
        case malformed(String)
    }

    /// Reads one request.
    package init(request bytes: [UInt8]) throws {
        var reader = Reader(bytes)
        let line = try reader.line()
        let parts = line.split(separator: 0x20, omittingEmptySubsequences: false).map(Array.init)
        guard parts.count == 3, parts.allSatisfy({ !$0.isEmpty }) else { throw Flaw.malformed("request line") }
        guard parts[0].allSatisfy(Reader.isTokenByte) else { throw Flaw.malformed("method") }
        guard parts[1].allSatisfy({ $0 > 0x20 && $0 != 0x7f }) else { throw Flaw.malformed("target") }
        guard parts[2] == Array("HTTP/1.1".utf8) else { throw Flaw.malformed("version") }
        self.startLine = parts
        self.fields = try reader.fields()
        guard self.values("host").count == 1 else { throw Flaw.malformed("Host") }
        try self.readBody(&reader)
        self.rest = reader.rest
    }

    /// The values of all fields of this name.
    package func values(_ name: String) -> [[UInt8]] { self.fields.filter { $0.name == name }.map(\.value) }

    private mutating func readBody(_ reader: inout Reader) throws {
        let lengths = self.values("content-length")
        let codings = self.values("transfer-encoding")
        guard lengths.isEmpty || codings.isEmpty else { throw Flaw.malformed("length and coding") }
        if let coding = codings.first {
            guard codings.count == 1, String(decoding: coding, as: UTF8.self).lowercased() == "chunked" else {
                throw Flaw.malformed("coding")
            }
            (self.body, self.trailers) = try reader.chunks()
        } else if let length = lengths.first {
            guard lengths.count == 1, !length.isEmpty, length.allSatisfy({ (0x30...0x39).contains($0) }),
                let count = Int(String(decoding: length, as: UTF8.self))
            else { throw Flaw.malformed("length") }
            self.body = try reader.take(count)
        }
    }
}

private struct Reader {
    private var bytes: ArraySlice<UInt8>

    init(_ bytes: [UInt8]) { self.bytes = bytes[...] }

    var rest: [UInt8] { Array(self.bytes) }

    static func isTokenByte(_ byte: UInt8) -> Bool {
        "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ".utf8.contains(byte)
    }

    mutating func take(_ count: Int) throws -> [UInt8] {
        guard count <= self.bytes.count else { throw StrictMessage.Flaw.incomplete }
        defer { self.bytes = self.bytes.dropFirst(count) }
        return Array(self.bytes.prefix(count))
    }

    /// Up to a CRLF, which is taken as well.
    ///
    /// A CR or LF that stands alone is a flaw.
    mutating func line() throws -> [UInt8] {
        guard let end = self.bytes.firstIndex(where: { $0 == 0x0d || $0 == 0x0a }) else {
            throw StrictMessage.Flaw.incomplete
        }
        guard self.bytes[end] == 0x0d else { throw StrictMessage.Flaw.malformed("bare LF") }
        guard end + 1 < self.bytes.endIndex else { throw StrictMessage.Flaw.incomplete }
        guard self.bytes[end + 1] == 0x0a else { throw StrictMessage.Flaw.malformed("bare CR") }
        defer { self.bytes = self.bytes[(end + 2)...] }
        return Array(self.bytes[..<end])
    }

    mutating func fields() throws -> [StrictMessage.Field] {
        var fields: [StrictMessage.Field] = []
        while true {
            let line = try self.line()
            if line.isEmpty { return fields }
            guard let colon = line.firstIndex(of: 0x3a), colon > 0, line[..<colon].allSatisfy(Self.isTokenByte) else {
                throw StrictMessage.Flaw.malformed("field name")
            }
            var value = line[(colon + 1)...]
            while let first = value.first, first == 0x20 || first == 0x09 { value = value.dropFirst() }
            while let last = value.last, last == 0x20 || last == 0x09 { value = value.dropLast() }
            guard value.allSatisfy({ $0 == 0x09 || ($0 >= 0x20 && $0 != 0x7f) }) else {
                throw StrictMessage.Flaw.malformed("field value")
            }
            fields.append(
                .init(name: String(decoding: line[..<colon], as: UTF8.self).lowercased(), value: Array(value)))
        }
    }

    /// Chunks without extensions: nobody who writes for us sends any.
    mutating func chunks() throws -> ([UInt8], [StrictMessage.Field]) {
        var body: [UInt8] = []
        while true {
            let line = String(decoding: try self.line(), as: UTF8.self)
            guard !line.isEmpty, line.allSatisfy(\.isHexDigit), let size = Int(line, radix: 16) else {
                throw StrictMessage.Flaw.malformed("chunk size")
            }
            if size == 0 { return (body, try self.fields()) }
            body += try self.take(size)
            guard try self.take(2) == [0x0d, 0x0a] else { throw StrictMessage.Flaw.malformed("chunk end") }
        }
    }
}
