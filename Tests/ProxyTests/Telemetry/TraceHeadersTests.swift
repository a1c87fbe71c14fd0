// SPDX-License-Identifier: Apache-2.0

import Common
import Testing

@testable import Proxy

/// What headers say about a trace, and how it is told on.
@Suite struct TraceHeadersTests {
    /// What was read, to be compared at once.
    private struct Said: Equatable {
        var context: TraceContext?
        var isSampled: Bool?
        var isDebug = false
        var formats: TraceFormats = []
    }

    private static let (short, long) = ("48485a3953bb6124", "463ac35c9f64131148485a3953bb6124")
    private static let (span, parent) = ("a2fb4a1d1a96d312", "05e3ac9a4f6e3b90")
    private static let (high, low): (UInt64, UInt64) = (0x463a_c35c_9f64_1311, 0x4848_5a39_53bb_6124)
    private static let (spanID, parentID): (UInt64, UInt64) = (0xa2fb_4a1d_1a96_d312, 0x05e3_ac9a_4f6e_3b90)

    private static func block(_ fields: [String]) throws -> HeaderBlock {
        var scanner = HeadScanner()
        var head = RequestHead()
        var block = HeaderBlock()
        let bytes = Array((["GET / HTTP/1.1", "Host: a"] + fields + ["", ""]).joined(separator: "\r\n").utf8)
        let result = scanner.scanRequest(bytes.rawSpan, limits: HeadLimits(), into: &head, &block)
        try #require(result == .complete(length: bytes.count))
        return block
    }

    private static func read(_ fields: [String]) throws -> Said {
        let headers = TraceHeaders(try Self.block(fields))
        return Said(
            context: headers.context, isSampled: headers.isSampled, isDebug: headers.isDebug, formats: headers.formats)
    }

    private static func context(
        high: UInt64 = Self.high, parent: UInt64 = 0, isSampled: Bool = false
    ) -> TraceContext {
        TraceContext(traceHigh: high, traceLow: Self.low, span: Self.spanID, parent: parent, isSampled: isSampled)
    }

    @Test("requests without a word about traces have none")
    func nothing() throws { #expect(try Self.read(["traceparentx: 1", "x-b3: 1"]) == Said()) }

    // MARK: B3

    @Test(
        "B3 in one header: the place, and what was decided",
        arguments: [
            ("\(short)-\(span)", 0, 0, nil, false), ("\(long)-\(span)", high, 0, nil, false),
            ("\(short)-\(span)-0", 0, 0, false, false), ("\(long)-\(span)-1", high, 0, true, false),
            ("\(long)-\(span)-d", high, 0, true, true), ("\(short)-\(span)-1-\(parent)", 0, parentID, true, false),
            ("\(long)-\(span)-0-\(parent)", high, parentID, false, false),
            ("\(long.uppercased())-\(span.uppercased())-d-\(parent.uppercased())", high, parentID, true, true),
        ] as [(String, UInt64, UInt64, Bool?, Bool)])
    func single(value: String, high: UInt64, parent: UInt64, isSampled: Bool?, isDebug: Bool) throws {
        let context = Self.context(high: high, parent: parent, isSampled: isSampled ?? false)
        #expect(
            try Self.read(["b3: \(value)"])
                == Said(context: context, isSampled: isSampled, isDebug: isDebug, formats: .b3Single))
    }

    @Test(
        "a decision may come alone",
        arguments: [
            ("b3: 0", false, false, .b3Single), ("b3: 1", true, false, .b3Single), ("B3: d", true, true, .b3Single),
            ("X-B3-Sampled: 0", false, false, .b3), ("X-B3-Sampled: 1", true, false, .b3),
            ("X-B3-Sampled: d", true, true, .b3), ("x-b3-sampled: true", true, false, .b3),
            ("x-b3-sampled: false", false, false, .b3), ("X-B3-Flags: 1", true, true, .b3),
        ] as [(String, Bool, Bool, TraceFormats)])
    func decisions(field: String, isSampled: Bool, isDebug: Bool, formats: TraceFormats) throws {
        #expect(
            try Self.read([field]) == Said(context: nil, isSampled: isSampled, isDebug: isDebug, formats: formats))
    }

    @Test(
        "B3 in several headers: the place, and what was decided",
        arguments: [
            (short, [], 0, 0, nil, false), (long, ["X-B3-Sampled: 1"], high, 0, true, false),
            (short, ["X-B3-Sampled: 0", "X-B3-ParentSpanId: \(parent)"], 0, parentID, false, false),
            (long, ["X-B3-Sampled: false"], high, 0, false, false),
            // Debugging counts more, and implies the rest.
            (long, ["X-B3-Sampled: 0", "X-B3-Flags: 1"], high, 0, true, true),
            (long, ["X-B3-Flags: 0"], high, 0, nil, false), (long, ["X-B3-Flags: 11"], high, 0, nil, false),
            (long, ["X-B3-Sampled: 2"], high, 0, nil, false),
            (long, ["X-B3-ParentSpanId: \(parent.dropLast())"], high, 0, nil, false),
            (long, ["X-B3-ParentSpanId: \(parent.dropLast())x"], high, 0, nil, false),
        ] as [(String, [String], UInt64, UInt64, Bool?, Bool)])
    func several(
        trace: String, others: [String], high: UInt64, parent: UInt64, isSampled: Bool?, isDebug: Bool
    ) throws {
        let context = Self.context(high: high, parent: parent, isSampled: isSampled ?? false)
        #expect(
            try Self.read(["X-B3-TraceId: \(trace)", "X-B3-SpanId: \(Self.span)"] + others)
                == Said(context: context, isSampled: isSampled, isDebug: isDebug, formats: .b3))
    }

    // MARK: W3C

    @Test(
        "traceparent: what this version says, and what later ones begin with",
        arguments: [
            ("00-\(long)-\(span)-01", high, true), ("00-\(long)-\(span)-00", high, false),
            ("00-\(long)-\(span)-ff", high, true), ("00-\(long)-\(span)-02", high, false),
            ("00-0000000000000000\(short)-\(span)-01", 0, true), ("01-\(long)-\(span)-01", high, true),
            ("01-\(long)-\(span)-01-what-ever", high, true), ("fe-\(long)-\(span)-00-", high, false),
        ] as [(String, UInt64, Bool)])
    func traceparent(value: String, high: UInt64, isSampled: Bool) throws {
        #expect(
            try Self.read(["traceparent: \(value)"])
                == Said(context: Self.context(high: high, isSampled: isSampled), isSampled: isSampled, formats: .w3c))
    }

    // MARK: Garbage

    @Test(
        "a traceparent that cannot be read counts as not there",
        arguments: [
            "", "-", "00", "00-\(long)", "00-\(long)-\(span)", "00-\(long)-\(span)-", "00-\(long)-\(span)-1",
            "00-\(long)-\(span)-01-", "00-\(long)-\(span)-01-extra", "00-\(long)-\(span)-011",
            "01-\(long)-\(span)-01x", "01-\(long)-\(span)-011", "ff-\(long)-\(span)-01", "ff-\(long)-\(span)-01-x",
            "0-\(long)-\(span)-01", "000-\(long)-\(span)-01", "0x-\(long)-\(span)-01", "-0-\(long)-\(span)-01",
            "00-\(short)-\(span)-01", "00-\(long)0-\(span)-01", "00-\(long.dropLast())-\(span)-01",
            "00-\(long.dropLast())g-\(span)-01", "00-\(long)-\(span.dropLast())g-01", "00-\(long)-\(span)-0g",
            "00-\(long)-\(span.dropLast())-01", "00-00000000000000000000000000000000-\(span)-01",
            "00-\(long)-0000000000000000-01", "00_\(long)-\(span)-01", "00-\(long)_\(span)-01",
            "00-\(long)-\(span)_01", "00-\(long)-\(span)-01, 00-\(long)-\(span)-01",
        ])
    func badParent(value: String) throws { #expect(try Self.read(["traceparent: \(value)"]) == Said()) }

    @Test(
        "a b3 that cannot be read counts as not there",
        arguments: [
            "", "-", "--", "2", "D", "x", "00", "true", short, "\(short)-", "\(short)-\(span)-", "-\(span)-1",
            "\(short)-\(span)-2", "\(short)-\(span)-11", "\(short)-\(span)1", "\(short)-\(span)_1",
            "\(short)-\(span)-1-", "\(short)-\(span)-1-05e3", "\(short)-\(span)-1_\(parent)",
            "\(short)-\(span)-1-\(parent)0", "\(short)-\(span)-1-\(parent)-",
            "\(short)-\(span)-1-\(parent.dropLast())x",
            "\(short.dropLast())-\(span)-1", "\(short)0-\(span)-1", "\(long.dropLast())-\(span)-1",
            "\(long)0-\(span)-1", "\(short.dropLast())x-\(span)-1", "x\(long.dropFirst())-\(span)-1",
            "\(short)-\(span.dropLast())-1", "\(short)-\(span)0-1", "\(short)-\(span.dropLast())x-1",
            "0000000000000000-\(span)-1", "00000000000000000000000000000000-\(span)-1", "\(short)-0000000000000000-1",
        ])
    func badSingle(value: String) throws { #expect(try Self.read(["b3: \(value)"]) == Said()) }

    @Test(
        "B3 headers that make no place count as not there",
        arguments: [
            ["X-B3-TraceId: \(short)"], ["X-B3-SpanId: \(span)"], ["X-B3-ParentSpanId: \(parent)"],
            ["X-B3-TraceId: ", "X-B3-SpanId: \(span)"], ["X-B3-TraceId: \(short)", "X-B3-SpanId: "],
            ["X-B3-TraceId: \(short.dropLast())", "X-B3-SpanId: \(span)"],
            ["X-B3-TraceId: \(short)00", "X-B3-SpanId: \(span)"],
            ["X-B3-TraceId: \(long.dropLast())", "X-B3-SpanId: \(span)"],
            ["X-B3-TraceId: \(long)0", "X-B3-SpanId: \(span)"],
            ["X-B3-TraceId: \(short.dropLast())x", "X-B3-SpanId: \(span)"],
            ["X-B3-TraceId: x\(long.dropFirst())", "X-B3-SpanId: \(span)"],
            ["X-B3-TraceId: \(short)", "X-B3-SpanId: \(span.dropLast())"],
            ["X-B3-TraceId: \(short)", "X-B3-SpanId: \(span)0"], ["X-B3-TraceId: \(short)", "X-B3-SpanId: \(long)"],
            ["X-B3-TraceId: \(short)", "X-B3-SpanId: \(span.dropLast())x"],
            ["X-B3-TraceId: 0000000000000000", "X-B3-SpanId: \(span)"],
            ["X-B3-TraceId: 00000000000000000000000000000000", "X-B3-SpanId: \(span)"],
            ["X-B3-TraceId: \(short)", "X-B3-SpanId: 0000000000000000"],
            ["X-B3-Sampled: 2"], ["X-B3-Sampled: "], ["X-B3-Sampled: yes"], ["X-B3-Sampled: tru"],
            ["X-B3-Sampled: falsey"], ["X-B3-Flags: 0"], ["X-B3-Flags: 2"], ["X-B3-Flags: 1 1"], ["tracestate: a=b"],
        ])
    func badSeveral(fields: [String]) throws { #expect(try Self.read(fields) == Said()) }

    // MARK: Precedence

    @Test("traceparent counts first, then b3, then B3 in several headers; all that came are told on")
    func precedence() throws {
        let parent = "traceparent: 00-\(Self.long)-\(Self.span)-00"
        let single = "b3: \(Self.short)-\(Self.span)-1"
        let several = ["X-B3-TraceId: \(Self.long)", "X-B3-SpanId: \(Self.parent)", "X-B3-Flags: 1"]
        #expect(
            try Self.read(several + [single, parent])
                == Said(context: Self.context(), isSampled: false, formats: [.w3c, .b3Single, .b3]))
        #expect(
            try Self.read(several + [single])
                == Said(context: Self.context(high: 0, isSampled: true), isSampled: true, formats: [.b3Single, .b3]))
        let all = try Self.read(several)
        #expect(all.context?.span == Self.parentID && all.isDebug && all.formats == .b3)
    }

    @Test("one that cannot be read leaves its place to the next")
    func fallsBack() throws {
        let several = ["X-B3-TraceId: \(Self.short)", "X-B3-SpanId: \(Self.span)"]
        #expect(
            try Self.read(["traceparent: garbage", "b3: garbage"] + several)
                == Said(context: Self.context(high: 0), formats: .b3))
    }

    @Test(
        "a decision of one header holds for the place that another tells",
        arguments: [("b3: 0", "1", false, false), ("b3: d", "0", true, true), ("b3: 1", "d", true, false)])
    func mixed(field: String, sampled: String, isSampled: Bool, isDebug: Bool) throws {
        let said = try Self.read(
            [field, "X-B3-TraceId: \(Self.short)", "X-B3-SpanId: \(Self.span)", "X-B3-Sampled: \(sampled)"])
        #expect(said.context?.span == Self.spanID && said.formats == [.b3Single, .b3])
        #expect(said.isSampled == isSampled && said.isDebug == isDebug)
    }

    // MARK: Telling on

    /// The fields that say where a request is, after it was said.
    private static func told(
        _ trace: TraceContext, _ formats: TraceFormats, before: [String] = [], isNew: Bool = false
    ) throws -> [String] {
        var block = try Self.block(before)
        block.setTrace(trace, formats, isNew: isNew, TraceLines())
        return block.lines.dropFirst().map { "\($0.name): \($0.value)" }
    }

    @Test(
        "each format says all that it can",
        arguments: [
            ([], context(), []),
            (.b3, context(isSampled: true), ["X-B3-TraceId: \(long)", "X-B3-SpanId: \(span)", "X-B3-Sampled: 1"]),
            (
                .b3, context(high: 0, parent: parentID),
                [
                    "X-B3-TraceId: \(short)", "X-B3-SpanId: \(span)", "X-B3-ParentSpanId: \(parent)", "X-B3-Sampled: 0",
                ]
            ),
            (.b3Single, context(), ["b3: \(long)-\(span)-0"]),
            (.b3Single, context(high: 0, parent: parentID, isSampled: true), ["b3: \(short)-\(span)-1-\(parent)"]),
            (.w3c, context(isSampled: true), ["traceparent: 00-\(long)-\(span)-01"]),
            (.w3c, context(high: 0, parent: parentID), ["traceparent: 00-0000000000000000\(short)-\(span)-00"]),
            (
                [.w3c, .b3Single], context(isSampled: true),
                ["b3: \(long)-\(span)-1", "traceparent: 00-\(long)-\(span)-01"]
            ),
        ] as [(TraceFormats, TraceContext, [String])])
    func formats(formats: TraceFormats, trace: TraceContext, expected: [String]) throws {
        #expect(try Self.told(trace, formats) == expected)
    }

    @Test("of a trace that begins here and is not recorded B3 tells the decision alone")
    func newAndNotRecorded() throws {
        #expect(
            try Self.told(Self.context(), [.b3, .b3Single, .w3c], isNew: true)
                == ["X-B3-Sampled: 0", "b3: 0", "traceparent: 00-\(Self.long)-\(Self.span)-00"])
        let recorded = Self.context(isSampled: true)
        #expect(try Self.told(recorded, [.b3, .b3Single, .w3c], isNew: true).count == 5)
    }

    @Test("debugging is told on where the format knows it")
    func debug() throws {
        var trace = Self.context(isSampled: true)
        trace.isDebug = true
        #expect(
            try Self.told(trace, [.b3, .b3Single, .w3c]) == [
                "X-B3-TraceId: \(Self.long)", "X-B3-SpanId: \(Self.span)", "X-B3-Flags: 1",
                "b3: \(Self.long)-\(Self.span)-d", "traceparent: 00-\(Self.long)-\(Self.span)-01",
            ])
    }

    @Test("what the headers said before is gone, twice said or not; tracestate stays beside a traceparent only")
    func replaces() throws {
        let before = [
            "traceparent: 00-\(Self.long)-\(Self.parent)-01", "Accept: a", "tracestate: a=b", "b3: 0", "b3: 1",
            "x-b3-traceid: \(Self.long)", "x-b3-spanid: \(Self.parent)", "x-b3-parentspanid: \(Self.parent)",
            "x-b3-sampled: 1", "x-b3-flags: 1", "traceparent: x", "tracestate: c=d",
        ]
        #expect(
            try Self.told(Self.context(), .w3c, before: before)
                == ["traceparent: 00-\(Self.long)-\(Self.span)-00", "Accept: a", "tracestate: a=b", "tracestate: c=d"])
        #expect(
            try Self.told(Self.context(), .b3Single, before: before)
                == ["Accept: a", "b3: \(Self.long)-\(Self.span)-0"])
        #expect(try Self.told(Self.context(), [], before: before) == ["Accept: a"])
        #expect(
            try Self.told(Self.context(isSampled: true), .b3, before: before)
                == [
                    "Accept: a", "x-b3-traceid: \(Self.long)", "x-b3-spanid: \(Self.span)", "x-b3-sampled: 1",
                ])
    }

    @Test("a field is written over where it stands, the first that fits; what does not fit is put behind")
    func writesOver() throws {
        let trace = Self.context(parent: Self.parentID)
        #expect(
            try Self.told(
                trace, .b3,
                before: [
                    "X-B3-ParentSpanId: 0", "x-b3-sampled: 1", "X-B3-SpanId: \(Self.parent)", "Accept: a",
                    "X-B3-SpanId: \(Self.span)", "X-B3-TraceId: \(Self.short)", "X-B3-Sampled: true",
                ])
                == [
                    "x-b3-sampled: 0", "X-B3-SpanId: \(Self.span)", "Accept: a", "X-B3-TraceId: \(Self.long)",
                    "X-B3-ParentSpanId: \(Self.parent)",
                ])
        // Whatever version it was: what goes on is of this one.
        #expect(
            try Self.told(trace, .w3c, before: ["TraceParent: fe_\(Self.long)_\(Self.parent)_01", "Accept: a"])
                == ["TraceParent: 00-\(Self.long)-\(Self.span)-00", "Accept: a"])
    }

    @Test("what is told on is read again as it was", arguments: [TraceFormats.b3, .b3Single])
    func roundTrip(formats: TraceFormats) throws {
        for high in [0, Self.high] {
            for isSampled in [true, false] {
                let trace = Self.context(high: high, parent: Self.parentID, isSampled: isSampled)
                #expect(
                    try Self.read(try Self.told(trace, formats))
                        == Said(context: trace, isSampled: isSampled, formats: formats))
            }
        }
    }
}
