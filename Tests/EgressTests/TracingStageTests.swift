// SPDX-License-Identifier: Apache-2.0

import Common
import Proxy
import TestSupport
import Testing

/// Where a request is in its trace after the tracing stage.
@Suite struct TracingStageTests {
    private static let (trace, span, parent) = (
        "463ac35c9f64131148485a3953bb6124", "a2fb4a1d1a96d312", "05e3ac9a4f6e3b90"
    )
    private static let spanID: UInt64 = 0xa2fb_4a1d_1a96_d312
    private static let parentID: UInt64 = 0x05e3_ac9a_4f6e_3b90
    private static let single = "b3: \(trace)-\(span)-1-\(parent)"
    private static let several = ["X-B3-TraceId: \(trace)", "X-B3-SpanId: \(span)", "X-B3-Sampled: 1"]
    private static let w3c = "traceparent: 00-\(trace)-\(span)-01"

    private func settings(_ change: (inout TracingConfig) -> Void = { _ in }) -> TracingConfig {
        var settings = TracingConfig()
        change(&settings)
        return settings
    }

    /// What becomes of a request: its place, and the fields about it by their names in lower case.
    private func run(
        _ settings: TracingConfig = TracingConfig(), _ fields: [String] = [], _ direction: Direction = .outgoing,
        times: Int = 1
    ) throws -> (trace: TraceContext, fields: [String: String]) {
        let stage = TracingStage(settings)
        var exchange = try TestExchange(.empty).make(["GET / HTTP/1.1", "Host: cart"] + fields)
        exchange.worker.random = FastRandom(seed: 7)
        exchange.direction = direction
        for _ in 0..<times {
            guard case .proceed = stage.onRequest(&exchange) else {
                Issue.record("a trace never stops a request")
                break
            }
        }
        let lines = exchange.requestHeaders.lines.filter { $0.name.lowercased() != "host" }
        let trace = exchange.trace
        return (
            try #require(trace),
            Dictionary(lines.map { ($0.name.lowercased(), $0.value) }, uniquingKeysWith: { "\($0), \($1)" })
        )
    }

    @Test("a new trace begins with ids of its own, told on as configured", arguments: [Direction.outgoing, .incoming])
    func newTrace(direction: Direction) throws {
        let (trace, fields) = try self.run(TracingConfig(), [], direction)
        #expect(trace.traceHigh != 0 && trace.traceLow != 0 && trace.span != 0 && trace.parent == 0)
        #expect(Set([trace.traceHigh, trace.traceLow, trace.span]).count == 3)
        #expect(trace.isSampled && !trace.isDebug && !trace.isShared)
        let span = TraceContext.hex(trace.span)
        #expect(
            fields == [
                "x-b3-traceid": trace.traceID, "x-b3-spanid": span, "x-b3-sampled": "1",
                "traceparent": "00-\(trace.traceID)-\(span)-01",
            ])
    }

    @Test(
        "the configured formats are those of new traces",
        arguments: [
            ([.b3], ["x-b3-sampled", "x-b3-spanid", "x-b3-traceid"]), ([.b3Single], ["b3"]), ([.w3c], ["traceparent"]),
            ([.w3c, .b3Single], ["b3", "traceparent"]), ([], []),
        ] as [([TracingConfig.Propagation], [String])])
    func formats(formats: [TracingConfig.Propagation], names: [String]) throws {
        let settings = self.settings { $0.formats = formats }
        #expect(try self.run(settings).fields.keys.sorted() == names)
        // One that came is told on as it came.
        let settled = try self.run(settings, [Self.single])
        #expect(settled.fields.keys.sorted() == ["b3"])
    }

    @Test(
        "an outgoing call is a child of the span that came",
        arguments: [TracingConfig.Format.zipkinV1, .zipkinV2, .otlp])
    func child(format: TracingConfig.Format) throws {
        let settings = self.settings { $0.format = format }
        for fields in [[Self.single], Self.several, [Self.w3c]] {
            let (trace, told) = try self.run(settings, fields)
            #expect(trace.traceID == Self.trace && trace.parent == Self.spanID)
            #expect(trace.span != Self.spanID && trace.span != 0 && trace.isSampled && !trace.isShared)
            #expect(told.count == (fields.count == 1 ? 1 : 4))
        }
        let (trace, told) = try self.run(settings, [Self.single])
        #expect(told == ["b3": "\(Self.trace)-\(TraceContext.hex(trace.span))-1-\(Self.span)"])
    }

    @Test(
        "an incoming call shares the span of its client as Zipkin has it with B3; elsewhere it has its own",
        arguments: [
            (.zipkinV1, [single], true), (.zipkinV2, [single], true), (.zipkinV2, several, true),
            (.otlp, [single], false), (.otlp, several, false), (.zipkinV1, [w3c], false), (.zipkinV2, [w3c], false),
            (.zipkinV2, [w3c, single], false), (.otlp, [w3c], false),
        ] as [(TracingConfig.Format, [String], Bool)])
    func shares(format: TracingConfig.Format, fields: [String], isShared: Bool) throws {
        let (trace, told) = try self.run(self.settings { $0.format = format }, fields, .incoming)
        #expect(trace.isShared == isShared && trace.traceID == Self.trace && trace.isSampled)
        #expect((trace.span == Self.spanID) == isShared)
        if !isShared { #expect(trace.parent == Self.spanID) }
        if fields == [Self.single], isShared {
            #expect(trace.parent == Self.parentID)
            #expect(told == ["b3": "\(Self.trace)-\(Self.span)-1-\(Self.parent)"])
        }
    }

    @Test("another attempt is part of the same span", arguments: [[], several, [w3c], ["b3: 0"]])
    func retry(fields: [String]) throws {
        let (once, twice) = (try self.run(fields: fields, times: 1), try self.run(fields: fields, times: 3))
        #expect(once.trace == twice.trace && once.fields == twice.fields)
    }

    private func run(fields: [String], times: Int) throws -> (trace: TraceContext, fields: [String: String]) {
        try self.run(TracingConfig(), fields, .outgoing, times: times)
    }

    @Test(
        "as many new traces are recorded as the rate says",
        arguments: [(0, 0...0), (1, 10_000...10_000), (0.25, 2284...2716), (-1, 0...0), (7, 10_000...10_000)])
    func rates(rate: Double, expected: ClosedRange<Int>) throws {
        let stage = TracingStage(self.settings { $0.sampleRate = rate })
        var exchange = try TestExchange(.empty).make(["GET / HTTP/1.1", "Host: cart"])
        exchange.worker.random = FastRandom(seed: 11)
        var sampled = 0
        for _ in 0..<10_000 {
            exchange.trace = nil
            exchange.requestHeaders.clear()
            _ = stage.onRequest(&exchange)
            if exchange.trace?.isSampled == true { sampled += 1 }
        }
        // Five standard deviations of the binomial are 216.
        #expect(expected.contains(sampled))
    }

    @Test(
        "what the caller has decided stands, whatever the rate",
        arguments: [
            (0, ["b3: 1"], true, false), (1, ["b3: 0"], false, false), (0, ["b3: d"], true, true),
            (0, ["X-B3-Flags: 1"], true, true), (1, ["X-B3-Sampled: false"], false, false), (0, [single], true, false),
            (0, several, true, false), (0, [w3c], true, false),
            (1, ["traceparent: 00-\(trace)-\(span)-00"], false, false),
            // Nobody has decided.
            (0, ["b3: \(trace)-\(span)"], false, false), (1, ["b3: \(trace)-\(span)"], true, false),
            (0, ["b3: garbage"], false, false),
        ] as [(Double, [String], Bool, Bool)])
    func obeys(rate: Double, fields: [String], isSampled: Bool, isDebug: Bool) throws {
        let (trace, told) = try self.run(self.settings { $0.sampleRate = rate }, fields)
        #expect(trace.isSampled == isSampled && trace.isDebug == isDebug)
        // And it is told on.
        let flag = isDebug ? "d" : isSampled ? "1" : "0"
        if let b3 = told["b3"] { #expect(b3 == flag || b3.contains("-\(flag)")) }
        if let sampled = told["x-b3-sampled"] { #expect(sampled == flag) }
        #expect((told["x-b3-flags"] == "1") == (isDebug && told["x-b3-traceid"] != nil))
        if let parent = told["traceparent"] { #expect(parent.hasSuffix(isSampled ? "-01" : "-00")) }
        #expect(!told.isEmpty)
    }

    @Test(
        "a request that is not recorded keeps the ids that it came with, where one format tells them",
        arguments: [
            ["X-B3-TraceId: \(trace)", "X-B3-SpanId: \(span)", "X-B3-ParentSpanId: \(parent)"],
            ["X-B3-TraceId: \(trace)", "X-B3-SpanId: \(span)", "X-B3-Sampled: false", "tracestate: a=b"],
            ["X-B3-TraceId: \(trace)", "X-B3-SpanId: \(span)", "X-B3-Sampled: 2", "X-B3-Flags: 0"],
            ["traceparent: 00-\(trace)-\(span)-00", "tracestate: a=b"],
        ])
    func keepsIDs(fields: [String]) throws {
        let (trace, told) = try self.run(self.settings { $0.sampleRate = 0 }, fields)
        #expect(!trace.isSampled && trace.traceID == Self.trace && trace.span == Self.spanID)
        if fields.count == 2 {
            #expect(told == ["traceparent": "00-\(Self.trace)-\(Self.span)-00", "tracestate": "a=b"])
            return
        }
        #expect(told["x-b3-traceid"] == Self.trace && told["x-b3-spanid"] == Self.span)
        #expect(told["x-b3-sampled"] == "0" && told["x-b3-flags"] == nil && told["tracestate"] == nil)
        #expect(told["x-b3-parentspanid"] == (fields.contains { $0.contains("Parent") } ? Self.parent : nil))
    }

    @Test("what several formats tell of a request that is not recorded agrees afterwards")
    func agrees() throws {
        let (trace, told) = try self.run(
            self.settings { $0.sampleRate = 0 },
            ["traceparent: 00-\(Self.trace)-\(Self.span)-00", "b3: \(Self.trace)-\(Self.parent)-1"])
        #expect(trace.span == Self.spanID)
        #expect(
            told == [
                "traceparent": "00-\(Self.trace)-\(Self.span)-00", "b3": "\(Self.trace)-\(Self.span)-0",
            ])
    }

    @Test(
        "what is told twice or cannot be read does not go on with a request that is not recorded",
        arguments: [
            several.dropLast() + ["X-B3-Sampled: 0", "X-B3-Flags: 0", "X-B3-Flags: 1"],
            several.dropLast() + ["X-B3-Sampled: 0", "X-B3-Flags: 3"],
            several.dropLast() + ["X-B3-TraceId: \(parent)", "X-B3-SpanId: \(parent)"],
            several.dropLast() + ["X-B3-ParentSpanId: xyz", "b3: garbage", "traceparent: garbage"],
        ])
    func sanitizes(fields: [String]) throws {
        let (trace, told) = try self.run(self.settings { $0.sampleRate = 0 }, fields)
        #expect(!trace.isSampled && trace.traceID == Self.trace && trace.span == Self.spanID)
        #expect(
            told == ["x-b3-traceid": Self.trace, "x-b3-spanid": Self.span, "x-b3-sampled": "0"])
    }

    @Test("of two places that the W3C's header tells, the first goes on alone")
    func twice() throws {
        let places = [Self.span, Self.parent].map { "traceparent: 00-\(Self.trace)-\($0)-00" }
        let (_, told) = try self.run(self.settings { $0.sampleRate = 0 }, places)
        #expect(told == ["traceparent": "00-\(Self.trace)-\(Self.span)-00"])
    }

    @Test("a decision that came alone begins a trace, told on in its way")
    func decisionAlone() throws {
        let (trace, told) = try self.run(TracingConfig(), ["b3: 0"])
        #expect(trace.parent == 0 && !trace.isSampled && trace.traceHigh != 0)
        #expect(told == ["b3": "0"])
        let debug = try self.run(TracingConfig(), ["b3: d"])
        #expect(debug.fields == ["b3": "\(debug.trace.traceID)-\(TraceContext.hex(debug.trace.span))-d"])
    }

    @Test(
        "tracestate goes on with the traceparent that it belongs to, and with no other",
        arguments: [
            ([w3c], "a=b"), ([w3c, single], "a=b"), ([], nil), ([single], nil), (["traceparent: garbage"], nil),
            (["traceparent: garbage"] + several, nil),
        ] as [([String], String?)])
    func state(fields: [String], expected: String?) throws {
        #expect(try self.run(TracingConfig(), fields + ["tracestate: a=b"]).fields["tracestate"] == expected)
    }
}
