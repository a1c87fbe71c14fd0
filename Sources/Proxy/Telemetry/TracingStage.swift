// SPDX-License-Identifier: Apache-2.0
// request path

package import Common
import NIOCore

/// Continues the trace that a request belongs to, or begins one: `tracing-consumer` and `tracing-provider`.
///
/// A request that is not recorded carries that decision on, so that a trace is recorded as a whole or not at all. It keeps
/// the ids that it came with: without a record, others would lead nowhere.
///
/// - Source: tracing handlers of go-chassis; openzipkin/b3-propagation; W3C Trace Context.
package struct TracingStage: Stage {
    package static let name = "tracing"

    private let sharesSpans: Bool
    private let formats: TraceFormats
    private let lines = TraceLines()
    /// A random number below it means that a new trace is recorded.
    private let threshold: UInt64

    /// - Parameter settings: How many are recorded, and in which headers a new trace is told on.
    package init(_ settings: TracingConfig) {
        self.sharesSpans = settings.sharesSpans
        self.formats = settings.formats.reduce(into: TraceFormats()) { formats, format in
            switch format {
            case .b3: formats.insert(.b3)
            case .b3Single: formats.insert(.b3Single)
            case .w3c: formats.insert(.w3c)
            }
        }
        self.threshold =
            settings.sampleRate >= 1 ? .max : UInt64(max(0, settings.sampleRate) * 18_446_744_073_709_549_568)
    }

    package func onRequest(_ exchange: inout Exchange) -> Verdict {
        // Another attempt is part of the same span.
        if exchange.trace != nil { return .proceed }
        let incoming = TraceHeaders(exchange.requestHeaders)
        let worker = exchange.worker
        let isSampled = incoming.isSampled ?? self.samples(&worker.random)
        var trace: TraceContext
        if let caller = incoming.context {
            trace = caller
            trace.isSampled = isSampled
            trace.isDebug = incoming.isDebug
            if !isSampled {
                exchange.trace = trace
                self.passOn(trace, incoming, &exchange.requestHeaders)
                return .proceed
            }
            if exchange.direction == .incoming, self.sharesSpans, !incoming.formats.contains(.w3c) {
                trace.isShared = true
            } else {
                trace.parent = caller.span
                trace.span = Self.id(&worker.random)
            }
        } else {
            trace = TraceContext(
                traceHigh: Self.id(&worker.random), traceLow: Self.id(&worker.random), span: Self.id(&worker.random),
                isSampled: isSampled, isDebug: incoming.isDebug)
        }
        exchange.trace = trace
        // State belongs to the `traceparent` that came with it: W3C Trace Context §4.3.
        if !incoming.formats.contains(.w3c) { exchange.requestHeaders.remove(.tracestate) }
        exchange.requestHeaders.setTrace(
            trace, incoming.formats.isEmpty ? self.formats : incoming.formats, isNew: incoming.context == nil,
            self.lines)
        return .proceed
    }

    /// Tells of a request that is not recorded what its caller has told, and that it is not recorded.
    private func passOn(_ trace: TraceContext, _ incoming: TraceHeaders, _ headers: inout HeaderBlock) {
        if !incoming.formats.contains(.w3c) { headers.remove(.tracestate) }
        guard incoming.isPlain(headers) else {
            headers.setTrace(trace, incoming.formats, isNew: false, self.lines)
            return
        }
        if incoming.formats == .b3 { _ = headers.set(self.lines.notSampled) }
    }

    @inline(__always)
    private func samples(_ random: inout FastRandom) -> Bool {
        self.threshold == .max || random.next() < self.threshold
    }

    /// No id is 0.
    @inline(__always)
    private static func id(_ random: inout FastRandom) -> UInt64 {
        let id = random.next()
        return id == 0 ? 1 : id
    }
}
