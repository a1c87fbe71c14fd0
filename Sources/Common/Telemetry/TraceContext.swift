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
        let digits = [Self.highDigits(number), Self.lowDigits(number)].flatMap { word in
            (0..<8).map { UInt8(truncatingIfNeeded: word &>> (8 &* UInt64($0))) }
        }
        return String(decoding: digits, as: UTF8.self)
    }

    /// The first eight of a number's 16 hexadecimal digits as their ASCII codes, the first digit in the lowest byte.
    @inlinable @inline(__always)
    package static func highDigits(_ number: UInt64) -> UInt64 { Self.digits(number &>> 32) }

    /// The last eight digits, likewise.
    @inlinable @inline(__always)
    package static func lowDigits(_ number: UInt64) -> UInt64 { Self.digits(number & 0xffff_ffff) }

    /// Eight digits at once: halves are moved apart until each has a byte of its own, then each byte becomes its code.
    @usableFromInline @inline(__always)
    static func digits(_ half: UInt64) -> UInt64 {
        var word = (half &>> 16) | (half & 0xffff) &<< 32
        word = (word & 0x0000_ff00_0000_ff00) &>> 8 | (word & 0x0000_00ff_0000_00ff) &<< 16
        word = (word & 0x00f0_00f0_00f0_00f0) &>> 4 | (word & 0x000f_000f_000f_000f) &<< 8
        let letters = ((word &+ 0x0606_0606_0606_0606) &>> 4) & 0x0101_0101_0101_0101
        return (word &+ 0x3030_3030_3030_3030) &+ letters &* 0x27
    }
}
