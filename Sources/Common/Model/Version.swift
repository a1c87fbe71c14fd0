// SPDX-License-Identifier: Apache-2.0

/// A version of a service, such as `1.2.0`, compared number by number.
///
/// Missing numbers count as 0, parts that are no number compare as text and stand below any number.
package struct Version: Sendable {
    /// As written.
    package let text: String
    private let parts: [Part]

    private enum Part: Comparable, Sendable {
        // The order of the cases is the order of the values.
        case text(String)
        case number(UInt64)
    }

    /// Any text is a version.
    package init(_ text: String) {
        self.text = text
        self.parts = text.split(separator: ".").map { part in
            UInt64(part).map(Part.number) ?? .text(String(part))
        }
    }

    private func part(_ index: Int) -> Part { index < self.parts.count ? self.parts[index] : .number(0) }
}

extension Version: Comparable {
    /// Whether both name the same version: `1.0` and `1.0.0` do.
    package static func == (left: Version, right: Version) -> Bool { !(left < right) && !(right < left) }

    /// Whether `left` is the older one.
    package static func < (left: Version, right: Version) -> Bool {
        for index in 0..<max(left.parts.count, right.parts.count) where left.part(index) != right.part(index) {
            return left.part(index) < right.part(index)
        }
        return false
    }
}
