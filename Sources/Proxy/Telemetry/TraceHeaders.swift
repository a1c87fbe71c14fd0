// SPDX-License-Identifier: Apache-2.0
// request path

import BasicContainers
import Common

/// The ways in which headers say where a request is in a trace.
package struct TraceFormats: OptionSet, Sendable {
    package let rawValue: UInt8
    package init(rawValue: UInt8) { self.rawValue = rawValue }

    /// B3 in several headers: `X-B3-TraceId` and so on.
    package static var b3: Self { Self(rawValue: 1) }
    /// B3 in one header: `b3`.
    package static var b3Single: Self { Self(rawValue: 2) }
    /// `traceparent` of the W3C.
    package static var w3c: Self { Self(rawValue: 4) }
}

/// What the headers of a request say about its trace.
///
/// - Source: openzipkin/b3-propagation; W3C Trace Context, level 1.
struct TraceHeaders {
    /// The caller's place; `nil` when only a decision came, or nothing.
    var context: TraceContext?
    /// Whether the caller wants it recorded; `nil` when it leaves that open.
    var isSampled: Bool?
    /// Whether it wants that whatever the rate.
    var isDebug = false
    /// How it says so.
    var formats: TraceFormats = []

    /// Reads them: `traceparent` counts first, since whoever keeps it up to date knows it, then B3.
    ///
    /// What cannot be read counts as not there.
    init(_ headers: borrowing HeaderBlock) {
        if headers.hasNone(of: HeaderName.tracing) { return }
        if let context = headers.trace(.traceparent, { Self.parent($0) }) {
            self.context = context
            self.isSampled = context.isSampled
            self.formats.insert(.w3c)
        }
        if let found = headers.trace(.b3, { Self.single($0) }) {
            self.take(found, .b3Single)
        }
        if !headers.hasNone(of: HeaderName.b3Headers) {
            self.take(Self.several(headers), .b3)
        }
    }

    /// Whether the headers tell nothing but the place, once and in one format: several headers of B3, or the W3C's.
    func isPlain(_ headers: borrowing HeaderBlock) -> Bool {
        switch self.formats {
        case .b3:
            guard headers.hasNone(of: HeaderName.b3.bit | HeaderName.traceparent.bit | HeaderName.b3Flags.bit),
                self.context?.parent != 0 || headers.hasNone(of: HeaderName.b3ParentSpanID.bit)
            else { return false }
        case .w3c: guard headers.hasNone(of: HeaderName.b3.bit | HeaderName.b3Headers) else { return false }
        default: return false
        }
        return headers.hasEachOnce(HeaderName.traceIDs)
    }

    private mutating func take(_ found: Found, _ format: TraceFormats) {
        guard found.context != nil || found.isSampled != nil else { return }
        self.formats.insert(format)
        guard self.context == nil else { return }
        self.context = found.context
        // One header's decision, whole: not the debugging of one with the sampling of another.
        guard self.isSampled == nil else { return }
        self.isSampled = found.isSampled
        self.isDebug = found.isDebug
    }

    // MARK: Reading

    private struct Found {
        var context: TraceContext?
        var isSampled: Bool?
        var isDebug = false
    }

    /// `00-<32 digits>-<16 digits>-<2 digits>`, and later versions as far as they begin alike.
    private static func parent(_ value: RawSpan) -> TraceContext? {
        guard value.byteCount >= 55, !Self.hasCapital(value), let version = value.hex(0..<2), version != 0xff,
            version != 0 || value.byteCount == 55, value.byteCount == 55 || value.byte(at: 55) == 0x2d,
            value.byte(at: 2) == 0x2d, value.byte(at: 35) == 0x2d, value.byte(at: 52) == 0x2d,
            let high = value.hex(at: 3), let low = value.hex(at: 19), high != 0 || low != 0,
            let span = value.hex(at: 36), span != 0, let flags = value.hex(53..<55)
        else { return nil }
        return TraceContext(traceHigh: high, traceLow: low, span: span, isSampled: flags & 1 == 1)
    }

    /// Capitals are digits elsewhere, but not in this format.
    private static func hasCapital(_ value: RawSpan) -> Bool {
        for offset in 0..<55 where value.byte(at: offset) &- 0x41 < 6 { return true }
        return false
    }

    /// `<trace>-<span>[-<decision>[-<parent>]]`, or a decision alone.
    private static func single(_ value: RawSpan) -> Found? {
        let count = value.byteCount
        if count == 1 { return Self.decision(value.byte(at: 0)).map { Found(isSampled: $0.0, isDebug: $0.1) } }
        guard let dash = (0..<count).first(where: { value.byte(at: $0) == 0x2d }),
            let (high, low) = Self.traceID(value.extracting(0..<dash)), count >= dash + 17,
            let span = value.hex(at: dash + 1), span != 0
        else { return nil }
        var found = Found()
        var parent: UInt64 = 0
        if count > dash + 17 {
            guard value.byte(at: dash + 17) == 0x2d, count >= dash + 19 else { return nil }
            guard let (isSampled, isDebug) = Self.decision(value.byte(at: dash + 18)) else { return nil }
            found.isSampled = isSampled
            found.isDebug = isDebug
            if count > dash + 19 {
                guard count == dash + 36, value.byte(at: dash + 19) == 0x2d,
                    let above = value.hex(at: dash + 20)
                else { return nil }
                parent = above
            }
        }
        found.context = TraceContext(
            traceHigh: high, traceLow: low, span: span, parent: parent, isSampled: found.isSampled ?? false)
        return found
    }

    private static func several(_ headers: borrowing HeaderBlock) -> Found {
        var found = Found()
        if headers.trace(.b3Flags, { $0.byteCount == 1 && $0.byte(at: 0) == 0x31 ? true : nil }) == true {
            found.isSampled = true
            found.isDebug = true
        } else if let decision = headers.trace(.b3Sampled, { Self.decision($0) }) {
            (found.isSampled, found.isDebug) = (decision.0, decision.1)
        }
        guard let (high, low) = headers.trace(.b3TraceID, { Self.traceID($0) }),
            let span = headers.trace(.b3SpanID, { $0.byteCount == 16 ? $0.hex(at: 0) : nil }), span != 0
        else { return found }
        let parent = headers.trace(.b3ParentSpanID) { $0.byteCount == 16 ? $0.hex(at: 0) : nil }
        found.context = TraceContext(
            traceHigh: high, traceLow: low, span: span, parent: parent ?? 0, isSampled: found.isSampled ?? false)
        return found
    }

    private static func decision(_ value: RawSpan) -> (Bool, Bool)? {
        if value.byteCount == 1 { return Self.decision(value.byte(at: 0)) }
        // Older libraries write words.
        if value.byteCount == 4, value.matches("true", at: 0) { return (true, false) }
        return value.byteCount == 5 && value.matches("false", at: 0) ? (false, false) : nil
    }

    /// - Returns: Whether it is sampled, and whether for debugging.
    private static func decision(_ byte: UInt8) -> (Bool, Bool)? {
        switch byte {
        case 0x30: (false, false)
        case 0x31: (true, false)
        case 0x64: (true, true)
        default: nil
        }
    }

    private static func traceID(_ value: RawSpan) -> (UInt64, UInt64)? {
        let count = value.byteCount
        guard count == 16 || count == 32, let low = value.hex(at: count - 16) else { return nil }
        guard count == 32 else { return low == 0 ? nil : (0, low) }
        guard let high = value.hex(at: 0), high != 0 || low != 0 else { return nil }
        return (high, low)
    }
}

extension RawSpan {
    /// The number that the 16 hexadecimal digits from `offset` on are; `nil` when there is any other byte.
    @inline(__always)
    fileprivate func hex(at offset: Int) -> UInt64? {
        guard let high = UInt64(hexDigits: self.word(at: offset)),
            let low = UInt64(hexDigits: self.word(at: offset + 8))
        else { return nil }
        return high &<< 32 | low
    }

    /// The same of the digits in `range`, 16 at most.
    fileprivate func hex(_ range: Range<Int>) -> UInt64? {
        var number: UInt64 = 0
        for offset in range {
            let value = self.byte(at: offset).hexValue
            guard value < 16 else { return nil }
            number = number &<< 4 | UInt64(value)
        }
        return number
    }
}

extension HeaderBlock {
    /// What `read` makes of the first field of this name.
    @inline(__always)
    fileprivate func trace<Result>(_ name: HeaderName, _ read: (RawSpan) -> Result?) -> Result? {
        guard let index = self.firstIndex(of: name) else { return nil }
        return self.withValue(at: index, read)
    }

    /// Says where the request is in its trace, in place of what its headers said.
    ///
    /// A field that is there already is written over, so that what goes on stays in one piece.
    ///
    /// - Parameter isNew: Whether the trace begins here: one that is not recorded needs no ids of B3 then.
    mutating func setTrace(_ trace: TraceContext, _ formats: TraceFormats, isNew: Bool, _ lines: TraceLines) {
        let isB3 = formats.contains(.b3)
        let hasIDs = isB3 && (!isNew || trace.isSampled)
        if !self.hasNone(of: HeaderName.tracing) {
            self.remove(.b3)
            if !hasIDs {
                self.remove(.b3TraceID)
                self.remove(.b3SpanID)
            }
            if !hasIDs || trace.parent == 0 { self.remove(.b3ParentSpanID) }
            if !isB3 || trace.isDebug { self.remove(.b3Sampled) }
            if !isB3 || !trace.isDebug { self.remove(.b3Flags) }
            if !formats.contains(.w3c) {
                self.remove(.traceparent)
                self.remove(.tracestate)
            }
        }
        if hasIDs { self.setB3(trace, lines) }
        if isB3 { _ = self.set(trace.isDebug ? lines.debug : trace.isSampled ? lines.sampled : lines.notSampled) }
        if formats.contains(.b3Single) {
            if isNew, !trace.isSampled { self.append(lines.singleNotSampled) } else { self.appendSingle(trace) }
        }
        if formats.contains(.w3c) {
            let value = self.set(trace.isSampled ? lines.parentSampled : lines.parent)
            self.setHex(trace.traceHigh, at: value + 3)
            self.setHex(trace.traceLow, at: value + 19)
            self.setHex(trace.span, at: value + 36)
        }
    }

    private mutating func setB3(_ trace: TraceContext, _ lines: TraceLines) {
        if trace.traceHigh == 0 {
            self.setHex(trace.traceLow, at: self.set(lines.shortTraceID))
        } else {
            let value = self.set(lines.traceID)
            self.setHex(trace.traceHigh, at: value)
            self.setHex(trace.traceLow, at: value + 16)
        }
        self.setHex(trace.span, at: self.set(lines.spanID))
        if trace.parent != 0 { self.setHex(trace.parent, at: self.set(lines.parentSpanID)) }
    }

    private mutating func appendSingle(_ trace: TraceContext) {
        self.append(.b3, "b3") { bytes in
            if trace.traceHigh != 0 { Self.append(trace.traceHigh, to: &bytes) }
            Self.append(trace.traceLow, to: &bytes)
            bytes.append(UInt8(ascii: "-"))
            Self.append(trace.span, to: &bytes)
            bytes.append(UInt8(ascii: "-"))
            bytes.append(UInt8(ascii: trace.isDebug ? "d" : trace.isSampled ? "1" : "0"))
            guard trace.parent != 0 else { return }
            bytes.append(UInt8(ascii: "-"))
            Self.append(trace.parent, to: &bytes)
        }
    }

    /// Writes 16 hexadecimal digits over what stands at `offset`.
    @inline(__always)
    private mutating func setHex(_ number: UInt64, at offset: Int) {
        self.overwrite(number.highHexDigits, at: offset)
        self.overwrite(number.lowHexDigits, at: offset + 8)
    }

    private static func append(_ number: UInt64, to bytes: inout UniqueArray<UInt8>) {
        for word in [number.highHexDigits, number.lowHexDigits] {
            for index in 0..<8 { bytes.append(UInt8(truncatingIfNeeded: word &>> (8 &* UInt64(index)))) }
        }
    }
}

/// Header lines of traces, made once; ids are written over their zeros.
final class TraceLines: Sendable {
    private static let zeros = "0000000000000000"

    let traceID = HeaderLine("X-B3-TraceId", zeros + zeros)
    let shortTraceID = HeaderLine("X-B3-TraceId", zeros)
    let spanID = HeaderLine("X-B3-SpanId", zeros)
    let parentSpanID = HeaderLine("X-B3-ParentSpanId", zeros)
    let sampled = HeaderLine("X-B3-Sampled", "1")
    let notSampled = HeaderLine("X-B3-Sampled", "0")
    let debug = HeaderLine("X-B3-Flags", "1")
    let singleNotSampled = HeaderLine("b3", "0")
    let parent = HeaderLine("traceparent", "00-\(zeros)\(zeros)-\(zeros)-00")
    let parentSampled = HeaderLine("traceparent", "00-\(zeros)\(zeros)-\(zeros)-01")
}
