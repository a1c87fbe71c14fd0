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
        while let index = self.firstIndex(ofLowercased: name) { self.fields[index].isRemoved = true }
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
