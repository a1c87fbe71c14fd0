// SPDX-License-Identifier: Apache-2.0
// request path

import Common

extension FieldMatch {
    private static let http = Array("http".utf8)

    /// Whether a request is what is asked for.
    ///
    /// Cost: a pass over the header table, no allocation.
    package func holds(for head: RequestHead, _ headers: borrowing HeaderBlock) -> Bool {
        switch self.subject {
        case .field(let name): return self.holds(name, headers)
        case .method: return headers.withBytes(in: head.methodName) { self.holds(for: $0) }
        case .authority: return headers.withBytes(in: head.authority.whole) { self.holds(for: $0) }
        case .scheme:
            let scheme = Self.http
            return self.holds(for: scheme.rawSpan)
        case .path: return headers.withBytes(in: head.path) { self.holds(for: $0) }
        case .status: return self.holdsForAbsence
        }
    }

    /// Whether an answer is what is asked for.
    ///
    /// Cost: a pass over the header table; three bytes where the status is asked for.
    package func holds(forStatus status: Int, _ headers: borrowing HeaderBlock) -> Bool {
        switch self.subject {
        case .field(let name): return self.holds(name, headers)
        case .status:
            let digits = [status / 100 % 10, status / 10 % 10, status % 10].map { UInt8(truncatingIfNeeded: 0x30 + $0) }
            return self.holds(for: digits.rawSpan)
        case .method, .authority, .scheme, .path: return self.holdsForAbsence
        }
    }

    private func holds(_ name: [UInt8], _ headers: borrowing HeaderBlock) -> Bool {
        guard let first = headers.firstIndex(ofLowercased: name) else { return self.holdsForAbsence }
        var next: Int? = first
        while let index = next {
            if headers.withValue(at: index, { self.isMeant($0) }) { return !self.inverts }
            next = headers.nextIndex(after: index, ofLowercased: name)
        }
        return self.inverts
    }
}

extension HeaderBlock {
    /// The next field of a name after the one at `index`; `nil` when there is none.
    func nextIndex(after index: Int, ofLowercased name: [UInt8]) -> Int? {
        self.firstIndex(ofLowercased: name, in: 0..<name.count, from: index + 1)
    }

    /// Whether the request is one of gRPC, by its content type.
    package var isGRPC: Bool {
        guard let index = self.firstIndex(of: .contentType) else { return false }
        return self.withValue(at: index) { value in
            let kind = Self.grpc
            guard value.byteCount >= kind.count, value.extracting(0..<kind.count).isEqual(to: kind) else {
                return false
            }
            return value.byteCount == kind.count || value.byte(at: kind.count) == UInt8(ascii: "+")
        }
    }

    private static let grpc = Array("application/grpc".utf8)
}

extension RequestMatch {
    /// Whether the rarer conditions of a route hold, which no other match has.
    ///
    /// - Parameter random: Draws whether the request is one of the share.
    /// - Parameter draw: What was drawn for the request, which counts for all routes; negative while nothing was.
    package func rareConditionsHold(
        for head: RequestHead, _ headers: borrowing HeaderBlock, using random: inout FastRandom, draw: inout Int
    ) -> Bool {
        for field in self.fields where !field.holds(for: head, headers) { return false }
        if self.isGRPC, !headers.isGRPC { return false }
        guard let share = self.share else { return true }
        if draw < 0 { draw = Int.random(in: 0..<Self.all, using: &random) }
        return draw < share
    }
}
