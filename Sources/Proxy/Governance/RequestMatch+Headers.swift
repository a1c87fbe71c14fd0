// SPDX-License-Identifier: Apache-2.0
// request path

package import Common

extension HeaderBlock {
    /// Calls `body` with the value of a cookie, the first of this name.
    ///
    /// - Returns: `nil` when there is none.
    /// - Source: RFC 6265 §4.2.1.
    package func withCookie<Result>(_ name: [UInt8], _ body: (RawSpan) -> Result) -> Result? {
        guard let index = self.firstIndex(of: .cookie) else { return nil }
        return self.withValue(at: index) { value in
            guard let range = Self.cookie(name, in: value) else { return nil }
            return body(value.extracting(range))
        }
    }

    private static func cookie(_ name: [UInt8], in value: RawSpan) -> Range<Int>? {
        var start = 0
        while start < value.byteCount {
            while start < value.byteCount, value.byte(at: start) == .space { start += 1 }
            var end = start
            while end < value.byteCount, value.byte(at: end) != UInt8(ascii: ";") { end += 1 }
            let nameEnd = start + name.count
            if nameEnd < end, value.byte(at: nameEnd) == UInt8(ascii: "="),
                value.extracting(start..<nameEnd).isEqual(to: name)
            {
                return nameEnd + 1..<end
            }
            start = end + 1
        }
        return nil
    }
}

extension HeaderMatch {
    /// Whether the first value of the header is what is asked for.
    func holds(for headers: borrowing HeaderBlock) -> Bool {
        for name in self.lowercasedNames {
            guard let index = headers.firstIndex(ofLowercased: name) else { continue }
            return headers.withValue(at: index) { value in
                if self.isRequired, value.byteCount == 0 { return false }
                return self.operators.allSatisfy { $0.matches(value) }
            }
        }
        return self.acceptsAbsence
    }
}

extension RequestMatch {
    /// What a target without a path asks for: RFC 9110 §4.2.3.
    static let root = [UInt8(ascii: "/")]

    /// Whether a request is what is asked for; who sends it is asked elsewhere.
    ///
    /// Cost: a pass over the header table for each header that is asked for.
    package func holds(for head: RequestHead, _ headers: borrowing HeaderBlock) -> Bool {
        for header in self.headers where !header.holds(for: headers) { return false }
        if !self.methods.isEmpty {
            let isListed = headers.withBytes(in: head.methodName) { name in
                self.methods.contains { name.isEqual(to: $0) }
            }
            if !isListed { return false }
        }
        guard !self.paths.isEmpty || !self.queries.isEmpty || !self.parameters.isEmpty else { return true }
        return headers.withBytes(in: head.path) { target in
            let end = target.pathEnd
            let query = target.extracting(min(end + 1, target.byteCount)..<target.byteCount)
            if !self.paths.isEmpty, !self.isPath(target, end) { return false }
            for parameter in self.parameters where !parameter.holds(for: query) { return false }
            return self.queries.isEmpty || query.byteCount > 0 && self.queries.contains { $0.matches(query) }
        }
    }
}

extension RequestMatch {
    /// Whether one of the paths is that of a target, which ends before `end`.
    private func isPath(_ target: RawSpan, _ end: Int) -> Bool {
        if end == 0 {
            let root = Self.root
            return self.paths.contains { $0.matches(root.rawSpan) }
        }
        return self.paths.contains { $0.matches(target.extracting(0..<end)) }
    }
}

extension MatchPolicy {
    /// The first alternative that a request is; `nil` when it is none.
    package func alternative(for head: RequestHead, _ headers: borrowing HeaderBlock) -> Alternative? {
        for alternative in self.alternatives where alternative.match.holds(for: head, headers) { return alternative }
        return nil
    }
}

extension RawSpan {
    /// Where the path of a target ends, and the query begins if there is one.
    var pathEnd: Int {
        var end = 0
        while end < self.byteCount, self.byte(at: end) != UInt8(ascii: "?") { end &+= 1 }
        return end
    }

    /// The value of the first parameter `name` of a query; empty where it stands without one, `nil` where it does not.
    package func parameter(_ name: [UInt8]) -> Range<Int>? {
        var start = 0
        while start < self.byteCount {
            var end = start
            while end < self.byteCount, self.byte(at: end) != UInt8(ascii: "&") { end &+= 1 }
            let nameEnd = start + name.count
            if nameEnd <= end, self.extracting(start..<nameEnd).isEqual(to: name) {
                if nameEnd == end { return end..<end }
                if self.byte(at: nameEnd) == UInt8(ascii: "=") { return nameEnd + 1..<end }
            }
            start = end + 1
        }
        return nil
    }
}

extension ParameterMatch {
    /// Whether the parameter of a query is what is asked for.
    func holds(for query: RawSpan) -> Bool {
        guard let range = query.parameter(self.name) else { return !self.isPresent }
        guard self.isPresent else { return false }
        let value = query.extracting(range)
        return self.operators.allSatisfy { $0.matches(value) }
    }
}

extension Route {
    /// Whether a request of a caller that the route is for is one of its requests.
    ///
    /// - Parameter mark: The mark that the request was given, if it was.
    package func matches(_ head: RequestHead, _ headers: borrowing HeaderBlock, mark: String?) -> Bool {
        switch self.match {
        case .always: return true
        case .request(let match): return match.holds(for: head, headers)
        case .marked(let policy):
            if let mark { return mark == policy.name }
            return policy.alternative(for: head, headers) != nil
        case .never: return false
        }
    }
}
