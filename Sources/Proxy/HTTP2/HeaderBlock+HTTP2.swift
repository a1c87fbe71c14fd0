// SPDX-License-Identifier: Apache-2.0
// request path

import BasicContainers
import Common

/// How HTTP/2 fills a header block, and writes it.
extension HeaderBlock {
    // MARK: Filling

    /// Adds the field whose line, `name: value` and CRLF, a decoder has.
    @inline(__always)
    mutating func append(_ line: RawSpan, _ entry: HPACKEntry, isNeverIndexed: Bool) {
        let start = self.bytes.count
        self.appendBytes(line)
        var field = HeaderField(
            start: UInt32(truncatingIfNeeded: start),
            value: ByteRange(start &+ Int(entry.nameLength) &+ 2, self.bytes.count &- 2),
            end: UInt32(truncatingIfNeeded: self.bytes.count), nameLength: entry.nameLength, name: entry.name)
        field.isLowercase = true
        field.isNeverIndexed = isNeverIndexed
        self.add(field)
    }

    /// Adds bytes that belong to no field.
    mutating func appendBare(_ value: RawSpan) -> ByteRange {
        let start = self.bytes.count
        self.appendBytes(value)
        return ByteRange(start, self.bytes.count)
    }

    /// Adds `Host`.
    ///
    /// - Returns: Where its value is.
    mutating func appendHost(_ value: RawSpan) -> ByteRange {
        let start = self.bytes.count
        self.appendBytes("host: ")
        self.appendBytes(value)
        let end = self.bytes.count
        self.appendBytes("\r\n")
        var field = HeaderField(
            start: UInt32(truncatingIfNeeded: start), value: ByteRange(start &+ 6, end),
            end: UInt32(truncatingIfNeeded: end &+ 2), nameLength: 4, name: .host)
        field.isLowercase = true
        self.add(field)
        return ByteRange(start &+ 6, end)
    }

    // MARK: Reading

    /// Whether one of the fields whose bits are set in `names` is there.
    @inline(__always)
    func hasAny(of names: UInt64) -> Bool {
        if self.hasNone(of: names) { return false }
        for index in 0..<self.count where self.fields[index].name.bit & names != 0 && !self.fields[index].isRemoved {
            return true
        }
        return false
    }

    /// Whether no other field has the name of the one at `index`, which is the first.
    func isOnly(_ index: Int, of name: HeaderName) -> Bool {
        for other in index &+ 1..<max(self.count, index &+ 1)
        where self.fields[other].name == name && !self.fields[other].isRemoved {
            return false
        }
        return true
    }

    /// Where the value of the field at `index` is.
    func valueRange(at index: Int) -> ByteRange { self.fields[index].value }

    /// The authority that stands in `range`; `nil` when it is none.
    func authority(in range: ByteRange) -> Authority? { Authority(self.span, range.range) }

    /// Removes all fields of a name but the one at `index`.
    ///
    /// - Returns: `false` when one of them does not say what stands in `range`.
    mutating func removeOthers(of name: HeaderName, than index: Int, unlessEqual range: ByteRange) -> Bool {
        for other in 0..<self.count where other != index && self.fields[other].name == name {
            guard self.value(at: other, equals: range) else { return false }
            self.fields[other].isRemoved = true
        }
        return true
    }

    /// Joins the cookies, which HTTP/2 may send one by one, into one field.
    ///
    /// - Source: RFC 9113 §8.2.3.
    mutating func joinCookies() {
        guard let first = self.firstIndex(of: .cookie), !self.isOnly(first, of: .cookie) else { return }
        var line: [UInt8] = Array("cookie: ".utf8)
        for index in 0..<self.count where self.fields[index].name == .cookie && !self.fields[index].isRemoved {
            if line.count > 8 { line += [.semicolon, .space] }
            for offset in self.fields[index].value.range { line.append(self.bytes[offset]) }
        }
        line += [.carriageReturn, .lineFeed]
        self.remove(.cookie)
        let entry = HPACKEntry(
            start: 0, nameLength: 6, pseudo: .none, name: .cookie,
            valueLength: UInt32(truncatingIfNeeded: line.count - 10), isValid: true)
        self.append(line.rawSpan, entry, isNeverIndexed: false)
    }

    // MARK: Writing

    /// At most this many bytes come out of an encoder.
    var encodedBound: Int { self.bytes.count &+ (self.fields.count &+ 8) &* HPACKEncoder.additions }

    /// Turns the names of all fields to lower case.
    ///
    /// - Source: RFC 9113 §8.2.
    mutating func lowercaseNames() {
        for index in 0..<self.fields.count where !self.fields[index].isLowercase {
            self.fields[index].isLowercase = true
            for offset in self.fields[index].nameRange { self.bytes[offset] = self.bytes[offset].lowercased }
        }
    }

    /// Appends the fields that are left, whose names must be in lower case.
    ///
    /// - Parameter isRequest: Whether `Host` has become `:authority`.
    func encode(with encoder: inout HPACKEncoder, isRequest: Bool, to out: inout OutputRawSpan) {
        let span = self.span
        let skipped = isRequest ? HeaderName.host.bit : 0
        for index in 0..<self.fields.count {
            let field = self.fields[index]
            if field.isRemoved || field.name.bit & skipped != 0 { continue }
            encoder.field(
                span.extracting(field.nameRange), span.extracting(field.value.range),
                isSecret: field.isNeverIndexed || field.name.bit & HeaderName.secrets != 0,
                changes: field.name.bit & HeaderName.traceIDs != 0, &out)
        }
    }
}

extension HeaderName {
    /// Fields that make an HTTP/2 message malformed.
    ///
    /// - Source: RFC 9113 §8.2.2.
    @inline(__always)
    static var forbiddenInHTTP2: UInt64 {
        Self.connection.bit | Self.keepAlive.bit | Self.proxyConnection.bit | Self.transferEncoding.bit
            | Self.upgrade.bit | Self.http2Settings.bit
    }

    /// Fields that no table keeps: connections to an instance are shared by clients that must not guess each other's.
    ///
    /// - Source: RFC 7541 §7.1.
    @inline(__always)
    static var secrets: UInt64 { Self.cookie.bit | Self.setCookie.bit | Self.authorization.bit }
}
