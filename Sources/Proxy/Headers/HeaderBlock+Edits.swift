// SPDX-License-Identifier: Apache-2.0
// request path

import BasicContainers
import Common

/// Edits by names that rules write, and bytes beside the fields.
extension HeaderBlock {
    /// Removes all fields of a name.
    ///
    /// - Parameter name: In lower case.
    /// - Parameter known: What it is among the known names.
    mutating func remove(_ name: [UInt8], _ known: HeaderName) {
        if known.isOneName { return self.remove(known) }
        while let index = self.firstIndex(ofLowercased: name) { self.removeField(at: index) }
    }

    /// Marks a field as removed.
    @inline(__always)
    mutating func removeField(at index: Int) {
        if self.fields[index].removal == 0 { self.fields[index].removal = self.level }
    }

    /// Removes the fields by which clients would direct Envoy, which takes them from those that it does not trust.
    ///
    /// - Source: Envoy's `ConnectionManagerUtility::cleanInternalHeaders`, and the router filter's list of request headers.
    package mutating func removeOrdersToEnvoy() {
        for index in 0..<self.count where !self.fields[index].isRemoved {
            let (start, length) = (Int(self.fields[index].start), Int(self.fields[index].nameLength))
            // Nearly all other names differ here.
            guard length > 8, self.span.byte(at: start + 7) == UInt8(ascii: "-"),
                self.span.byte(at: start + 2).lowercased == UInt8(ascii: "e")
            else { continue }
            if Self.ordersToEnvoy.contains(where: {
                $0.count == length && Self.isEqual(self.span, start, $0, 0..<length)
            }) {
                self.removeField(at: index)
            }
        }
    }

    private static let ordersToEnvoy = [
        "expected-rq-timeout-ms", "hedge-on-per-try-timeout", "max-retries", "retriable-header-names",
        "retriable-status-codes", "retry-grpc-on", "retry-on", "upstream-alt-stat-name",
        "upstream-rq-per-try-timeout-ms",
        "upstream-rq-timeout-alt-response", "upstream-rq-timeout-ms",
    ].map { Array("x-envoy-\($0)".utf8) }

    /// What the block is like at a moment, so that it can become like that again.
    package struct Mark {
        fileprivate let level: UInt8
        fileprivate let bytes: Int
        fileprivate let fields: Int
        fileprivate let present: UInt64

        /// Whether bytes were appended behind it.
        func isBefore(_ range: ByteRange) -> Bool { Int(range.upper) > self.bytes }
    }

    /// Remembers what the block is like now.
    ///
    /// Cost: nothing for those that never go back to it.
    mutating func mark() -> Mark {
        precondition(self.level < .max, "marks are few")
        self.level += 1
        return Mark(level: self.level, bytes: self.bytes.count, fields: self.fields.count, present: self.present)
    }

    /// Makes the block like what it was at a mark, but for values that were written over.
    ///
    /// What was added goes, what was removed is there again. Marks behind this one are over.
    mutating func goBack(to mark: Mark) {
        for index in 0..<mark.fields where self.fields[index].removal >= mark.level { self.fields[index].removal = 0 }
        self.fields.removeLast(self.fields.count - mark.fields)
        self.bytes.removeLast(self.bytes.count - mark.bytes)
        self.present = mark.present
        self.level = mark.level
    }

    /// Adds a field whose name is a token.
    ///
    /// - Parameter known: What the name is among the known ones.
    /// - Parameter value: What a field can carry.
    mutating func append(_ name: [UInt8], _ known: HeaderName, value: [UInt8]) {
        let start = self.bytes.count
        self.appendBytes(name.rawSpan)
        self.appendBytes(": ")
        let valueStart = self.bytes.count
        self.appendBytes(value.rawSpan)
        let valueEnd = self.bytes.count
        self.appendBytes("\r\n")
        self.add(
            HeaderField(
                start: UInt32(truncatingIfNeeded: start), value: ByteRange(valueStart, valueEnd),
                end: UInt32(truncatingIfNeeded: self.bytes.count),
                nameLength: UInt16(truncatingIfNeeded: name.count), name: known))
    }

    /// Another block with the same lines, in which the marks of this one hold.
    func copied() -> HeaderBlock {
        var copy = HeaderBlock()
        copy.appendBytes(self.span)
        copy.fields.reserveCapacity(self.fields.count)
        for index in 0..<self.fields.count { copy.fields.append(self.fields[index]) }
        copy.present = self.present
        copy.level = self.level
        return copy
    }

    /// Appends bytes that are no field: those of `bytes`, then what stands in `range` of the block.
    ///
    /// - Returns: Where they are.
    mutating func append(_ bytes: [UInt8], then range: Range<Int>) -> ByteRange {
        let start = self.bytes.count
        self.appendBytes(bytes.rawSpan)
        for index in range { self.bytes.append(self.bytes[index]) }
        return ByteRange(start, self.bytes.count)
    }
}
