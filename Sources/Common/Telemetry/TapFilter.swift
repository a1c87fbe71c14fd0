// SPDX-License-Identifier: Apache-2.0
// request path

/// Which requests a tap shows.
package struct TapFilter: Sendable, Equatable {
    /// Why a filter makes no sense, and what to write.
    package struct Mistake: Error, CustomStringConvertible {
        /// What to tell whoever has written it.
        package let description: String
    }

    /// The called service or, of incoming requests, the caller; `nil` for all.
    package let service: String?
    /// Whether ``service`` is the sidecar's own, which all incoming requests are for.
    package var isOwnService = false
    /// Statuses that are shown; empty for all.
    package let statuses: [ClosedRange<Int>]
    /// How the path begins; empty for all.
    package let path: [UInt8]

    /// A filter; what is `nil` or empty takes everything.
    ///
    /// - Parameter status: `404`, `5xx`, or several of these with commas between them.
    /// - Parameter path: How paths begin. It has no query: one could be found out by asking for its beginnings.
    package init(service: String? = nil, status: String? = nil, path: String? = nil) throws(Mistake) {
        self.service = service.flatMap { $0.isEmpty ? nil : $0 }
        self.path = Array((path ?? "").utf8)
        var statuses: [ClosedRange<Int>] = []
        for part in (status ?? "").split(separator: ",") {
            guard let range = Self.statuses(Array(part.utf8)) else {
                throw Mistake(description: "\(part) is no status: write 404, 5xx, or both with a comma between them")
            }
            statuses.append(range)
        }
        self.statuses = statuses
        if let first = self.path.first, first != .slash {
            throw Mistake(description: "a path begins with a slash: write /\(path ?? "")")
        }
        if self.path.contains(.question) {
            throw Mistake(description: "queries are neither shown nor looked at: leave out what begins with the ?")
        }
    }

    private static func statuses(_ text: [UInt8]) -> ClosedRange<Int>? {
        guard text.count == 3, (UInt8(ascii: "1")...UInt8(ascii: "5")).contains(text[0]) else { return nil }
        let digits = text.map { Int($0) - 0x30 }
        if text[1...].allSatisfy({ $0.lowercased == UInt8(ascii: "x") }) {
            return digits[0] * 100...digits[0] * 100 + 99
        }
        guard text.allSatisfy({ $0.isDigit }) else { return nil }
        let status = digits[0] * 100 + digits[1] * 10 + digits[2]
        return status...status
    }

    /// Whether requests that were answered so are shown.
    package func takes(status: Int) -> Bool {
        self.statuses.isEmpty || self.statuses.contains { $0.contains(status) }
    }
}
