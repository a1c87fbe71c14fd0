// SPDX-License-Identifier: Apache-2.0
// request path

/// Where a request is in a trace: what B3 and W3C headers say in their ways.
///
/// - Source: openzipkin/b3-propagation; W3C Trace Context, level 1.
package struct TraceContext: Sendable, Equatable {
    /// The upper half of the trace's id; 0 where the trace began with one of 64 bits.
    package var traceHigh: UInt64
    /// The lower half.
    package var traceLow: UInt64
    /// The span of this side of the call.
    package var span: UInt64
    /// The span that it is part of; 0 when it is the first.
    package var parent: UInt64
    /// Whether spans are recorded.
    package var isSampled: Bool
    /// Whether somebody wants this trace whatever the rate.
    package var isDebug: Bool
    /// Whether both sides of the call have the same span, as Zipkin's model has it.
    package var isShared: Bool

    /// A context.
    package init(
        traceHigh: UInt64, traceLow: UInt64, span: UInt64, parent: UInt64 = 0, isSampled: Bool, isDebug: Bool = false,
        isShared: Bool = false
    ) {
        self.traceHigh = traceHigh
        self.traceLow = traceLow
        self.span = span
        self.parent = parent
        self.isSampled = isSampled
        self.isDebug = isDebug
        self.isShared = isShared
    }

    /// The trace's id as logs and headers write it: 32 hexadecimal digits.
    ///
    /// Allocates.
    package var traceID: String { Self.hex(self.traceHigh) + Self.hex(self.traceLow) }

    /// A number as 16 hexadecimal digits.
    ///
    /// Allocates.
    package static func hex(_ number: UInt64) -> String {
        let digits = [number.highHexDigits, number.lowHexDigits].flatMap { word in
            (0..<8).map { UInt8(truncatingIfNeeded: word &>> (8 &* UInt64($0))) }
        }
        return String(decoding: digits, as: UTF8.self)
    }
}
